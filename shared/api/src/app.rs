//! State that all calls of a process share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jobs::{Clock, Deadline, Jobs};
use models::directory::{Grant, User};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use quick_cache::sync::Cache;
use store::keys::TokenHash;
use store::tokens::StoredToken;
use store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sign_in::passwords::Passwords;

/// The maximum number of tokens in the cache of a process.
const CACHED_TOKENS: usize = 1000;
/// The maximum number of portals in the caches of a process.
const CACHED_PORTALS: usize = 100;
/// The number of a portal's users whose names are read before the call knows which names it needs. Costs about 10 read
/// units for users of 400 bytes each, and at most about 40.
const FIRST_NAMES: usize = 200;
/// The maximum number of a portal's users whose names a process caches.
const CACHED_NAMES: usize = 2000;

const _: () = assert!(FIRST_NAMES <= CACHED_NAMES);

/// The table, the job engine and the caches.
#[derive(Clone)]
pub struct App {
    /// The table.
    pub store: Store,
    /// The job engine, on the same table.
    pub jobs: Jobs,
    /// The bounds on concurrent sign-ins, and their password comparisons.
    pub passwords: Arc<Passwords>,
    /// Origins whose pages may sign users in.
    pub(crate) allowed_origins: Arc<[String]>,
    /// The signal that becomes true when the process is about to end.
    ending: Option<watch::Receiver<bool>>,
    token_cache: Duration,
    tokens: Arc<Cache<TokenHash, (StoredToken, Instant)>>,
    names: Arc<Cache<PortalId, (Names, Instant)>>,
    zones: Arc<Cache<PortalId, (TimeZone, Instant)>>,
}

/// Returns the clock of this machine.
pub fn clock() -> Clock {
    Arc::new(|| Timestamp::floor(jiff::Timestamp::now()))
}

/// Users of a portal for display. Rights are never read from this cache.
pub type Names = Arc<HashMap<UserId, User>>;

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store).finish_non_exhaustive()
    }
}

impl App {
    /// Creates the state for calls on the table of `jobs`. A token is trusted for `token_cache` after each lookup.
    pub fn new(jobs: Jobs, token_cache: Duration) -> Self {
        let (tokens, names) = (Arc::new(Cache::new(CACHED_TOKENS)), Arc::new(Cache::new(CACHED_PORTALS)));
        let zones = Arc::new(Cache::new(CACHED_PORTALS));
        let (passwords, allowed_origins) = (Arc::default(), Arc::default());
        let (store, ending) = (jobs.store.clone(), None);
        Self { store, jobs, passwords, allowed_origins, ending, token_cache, tokens, names, zones }
    }

    /// Allows web pages of these origins, such as `https://crm.example.com`, to sign users in.
    #[must_use]
    pub fn with_allowed_origins(self, origins: impl IntoIterator<Item = String>) -> Self {
        Self { allowed_origins: origins.into_iter().collect(), ..self }
    }

    /// Sets the signal that becomes true when the process ends. Synchronous runs then stop after their current page,
    /// and workers finish them.
    #[must_use]
    pub fn until(self, ending: watch::Receiver<bool>) -> Self {
        Self { ending: Some(ending), ..self }
    }

    /// Returns the deadline of a synchronous run: `at`, or the end of the process if that comes first.
    pub fn deadline(&self, at: Instant) -> Deadline {
        Deadline::at(at).or_on_signal(self.ending.clone())
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { jobs: self.jobs.clone().with_clock(clock), ..self }
    }

    /// Returns a copy with a separate meter.
    #[must_use]
    pub(crate) fn metered(&self) -> Self {
        let jobs = self.jobs.metered();
        Self { store: jobs.store.clone(), jobs, ..self.clone() }
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.jobs.now()
    }

    /// Returns the cached users of a portal, or reads the first users: half a read unit per 4 KB, or none from the
    /// cache.
    pub async fn names(&self, portal: &PortalId) -> Result<Names, StoreError> {
        if let Some((names, looked_up)) = self.names.get(portal)
            && looked_up.elapsed() < self.token_cache
        {
            return Ok(names);
        }
        let names: Names = Arc::new(self.store.first_users(portal, FIRST_NAMES).await?);
        if !self.token_cache.is_zero() {
            self.names.insert(portal.clone(), (names.clone(), Instant::now()));
        }
        Ok(names)
    }

    /// Returns the existing users among `ids`: half a read unit for each user that is not in `names`.
    pub async fn named(
        &self,
        portal: &PortalId,
        names: Names,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, User>, StoreError> {
        let (known, unknown): (HashSet<UserId>, HashSet<UserId>) =
            ids.into_iter().partition(|id| names.contains_key(id));
        let mut users: HashMap<UserId, User> =
            known.into_iter().filter_map(|id| Some((id, names.get(&id)?.clone()))).collect();
        if unknown.is_empty() {
            return Ok(users);
        }
        let read = self.store.users(portal, unknown).await?;
        // Keep the time of the first lookup, so that all names of the portal expire together.
        if let Some((_, looked_up)) = self.names.get(portal)
            && names.len() + read.len() <= CACHED_NAMES
        {
            let mut all = HashMap::clone(&names);
            all.extend(read.iter().map(|(id, user)| (*id, user.clone())));
            self.names.insert(portal.clone(), (Arc::new(all), looked_up));
        }
        users.extend(read);
        Ok(users)
    }

    /// Returns the time zone of the timestamps in a portal's answers, or UTC if the portal has no zone: half a read
    /// unit, or none while the zone is cached.
    pub async fn time_zone(&self, portal: &PortalId) -> Result<TimeZone, StoreError> {
        if let Some((zone, looked_up)) = self.zones.get(portal)
            && looked_up.elapsed() < self.token_cache
        {
            return Ok(zone);
        }
        let zone = self.store.time_zone(portal).await?;
        if !self.token_cache.is_zero() {
            self.zones.insert(portal.clone(), (zone.clone(), Instant::now()));
        }
        Ok(zone)
    }

    /// Removes a revoked token, and the tokens that end with it, from this process's cache. Other processes trust these
    /// tokens until their cache entries expire.
    pub fn forget_token(&self, hash: &TokenHash) {
        self.tokens.retain(|own, (token, _)| own != hash && token.parent.as_ref() != Some(hash));
    }

    /// Returns the grant of a token: 1 read unit, 2 for a token that a code gave, or none while the token is cached.
    pub(crate) async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>, StoreError> {
        if let Some((token, looked_up)) = self.tokens.get(&hash)
            && looked_up.elapsed() < self.token_cache
        {
            return Ok(Some(token.grant));
        }
        let token = self.store.token(hash).await?;
        match &token {
            Some(token) if !self.token_cache.is_zero() => self.tokens.insert(hash, (token.clone(), Instant::now())),
            // A missing token is not cached, because an operator may create the token at any time.
            _ => {
                self.tokens.remove(&hash);
            }
        }
        Ok(token.map(|token| token.grant))
    }
}
