//! Jobs: the record of every access change, single changes included.

pub mod contact_set;
pub mod daily;
pub mod effect;
pub mod history;
pub mod selection;
pub mod snapshot;
pub mod view;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Author, Target};
use crate::filter::Filter;
use crate::filter::plan::Plan;
use crate::job::contact_set::ContactSet;
use crate::job::effect::Effect;
use crate::values::id::ContactId;
use crate::values::timestamp::Timestamp;

pub use crate::values::id::JobId;

/// The kind of call that started a job.
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
    /// The contacts that a filter selects or that a call names, without writing any contact.
    Preview,
    /// All contacts, which the job counts and does not change.
    Snapshot,
}

impl Kind {
    /// All kinds, with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("contact", Self::Contact),
        ("contacts", Self::Contacts),
        ("filter", Self::Filter),
        ("undo", Self::Undo),
        ("preview", Self::Preview),
        ("snapshot", Self::Snapshot),
    ];
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JobState))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The job is recorded. No contact was changed yet.
    Queued,
    /// Workers process the job.
    Running,
    /// Every match was processed.
    Done,
    /// The job was given up; `error` says why. Its changes so far stay.
    Failed,
    /// A caller cancelled the job. Its changes so far stay.
    Cancelled,
}

impl State {
    /// All states, with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        (Self::Queued.name(), Self::Queued),
        (Self::Running.name(), Self::Running),
        (Self::Done.name(), Self::Done),
        (Self::Failed.name(), Self::Failed),
        (Self::Cancelled.name(), Self::Cancelled),
    ];

    /// Returns the state's name in answers and in storage.
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

/// The counts of a run so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Counts {
    /// Matches or named contacts that the caller may see; for an undo, contacts that the undone job changed; for the
    /// run of a preview, contacts that the preview would change.
    pub matched: u64,
    /// Contacts written; for a preview, contacts that its run would write.
    pub updated: u64,
    /// Contacts whose access already matched, and which were not written.
    pub unchanged: u64,
    /// Contacts that the caller may see but not edit.
    pub skipped: u64,
    /// Contacts that an undo did not restore, because they were changed again after the job; for the run of a preview,
    /// contacts that were changed after the preview.
    pub conflicts: u64,
    /// Contacts that could not be written: their manager list would be too long, or the job was given up.
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

/// The work of a job, with all data that its workers need. A task without its target cannot be built or deserialized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Change the access of one contact. One transaction writes this access and the job's record, so workers have
    /// nothing to do.
    Contact {
        /// The change of the access.
        target: Target,
    },
    /// Change the access of contacts that a call named.
    Contacts {
        /// The contacts.
        contacts: ContactSet,
        /// The change of the access.
        target: Target,
    },
    /// Change the access of contacts that a filter selects.
    Filter(Box<FilterTask>),
    /// Restore the accesses that contacts had before another job.
    Undo {
        /// The job to undo.
        undone: JobId,
        /// The location of the undone job's undo log.
        log: UndoLog,
    },
    /// Record the changes that a run would make, and write no contact.
    Preview(PreviewTask),
    /// Make the changes that a preview recorded.
    Apply(Box<ApplyTask>),
    /// Count the contacts of the portal by their access. The job changes no contact.
    Snapshot(Box<SnapshotTask>),
}

/// The task of counting contacts by their access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTask {
    /// The plan that finds every contact.
    pub plan: Plan,
    /// The folded tags to count.
    pub tags: Vec<String>,
}

/// The task of changing the access of the contacts that a filter selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterTask {
    /// The filter as requested.
    pub filter: Filter,
    /// The plan that finds the matches.
    pub plan: Plan,
    /// `maxAffected`, if the changes have not been counted yet.
    pub max_affected: Option<u64>,
    /// Maximum changes of each shard, if the call has counted the changes; empty otherwise. The sum is `maxAffected`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shard_limits: Vec<u64>,
    /// The standing rule that started the job.
    pub rule: Option<String>,
    /// The change of each contact's access.
    pub target: Target,
}

/// The run whose changes a preview records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreviewTask {
    /// A run over contacts that a call named.
    Contacts {
        /// The contacts.
        contacts: ContactSet,
        /// The change of the access.
        target: Target,
    },
    /// A run over contacts that a filter selects.
    Filter(Box<FilterTask>),
}

impl PreviewTask {
    /// Returns the change of each contact's access.
    pub const fn target(&self) -> &Target {
        match self {
            Self::Contacts { target, .. } => target,
            Self::Filter(task) => &task.target,
        }
    }

    /// Returns the filter that selects the contacts.
    pub const fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Contacts { .. } => None,
            Self::Filter(task) => Some(&task.filter),
        }
    }
}

/// The task of making the changes that a preview recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyTask {
    /// The preview.
    pub preview: JobId,
    /// Time at which the preview was requested.
    pub previewed: Timestamp,
    /// The filter of the preview, for the job's view; none if the preview's call named the contacts. The run does not
    /// read the filter's matches.
    pub filter: Option<Filter>,
    /// The access to set.
    pub target: Target,
}

/// The location of a job's undo log, which stores the access of each contact before the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndoLog {
    /// In the job's own record, for a job of one contact.
    Record,
    /// In chunks.
    Chunks,
}

impl Task {
    /// Returns the kind that answers show.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Contact { .. } => Kind::Contact,
            Self::Contacts { .. } => Kind::Contacts,
            Self::Filter(_) => Kind::Filter,
            Self::Apply(task) => match task.filter {
                Some(_) => Kind::Filter,
                None => Kind::Contacts,
            },
            Self::Undo { .. } => Kind::Undo,
            Self::Preview(_) => Kind::Preview,
            Self::Snapshot(_) => Kind::Snapshot,
        }
    }

    /// Returns whether the job changes contacts.
    pub const fn changes_contacts(&self) -> bool {
        match self {
            Self::Contact { .. } | Self::Contacts { .. } | Self::Filter(_) | Self::Apply(_) | Self::Undo { .. } => true,
            Self::Preview(_) | Self::Snapshot(_) => false,
        }
    }

    /// Returns the change of each contact's access; `None` for an undo, which restores each contact's own access, and
    /// for a snapshot.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Contact { target } | Self::Contacts { target, .. } => Some(target),
            Self::Filter(task) => Some(&task.target),
            Self::Preview(task) => Some(task.target()),
            Self::Apply(task) => Some(&task.target),
            Self::Undo { .. } | Self::Snapshot(_) => None,
        }
    }

    /// Returns the access that all contacts get; `None` if the access depends on the contact.
    pub fn replacement(&self) -> Option<&Access> {
        self.target().and_then(Target::replacement)
    }

    /// Returns the filter that selects the contacts.
    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Filter(task) => Some(&task.filter),
            Self::Preview(task) => task.filter(),
            Self::Apply(task) => task.filter.as_ref(),
            Self::Contact { .. } | Self::Contacts { .. } | Self::Undo { .. } | Self::Snapshot(_) => None,
        }
    }

    /// Returns the maximum changes of a shard, if the call has counted the changes.
    pub fn shard_limit(&self, shard: u16) -> Option<u64> {
        match self {
            Self::Filter(task) => task.shard_limits.get(usize::from(shard)).copied(),
            _ => None,
        }
    }

    /// Returns the task of a job that reads the matches of a filter: a run by filter, or a preview.
    pub fn matches(&self) -> Option<&FilterTask> {
        if let Self::Filter(task) | Self::Preview(PreviewTask::Filter(task)) = self { Some(task) } else { None }
    }

    /// Returns the standing rule that started the job.
    pub fn rule(&self) -> Option<&str> {
        if let Self::Filter(task) = self { task.rule.as_deref() } else { None }
    }

    /// Returns the job that this job undoes.
    pub const fn undo_of(&self) -> Option<JobId> {
        if let Self::Undo { undone, .. } = self { Some(*undone) } else { None }
    }

    /// Returns the preview whose changes this job makes.
    pub fn apply_of(&self) -> Option<JobId> {
        if let Self::Apply(task) = self { Some(task.preview) } else { None }
    }

    /// Returns whether the job writes no contact.
    pub const fn is_preview(&self) -> bool {
        matches!(self, Self::Preview(_))
    }

    /// Returns the location of the job's undo log. The log of a preview holds the changes that a run would make.
    pub const fn log(&self) -> UndoLog {
        match self {
            Self::Contact { .. } => UndoLog::Record,
            Self::Contacts { .. }
            | Self::Filter(_)
            | Self::Undo { .. }
            | Self::Preview(_)
            | Self::Apply(_)
            | Self::Snapshot(_) => UndoLog::Chunks,
        }
    }
}

/// The record of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Job {
    /// Identifier.
    pub id: JobId,
    /// The job's state.
    pub state: State,
    /// The author. The job acts with the author's current rights.
    pub created_by: Author,
    /// Time at which the job was requested.
    pub created: Timestamp,
    /// Time at which the first worker started the job.
    pub started: Option<Timestamp>,
    /// Time at which the job ended. A cancelled job without this time is still stopping.
    pub finished: Option<Timestamp>,
    /// The job's work.
    pub task: Task,
    /// The final counts, set when the job ends.
    #[serde(flatten)]
    pub counts: Counts,
    /// The reason why the job failed.
    pub error: Option<String>,
    /// Progress in percent when the job ended.
    #[serde(default)]
    pub percent: u8,
    /// Number of the job's shards.
    pub shards: u16,
    /// Estimated number of index entries, named contacts or changes to read.
    pub expected: u64,
    /// Time at which the undo log expires; `None` for never. A preview expires with its log.
    pub changes_until: Option<Timestamp>,
    /// The effect of a finished preview on users.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// The run that makes the changes of the preview.
    #[serde(default)]
    pub applied_by: Option<JobId>,
    /// The note of the call or of the rule that started the job.
    #[serde(default)]
    pub note: Option<String>,
}

/// The parts of a job that are known when the job is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Identifier.
    pub id: JobId,
    /// The author.
    pub created_by: Author,
    /// Time at which the job was requested.
    pub created: Timestamp,
    /// The job's work.
    pub task: Task,
    /// Number of the job's shards.
    pub shards: u16,
    /// Estimated number of index entries, named contacts or changes to read.
    pub expected: u64,
    /// Time at which the undo log expires; `None` for never.
    pub changes_until: Option<Timestamp>,
    /// The note of the call or of the rule that starts the job.
    pub note: Option<String>,
}

impl NewJob {
    /// Returns the record of a job that waits for a worker.
    pub fn queued(self) -> Job {
        let Self { id, created_by, created, task, shards, expected, changes_until, note } = self;
        Job {
            id,
            state: State::Queued,
            created_by,
            created,
            started: None,
            finished: None,
            task,
            counts: Counts::default(),
            error: None,
            percent: 0,
            shards,
            expected,
            changes_until,
            effect: None,
            applied_by: None,
            note,
        }
    }

    /// Returns the record of a job whose call begins the work at once.
    pub fn running(self) -> Job {
        Job { state: State::Running, started: Some(self.created), ..self.queued() }
    }

    /// Returns the record of a job that is finished when its record is written.
    pub fn done(self, counts: Counts) -> Job {
        let finished = Some(self.created);
        Job { state: State::Done, finished, counts, percent: 100, ..self.running() }
    }
}

impl Job {
    /// Returns whether the job has ended.
    pub fn is_over(&self) -> bool {
        self.finished.is_some()
    }

    /// Returns whether the job counts its changes before making the first change.
    pub fn counts_first(&self) -> bool {
        matches!(&self.task, Task::Filter(task) if task.max_affected.is_some())
    }

    /// Returns whether the job is a preview whose changes are all known.
    pub fn is_finished_preview(&self) -> bool {
        self.task.is_preview() && self.state == State::Done && self.is_over()
    }

    /// Returns whether the undo log can still be read at `now`.
    pub fn has_changes_at(&self, now: Timestamp) -> bool {
        self.changes_until.is_none_or(|until| now < until)
    }
}

/// The write that set a contact's access.
///
/// Each change names the revision that it replaced. So the revision of a contact's access record leads, change by
/// change, to the first recorded change of the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The job that wrote the access. An import has an identifier of the same form.
    pub job: JobId,
    /// The chunk of the job that holds the change; none if the job's record holds the change, or for an import.
    pub chunk: Option<u32>,
}

/// One contact's access before and after a job, as stored in the job's undo log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The contact's identifier.
    pub contact: ContactId,
    /// The contact's access before the job.
    pub before: Access,
    /// The revision of the contact's access before the job; `None` if the contact had no access record.
    pub revision: Option<Revision>,
    /// The contact's access after the job, unless the job gives all contacts the same access.
    pub after: Option<Access>,
    /// True if an undo did not restore the contact, because the contact was changed again after the undone job, or if
    /// the run of a preview did not write the contact, because the contact was changed after the preview.
    pub conflict: bool,
}

impl Change {
    /// Returns the job that wrote the access before this change.
    pub fn replaced_job(&self) -> Option<JobId> {
        self.revision.map(|revision| revision.job)
    }

    /// Returns the access that this change of `job` sets; `None` for a change that belongs to another job.
    pub fn after_in<'a>(&'a self, job: &'a Job) -> Option<&'a Access> {
        self.after.as_ref().or(job.task.replacement())
    }

    /// Returns the access before `job` and the access that `job` set; `None` for a conflict, where `job` set nothing.
    pub fn states<'a>(&'a self, job: &'a Job) -> Option<(&'a Access, &'a Access)> {
        let after = self.after_in(job)?;
        (!self.conflict).then_some((&self.before, after))
    }
}

/// The progress of a shard of a job, for the view of the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// True if the shard is finished.
    pub done: bool,
    /// Index entries, named contacts or changes read.
    pub examined: u64,
    /// The counts of the shard.
    pub counts: Counts,
}
