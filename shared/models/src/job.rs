//! Jobs: the record of every change of access, a single one too.

pub mod contact_set;
pub mod view;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Author};
use crate::filter::Filter;
use crate::filter::plan::Plan;
use crate::job::contact_set::ContactSet;
use crate::values::id::ContactId;
use crate::values::moment::Moment;

pub use crate::values::id::JobId;

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

/// What a job does, with all that its workers need. A job without a target cannot be made, nor read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// The access of one contact was set, together with the job's record: workers find nothing to do.
    Contact {
        /// The access that was set.
        target: Access,
    },
    /// Set the access of contacts that a call named.
    Contacts {
        /// The contacts.
        contacts: ContactSet,
        /// The access to set.
        target: Access,
    },
    /// Set the access of contacts that a filter selects.
    Filter(Box<FilterTask>),
    /// Restore what was before another job.
    Undo {
        /// The job to undo.
        undone: JobId,
        /// Where that job keeps what was before.
        log: UndoLog,
    },
}

/// Setting the access of the contacts that a filter selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterTask {
    /// The filter as it was asked.
    pub filter: Filter,
    /// Where the matches are.
    pub plan: Plan,
    /// The number of changes above which nothing is to be written, where the changes are still to be counted.
    pub max_affected: Option<u64>,
    /// The standing rule that started the job.
    pub rule: Option<String>,
    /// The access to set.
    pub target: Access,
}

/// Where a job keeps what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndoLog {
    /// In its own record, which is about one contact.
    Record,
    /// In chunks.
    Chunks,
}

impl Task {
    /// The kind that answers show.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Contact { .. } => Kind::Contact,
            Self::Contacts { .. } => Kind::Contacts,
            Self::Filter(_) => Kind::Filter,
            Self::Undo { .. } => Kind::Undo,
        }
    }

    /// The one access that all contacts get; none for an undo, which restores another one for each contact.
    pub fn target(&self) -> Option<&Access> {
        match self {
            Self::Contact { target } | Self::Contacts { target, .. } => Some(target),
            Self::Filter(task) => Some(&task.target),
            Self::Undo { .. } => None,
        }
    }

    /// The filter that selects the contacts.
    pub fn filter(&self) -> Option<&Filter> {
        if let Self::Filter(task) = self { Some(&task.filter) } else { None }
    }

    /// The standing rule that started the job.
    pub fn rule(&self) -> Option<&str> {
        if let Self::Filter(task) = self { task.rule.as_deref() } else { None }
    }

    /// The job that this one undoes.
    pub const fn undo_of(&self) -> Option<JobId> {
        if let Self::Undo { undone, .. } = self { Some(*undone) } else { None }
    }

    /// Where the job keeps what was before.
    pub const fn log(&self) -> UndoLog {
        match self {
            Self::Contact { .. } => UndoLog::Record,
            Self::Contacts { .. } | Self::Filter(_) | Self::Undo { .. } => UndoLog::Chunks,
        }
    }
}

/// The record of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Job {
    /// Identifier.
    pub id: JobId,
    /// Where it is.
    pub state: State,
    /// The author, whose rights decide when the job acts.
    pub created_by: Author,
    /// When it was asked for.
    pub created: Moment,
    /// When the first worker took it up.
    pub started: Option<Moment>,
    /// When it ended. A cancelled job without it is still being stopped.
    pub finished: Option<Moment>,
    /// What the job does.
    pub task: Task,
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
}

impl Job {
    /// Whether nothing more will be done.
    pub fn is_over(&self) -> bool {
        self.finished.is_some()
    }

    /// Whether its changes are counted before the first one is made.
    pub fn counts_first(&self) -> bool {
        matches!(&self.task, Task::Filter(task) if task.max_affected.is_some())
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

impl Change {
    /// The access before `job` and the access that the job set; none for a conflict, which the job left alone.
    pub fn states<'a>(&'a self, job: &'a Job) -> Option<(&'a Access, &'a Access)> {
        let after = self.after.as_ref().or(job.task.target())?;
        (!self.conflict).then_some((&self.before, after))
    }
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
