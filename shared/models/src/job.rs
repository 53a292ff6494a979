//! Jobs: the record of every change of access, a single one too.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::{Access, Caller};
use crate::contact_set::ContactSet;
use crate::filter::Filter;
use crate::id::ContactId;
use crate::moment::Moment;
use crate::plan::Plan;

/// A job's identifier, a UUID v7. An access record carries that of the job that wrote it, as its revision.
pub type JobId = Uuid;

/// What kind of call started a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JobKind))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One contact.
    Contact,
    /// The contacts that a call names.
    Contacts,
    /// The contacts that a filter selects.
    Filter,
    /// The contacts that another job changed.
    Undo,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JobState))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Recorded; nothing was changed yet.
    Queued,
    /// At work.
    Running,
    /// Every match has the access that was asked for.
    Done,
    /// Ended before its end; `error` says why. What was changed stays changed.
    Failed,
    /// Stopped by a caller. What was changed stays changed.
    Cancelled,
}

impl State {
    /// The word for it, in answers and in storage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a run has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Counts {
    /// Matches, or named contacts, that the caller may see; of an undo: contacts that the job had changed.
    pub matched: u64,
    /// Contacts written.
    pub updated: u64,
    /// Contacts that already were as asked, and were not written.
    pub unchanged: u64,
    /// Contacts that the caller may see but not edit.
    pub skipped: u64,
    /// Contacts that an undo left alone, because they were changed again since.
    pub conflicts: u64,
    /// Contacts that the table did not take before the job was given up.
    pub failed: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
        self.conflicts += other.conflicts;
        self.failed += other.failed;
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

/// What a job's workers need to know; no part of what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Nothing: the change was made together with the record.
    Done,
    /// To set the access of a plan's matches.
    Filter {
        /// Where the matches are.
        plan: Plan,
        /// Whether the caller was an administrator when it asked.
        is_admin: bool,
        /// Over how many changes nothing is to be written, when that is still to be counted.
        max_affected: Option<u64>,
    },
    /// To set the access of contacts that are named.
    Contacts {
        /// Which.
        contacts: ContactSet,
        /// Whether the caller was an administrator when it asked.
        is_admin: bool,
    },
    /// To restore what was before another job.
    Undo {
        /// Whether that job was about one contact, and so keeps what was before in its own record.
        single: bool,
    },
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
    /// On whose behalf; the nil UUID for whoever may run the functions themselves.
    pub created_by: Uuid,
    /// When it was asked for.
    pub created: Moment,
    /// When the first worker took it up.
    pub started: Option<Moment>,
    /// When it ended. A cancelled job without it is still being stopped.
    pub finished: Option<Moment>,
    /// Which contacts, when a filter says.
    pub filter: Option<Filter>,
    /// What their access becomes; none for an undo, which has one for each contact.
    pub target: Option<Access>,
    /// The standing rule that started it.
    pub rule: Option<String>,
    /// The job that it undoes.
    pub undo_of: Option<JobId>,
    /// What was done, once it ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Why it failed.
    pub error: Option<String>,
    /// How much of it was done when it ended, in per cent.
    #[serde(default)]
    pub percent: u8,
    /// How many shards of work it has.
    pub shards: u16,
    /// About how many index entries, named contacts or changes are to be looked at.
    pub expected: u64,
    /// Until when it is known what was before it; forever, when none.
    pub changes_until: Option<Moment>,
    /// What its workers need.
    pub work: Work,
}

impl Job {
    /// Whether nothing more will be done.
    pub fn is_over(&self) -> bool {
        self.finished.is_some()
    }

    /// On whose behalf its workers decide.
    pub fn caller(&self) -> Caller {
        let is_admin = match &self.work {
            Work::Filter { is_admin, .. } | Work::Contacts { is_admin, .. } => *is_admin,
            Work::Done | Work::Undo { .. } => true,
        };
        Caller { user: self.created_by, is_admin }
    }

    /// Whether its changes are counted before the first one is made.
    pub fn counts_first(&self) -> bool {
        matches!(self.work, Work::Filter { max_affected: Some(_), .. })
    }

    /// Whether what was before it can still be read at `now`.
    pub fn has_changes_at(&self, now: Moment) -> bool {
        self.changes_until.is_none_or(|until| now < until)
    }
}

/// One contact's access before and after a job, as its undo log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The contact's identifier.
    pub contact: ContactId,
    /// Its access before the job.
    pub before: Access,
    /// Its access revision before the job; none when it had no access record.
    pub revision: Option<JobId>,
    /// What the job made of it, when that is not the job's one target.
    pub after: Option<Access>,
    /// Whether it was left alone, because it was changed again since the job that was to be undone.
    pub conflict: bool,
}

/// Where a shard of a job is, as far as a caller is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// Whether it is through.
    pub done: bool,
    /// Index entries, named contacts or changes looked at.
    pub looked: u64,
    /// What was done.
    pub counts: Counts,
}
