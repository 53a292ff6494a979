//! What every call of a process shares.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use models::moment::Moment;
use models::portal::Grant;
use quick_cache::sync::Cache;
use store::keys::TokenHash;
use store::{Store, StoreError};
use tokio::time::Instant;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Tokens that a process remembers at most.
const CACHED_TOKENS: usize = 1000;

/// The store, the clock and the tokens that were looked up.
#[derive(Clone)]
pub struct App {
    /// The table.
    pub store: Store,
    clock: Clock,
    token_cache: Duration,
    grants: Arc<Cache<TokenHash, (Grant, Instant)>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store).finish_non_exhaustive()
    }
}

impl App {
    /// Calls on `store`, which believe a token for `token_cache` after it was looked up.
    pub fn new(store: Store, token_cache: Duration) -> Self {
        let clock: Clock = Arc::new(|| Moment::floor(Timestamp::now()));
        Self { store, clock, token_cache, grants: Arc::new(Cache::new(CACHED_TOKENS)) }
    }

    /// The same, telling the time by `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same, with a meter of its own.
    #[must_use]
    pub(crate) fn metered(&self) -> Self {
        Self { store: self.store.metered(), ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        (self.clock)()
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
