//! What the job engine works with.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::SignedDuration;
use models::job::JobId;
use models::limits::{self, RETRY_MILLIS};
use models::values::id::PortalId;
use models::values::moment::Moment;
pub use store::Clock;
use store::Store;
use uuid::{NoContext, Timestamp as UuidTimestamp, Uuid};

use crate::compaction::CompactionRequests;
use crate::events::Bus;
use crate::queue::{Message, Queue};

/// Days for which it is known what was before a job, unless it is said otherwise.
pub const DEFAULT_CHUNK_DAYS: u32 = 90;

/// Where the events of jobs that ended are told.
#[derive(Clone, Debug, Default)]
pub enum Events {
    /// Nowhere.
    #[default]
    Off,
    /// By this process.
    Here(Arc<dyn Bus>),
    /// By the workers that take messages from the queue.
    Elsewhere,
}

/// The job engine: the table, the time, and where what is left to be done is handed to.
#[derive(Clone)]
pub struct Jobs {
    /// The table.
    pub store: Store,
    /// Takes what is left to be done.
    pub queue: Arc<dyn Queue>,
    /// Where jobs that ended are told of.
    pub events: Events,
    /// For how long it is known what was before a job; for ever, when none.
    pub retention: Option<SignedDuration>,
    /// For which managers this process asked to compact postings.
    pub compaction_requests: CompactionRequests,
    /// Tells the time.
    pub clock: Clock,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("store", &self.store).field("events", &self.events).finish_non_exhaustive()
    }
}

/// The retention of `days` days, of which 0 are for ever.
pub fn retention(days: u32) -> Option<SignedDuration> {
    (days > 0).then(|| SignedDuration::from_hours(24 * i64::from(days)))
}

impl Jobs {
    /// The engine on `store`, with the default retention and no events.
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

    /// The same, telling the time by `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same, with a meter of its own.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self { store: self.store.metered(), ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        (self.clock)()
    }

    /// An identifier for a job that starts now.
    pub fn new_id(&self) -> JobId {
        let now = self.now().timestamp();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(UuidTimestamp::from_unix(NoContext, seconds, nanos)).into()
    }

    /// Sends messages. What the queue does not take a sweep finds in the table, so that is logged and no failure.
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
                tracing::error!(%job, error = &error as &dyn std::error::Error, "job is looked after late");
            }
        }
    }
}
