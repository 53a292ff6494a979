//! What every call of a process shares.

use std::sync::Arc;
use std::time::Duration;

use jobs::{Clock, Jobs};
use models::moment::Moment;
use models::portal::Grant;
use quick_cache::sync::Cache;
use store::keys::TokenHash;
use store::{Store, StoreError};
use tokio::time::Instant;

/// Tokens that a process remembers at most.
const CACHED_TOKENS: usize = 1000;

/// The table, the job engine and the tokens that were looked up.
#[derive(Clone)]
pub struct App {
    /// The table.
    pub store: Store,
    /// The job engine, on the same table.
    pub jobs: Jobs,
    token_cache: Duration,
    grants: Arc<Cache<TokenHash, (Grant, Instant)>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store).finish_non_exhaustive()
    }
}

impl App {
    /// Calls on the table of `jobs`, which believe a token for `token_cache` after it was looked up.
    pub fn new(jobs: Jobs, token_cache: Duration) -> Self {
        Self { store: jobs.store.clone(), jobs, token_cache, grants: Arc::new(Cache::new(CACHED_TOKENS)) }
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

    /// What a token stands for: 1 read unit, or none while it is remembered.
    pub(crate) async fn grant(&self, token: &str) -> Result<Option<Grant>, StoreError> {
        let hash = store::tokens::hash(token);
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
