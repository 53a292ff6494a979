//! What every call of a process shares.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jobs::{Clock, Deadline, Jobs};
use models::directory::{Grant, User};
use models::values::id::{PortalId, UserId};
use models::values::moment::Moment;
use quick_cache::sync::Cache;
use store::keys::TokenHash;
use store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::passwords::Passwords;

/// Tokens that a process remembers at most.
const CACHED_TOKENS: usize = 1000;
/// Portals whose users' names a process remembers at most.
const CACHED_PORTALS: usize = 100;
/// Users of a portal whose names are read together, before it is known whose are wanted: at most some 10 read units.
const FIRST_NAMES: usize = 200;
/// Users of a portal whose names a process remembers at most.
const CACHED_NAMES: usize = 2000;

const _: () = assert!(FIRST_NAMES <= CACHED_NAMES);

/// The table, the job engine and the tokens that were looked up.
#[derive(Clone)]
pub struct App {
    /// The table.
    pub store: Store,
    /// The job engine, on the same table.
    pub jobs: Jobs,
    /// The passwords that are being compared.
    pub passwords: Arc<Passwords>,
    /// Origins whose pages may sign users in.
    pub(crate) allowed_origins: Arc<[String]>,
    /// Becomes true when the process is about to end.
    ending: Option<watch::Receiver<bool>>,
    token_cache: Duration,
    grants: Arc<Cache<TokenHash, (Grant, Instant)>>,
    names: Arc<Cache<PortalId, (Names, Instant)>>,
    zones: Arc<Cache<PortalId, (TimeZone, Instant)>>,
}

/// Users of a portal as they are shown: their rights are never taken from here.
pub type Names = Arc<HashMap<UserId, User>>;

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store).finish_non_exhaustive()
    }
}

impl App {
    /// Calls on the table of `jobs`, which believe a token for `token_cache` after it was looked up.
    pub fn new(jobs: Jobs, token_cache: Duration) -> Self {
        let (grants, names) = (Arc::new(Cache::new(CACHED_TOKENS)), Arc::new(Cache::new(CACHED_PORTALS)));
        let zones = Arc::new(Cache::new(CACHED_PORTALS));
        let (passwords, allowed_origins) = (Arc::default(), Arc::default());
        let (store, ending) = (jobs.store.clone(), None);
        Self { store, jobs, passwords, allowed_origins, ending, token_cache, grants, names, zones }
    }

    /// The same, letting pages of these origins sign users in, such as `https://crm.example.com`.
    #[must_use]
    pub fn with_allowed_origins(self, origins: impl IntoIterator<Item = String>) -> Self {
        Self { allowed_origins: origins.into_iter().collect(), ..self }
    }

    /// The same in a process that ends when `ending` becomes true: runs that calls wait for then stop after their page, and
    /// workers do the rest.
    #[must_use]
    pub fn until(self, ending: watch::Receiver<bool>) -> Self {
        Self { ending: Some(ending), ..self }
    }

    /// When a run stops that a call waits for until `at`.
    pub fn deadline(&self, at: Instant) -> Deadline {
        Deadline::at(at).or_when_told(self.ending.clone())
    }

    /// The same, telling the time by `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { jobs: self.jobs.clone().with_clock(clock), ..self }
    }

    /// The same, with a meter of its own.
    #[must_use]
    pub(crate) fn metered(&self) -> Self {
        let jobs = self.jobs.metered();
        Self { store: jobs.store.clone(), jobs, ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.jobs.now()
    }

    /// The names that are remembered of a portal's users, or the first of them: half a read unit per 4 KB, or none.
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

    /// Those of these users that exist: half a read unit each that is not among `names`, and none when all are.
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
        // They are remembered as long as the others are, not anew: a name is believed for one time only.
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

    /// The zone by whose clocks a portal's answers show moments, UTC where there is none: half a read unit, or none while
    /// it is remembered.
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

    /// Forgets a token that was ended: this process, at least, believes it no longer.
    pub fn forget_token(&self, hash: &TokenHash) {
        self.grants.remove(hash);
    }

    /// What a token stands for: 1 read unit, or none while it is remembered.
    pub(crate) async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>, StoreError> {
        if let Some((grant, looked_up)) = self.grants.get(&hash)
            && looked_up.elapsed() < self.token_cache
        {
            return Ok(Some(grant));
        }
        let grant = self.store.grant(hash).await?;
        match &grant {
            Some(grant) if !self.token_cache.is_zero() => self.grants.insert(hash, (grant.clone(), Instant::now())),
            // A token that is not there is not remembered as missing: it may be made the next moment.
            _ => {
                self.grants.remove(&hash);
            }
        }
        Ok(grant)
    }
}
