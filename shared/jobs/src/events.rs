//! Change events: what others are told of a job that ended.

use std::fmt;

use futures::future::BoxFuture;
use models::access::Access;
use models::filter::Filter;
use models::job::{Job, JobId, Kind, State};
use models::values::id::{PortalId, UserId};
use models::values::moment::Moment;
use serde::{Serialize, Serializer};

/// What is told of a job: the detail of an event, with the members of a job as callers are shown it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobEvent {
    /// The portal.
    pub portal: PortalId,
    /// The job. An event may be told more than once; this tells that it is the same one.
    pub job_id: JobId,
    /// What started it.
    pub kind: Kind,
    /// How it ended.
    pub state: State,
    /// The user on whose behalf the job ran; left out where the operator's schedule started the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// When it was asked for.
    pub created: Moment,
    /// When it ended.
    pub finished: Option<Moment>,
    /// Which contacts, when a filter said so.
    #[serde(serialize_with = "filter_view")]
    pub filter: Option<Filter>,
    /// What their access became, when it is one for all.
    #[serde(serialize_with = "target_view")]
    pub target: Option<Access>,
    /// The standing rule that started it.
    pub rule: Option<String>,
    /// The job that it undid.
    pub undo_of: Option<JobId>,
    /// Matches.
    pub matched: u64,
    /// Contacts written.
    pub updated: u64,
    /// Contacts that were as asked.
    pub unchanged: u64,
    /// Contacts that the caller may not edit.
    pub skipped: u64,
    /// Contacts that an undo left alone.
    pub conflicts: u64,
    /// Contacts that the table did not take.
    pub failed: u64,
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the member")]
fn filter_view<S: Serializer>(filter: &Option<Filter>, serializer: S) -> Result<S::Ok, S::Error> {
    filter.as_ref().map(Filter::view).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the member")]
fn target_view<S: Serializer>(target: &Option<Access>, serializer: S) -> Result<S::Ok, S::Error> {
    target.as_ref().map(Access::view).serialize(serializer)
}

impl JobEvent {
    /// What is told of `job`.
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

/// Why an event was not taken. Its text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the event bus did not take an event")]
pub struct BusError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Takes events. An event that it has taken will be told, perhaps more than once.
pub trait Bus: fmt::Debug + Send + Sync {
    /// Tells one event.
    fn put(&self, event: JobEvent) -> BoxFuture<'_, Result<(), BusError>>;
}
