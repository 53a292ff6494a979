//! Jobs: the record of every change of access, a single one too.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::Access;
use crate::filter::Filter;
use crate::moment::Moment;

/// A job's identifier, a UUID v7. An access record carries that of the job that wrote it, as its revision.
pub type JobId = Uuid;

/// What kind of call started a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One contact.
    Contact,
    /// The contacts that a filter selects.
    Filter,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// At work.
    Running,
    /// Every match has the access that was asked for.
    Done,
    /// Ended before its end; `error` says why. What was changed stays changed.
    Failed,
}

/// What a run has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Counts {
    /// Matches that the caller may see.
    pub matched: u64,
    /// Contacts written.
    pub updated: u64,
    /// Contacts that already were as asked, and were not written.
    pub unchanged: u64,
    /// Contacts that the caller may see but not edit.
    pub skipped: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
    }
}

/// The record of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Job {
    /// Identifier.
    pub id: JobId,
    /// What started it.
    pub kind: Kind,
    /// Where it is.
    pub state: State,
    /// On whose behalf.
    pub created_by: Uuid,
    /// When it was asked for.
    pub created: Moment,
    /// When it ended.
    pub finished: Option<Moment>,
    /// Which contacts, when a filter says.
    pub filter: Option<Filter>,
    /// What their access becomes.
    pub target: Access,
    /// What was done.
    #[serde(flatten)]
    pub counts: Counts,
    /// Why it failed.
    pub error: Option<String>,
}

/// One contact's access before a job, as its undo log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The contact's identifier.
    pub contact: crate::id::ContactId,
    /// Its access before the job.
    pub access: Access,
    /// Its access revision before the job; none when it had no access record.
    pub revision: Option<JobId>,
}
