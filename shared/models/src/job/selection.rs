//! The jobs that a list shows: conditions on the record of a job.

use jiff::SignedDuration;

use crate::job::{Job, JobId, Kind, State};
use crate::limits::{self, IDEMPOTENCY_HOURS, JOB_ID_LEAD_MILLIS};
use crate::values::id::{ContactId, UserId};
use crate::values::timestamp::Timestamp;

/// The conditions of a list of jobs. The default selects every job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// State of the job.
    pub state: Option<State>,
    /// Kind of the job.
    pub kind: Option<Kind>,
    /// User on whose behalf the job ran.
    pub user: Option<UserId>,
    /// Standing rule that started the job.
    pub rule: Option<String>,
    /// Contact that the job changed. The record of a job does not show this condition.
    pub contact: Option<ContactId>,
    /// The earliest time at which the job was requested.
    pub from: Option<Timestamp>,
    /// The latest time at which the job was requested.
    pub to: Option<Timestamp>,
}

impl JobFilter {
    /// Returns whether the filter selects every job.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether the record of a job meets all conditions but `contact`.
    pub fn selects(&self, job: &Job) -> bool {
        self.state.is_none_or(|state| job.state == state)
            && self.kind.is_none_or(|kind| job.task.kind() == kind)
            && self.user.is_none_or(|user| job.created_by.user() == Some(user))
            && self.rule.as_deref().is_none_or(|rule| job.task.rule() == Some(rule))
            && self.from.is_none_or(|from| from <= job.created)
            && self.to.is_none_or(|to| job.created <= to)
    }

    /// Returns an identifier after every job up to `to`; none without `to`. A call makes the identifier of its job a
    /// moment after its own time.
    pub fn before(&self) -> Option<JobId> {
        self.to.map(|to| JobId::first_at(to + limits::duration(JOB_ID_LEAD_MILLIS)))
    }

    /// Returns whether a job with this identifier, and every job before it, was requested before `from`. A repeated
    /// call has the identifier of its first attempt, which is at most [`IDEMPOTENCY_HOURS`] old.
    pub fn is_before(&self, id: JobId) -> bool {
        let age = SignedDuration::from_hours(IDEMPOTENCY_HOURS) + limits::duration(JOB_ID_LEAD_MILLIS);
        self.from.is_some_and(|from| id < JobId::first_at(from + -age))
    }
}
