//! Change events, published when a job ends.

use std::fmt;

use futures::future::BoxFuture;
use models::access::Target;
use models::filter::Filter;
use models::job::{Job, JobId, Kind, State};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use serde::{Serialize, Serializer};

/// The detail of an event. Its members have the names that callers see in a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobEvent {
    /// The portal.
    pub portal: PortalId,
    /// The job. An event may be published more than once; subscribers recognize duplicates by this identifier.
    pub job_id: JobId,
    /// The kind of call that started the job.
    pub kind: Kind,
    /// The final state.
    pub state: State,
    /// The user on whose behalf the job ran; absent if the operator's schedule started the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// When the job was requested.
    pub created: Timestamp,
    /// When the job ended.
    pub finished: Option<Timestamp>,
    /// The filter that selected the contacts; none for named contacts.
    #[serde(serialize_with = "filter_view")]
    pub filter: Option<Filter>,
    /// The change of the contacts' access; none for an undo.
    #[serde(serialize_with = "target_view")]
    pub target: Option<Target>,
    /// The standing rule that started the job.
    pub rule: Option<String>,
    /// The job that this job undid.
    pub undo_of: Option<JobId>,
    /// Contacts that matched.
    pub matched: u64,
    /// Contacts written.
    pub updated: u64,
    /// Contacts whose access already matched.
    pub unchanged: u64,
    /// Contacts that the caller may not edit.
    pub skipped: u64,
    /// Contacts that an undo did not restore, because someone changed them since.
    pub conflicts: u64,
    /// Contacts that could not be written: their manager list would be too long, or the job was given up.
    pub failed: u64,
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the member")]
fn filter_view<S: Serializer>(filter: &Option<Filter>, serializer: S) -> Result<S::Ok, S::Error> {
    filter.as_ref().map(Filter::view).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the member")]
fn target_view<S: Serializer>(target: &Option<Target>, serializer: S) -> Result<S::Ok, S::Error> {
    target.as_ref().map(Target::view).serialize(serializer)
}

impl JobEvent {
    /// Returns the event of `job`.
    pub fn new(portal: PortalId, job: &Job) -> Self {
        let counts = job.counts;
        Self {
            portal,
            job_id: job.id,
            kind: job.task.kind(),
            state: job.state,
            created_by: job.created_by.user(),
            created: job.created,
            finished: job.finished,
            filter: job.task.filter().cloned(),
            target: job.task.target().cloned(),
            rule: job.task.rule().map(ToOwned::to_owned),
            undo_of: job.task.undo_of(),
            matched: counts.matched,
            updated: counts.updated,
            unchanged: counts.unchanged,
            skipped: counts.skipped,
            conflicts: counts.conflicts,
            failed: counts.failed,
        }
    }
}

/// The bus did not accept an event. The text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the event bus did not accept an event")]
pub struct BusError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Accepts events. An accepted event is delivered at least once.
pub trait Bus: fmt::Debug + Send + Sync {
    /// Publishes one event.
    fn put(&self, event: JobEvent) -> BoxFuture<'_, Result<(), BusError>>;
}
