//! The job engine's dependencies and settings.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::Date;
use models::job::JobId;
use models::job::daily::day_of;
use models::limits::{self, RETRY_MILLIS};
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
pub use store::Clock;
use store::{Store, StoreError};
use uuid::{NoContext, Timestamp as UuidTimestamp, Uuid};

use crate::compaction::CompactionRequests;
use crate::events::Bus;
use crate::queue::{Message, Queue};

/// Default retention of a job's undo log, in days.
pub const DEFAULT_CHUNK_DAYS: u32 = 90;

/// The publisher of the events of ended jobs.
#[derive(Clone, Debug, Default)]
pub enum Events {
    /// Nobody publishes events.
    #[default]
    Off,
    /// This process publishes events on the bus.
    Here(Arc<dyn Bus>),
    /// The workers of the queue publish events.
    Elsewhere,
}

/// The job engine: the table, the clock, and the queue for remaining work.
#[derive(Clone)]
pub struct Jobs {
    /// The table.
    pub store: Store,
    /// Queue for the remaining work.
    pub queue: Arc<dyn Queue>,
    /// The publisher of the events of ended jobs.
    pub events: Events,
    /// Retention of undo logs; none stores them for ever.
    pub retention: Option<SignedDuration>,
    /// Managers for which this process requested compaction recently.
    pub compaction_requests: CompactionRequests,
    /// Source of the current time.
    pub clock: Clock,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("store", &self.store).field("events", &self.events).finish_non_exhaustive()
    }
}

/// Returns the retention of `days` days; none for 0, which means for ever.
pub fn retention(days: u32) -> Option<SignedDuration> {
    (days > 0).then(|| SignedDuration::from_hours(24 * i64::from(days)))
}

impl Jobs {
    /// Returns an engine on `store`, with the default retention and no events.
    pub fn new(store: Store, clock: Clock, queue: Arc<dyn Queue>) -> Self {
        Self {
            store,
            clock,
            queue,
            events: Events::Off,
            retention: retention(DEFAULT_CHUNK_DAYS),
            compaction_requests: CompactionRequests::default(),
        }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Returns a copy of the engine with its own meter.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self { store: self.store.metered(), ..self.clone() }
    }

    /// Returns a copy of the engine whose calls to the table may wait for the calls of users.
    #[must_use]
    pub fn for_bulk(&self) -> Self {
        Self { store: self.store.for_bulk(), ..self.clone() }
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Returns the day of an instant in the portal's time zone: half a read unit.
    pub(crate) async fn day_of(&self, portal: &PortalId, at: Timestamp) -> Result<Date, StoreError> {
        Ok(day_of(at, &self.store.time_zone(portal).await?))
    }

    /// Returns the expiry of the undo log of a job created at `created`; none if the log never expires.
    pub(crate) fn changes_until(&self, created: Timestamp) -> Option<Timestamp> {
        self.retention.map(|retention| created + retention)
    }

    /// Returns an identifier for a job that starts now.
    pub fn new_id(&self) -> JobId {
        let now = self.now().to_jiff();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(UuidTimestamp::from_unix(NoContext, seconds, nanos)).into()
    }

    /// Sends messages. Logs a failure instead of returning it, because a sweep finds the unfinished work in the table.
    pub(crate) async fn send(&self, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let jobs: HashSet<(PortalId, JobId)> =
            messages.iter().map(|message| (message.portal.clone(), message.job)).collect();
        let Err(error) = self.queue.send(messages).await else { return };
        tracing::error!(error = &error as &dyn std::error::Error, "messages not sent; a sweep sends them");
        for (portal, job) in jobs {
            let soon = self.now() + limits::duration(RETRY_MILLIS);
            if let Err(error) = self.store.postpone_job(&portal, job, soon).await {
                tracing::error!(%job, error = &error as &dyn std::error::Error, "job not postponed");
            }
        }
    }
}
