//! The recorded changes of another job: of the job to undo, or of the preview to apply.

use std::collections::HashSet;

use jiff::SignedDuration;
use models::access::Actor;
use models::job::{Change, JobId, UndoLog};
use models::limits::{self, REMOVED_MARK_HOURS, REMOVED_MARK_MARGIN_MILLIS};
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::contacts::AccessState;
use store::jobs::Checkpoint;

use crate::context::Jobs;
use crate::source::judge::{Judged, Rights, Verdict, judge_previewed};
use crate::source::{NoPage, PageKind, Step};

/// Time after the request of a preview in which each contact removed since still has the mark of its removal, less a
/// margin.
const MARKS_LAST: SignedDuration =
    limits::duration(REMOVED_MARK_HOURS.cast_unsigned() * 60 * 60_000 - REMOVED_MARK_MARGIN_MILLIS);

/// A shard of the job that recorded the changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordedShard {
    /// The job that recorded the changes.
    pub(crate) job: JobId,
    /// The number of the shard.
    pub(crate) number: u16,
    /// The storage of the changes: the job's record or its chunks.
    pub(crate) log: UndoLog,
}

/// The use that a job makes of recorded changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Restore the access from before each change.
    Undo,
    /// Make each change, which a preview recorded.
    Apply {
        /// Time at which the preview was requested.
        previewed: Timestamp,
    },
}

/// The recorded changes that a job undoes or makes.
#[derive(Debug)]
pub(crate) struct ChangeSource<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) portal: &'a PortalId,
    pub(super) recorded: RecordedShard,
    pub(super) aim: Aim,
    /// The number of the next chunk.
    pub(super) chunk: u32,
    /// Number of the chunk's entries already read.
    pub(super) entries: usize,
    /// The job that uses the changes.
    pub(super) job: JobId,
    pub(super) rights: Rights<'a>,
}

impl<'a> ChangeSource<'a> {
    pub(crate) fn new(
        jobs: &'a Jobs,
        portal: &'a PortalId,
        recorded: RecordedShard,
        aim: Aim,
        checkpoint: Option<Checkpoint>,
        job: JobId,
        rights: Rights<'a>,
    ) -> Self {
        let (chunk, entries) = match checkpoint {
            Some(Checkpoint::Chunk { number, entries }) => (number, entries),
            _ => (0, 0),
        };
        Self { jobs, portal, recorded, aim, chunk, entries, job, rights }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        let RecordedShard { job: recorded, number: shard, log } = self.recorded;
        let changes = match log {
            UndoLog::Record if self.chunk > 0 => None,
            UndoLog::Record => {
                let changes = self.jobs.store.single_change(self.portal, recorded).await?;
                (!changes.is_empty()).then_some(changes)
            }
            UndoLog::Chunks => {
                self.jobs.store.chunk(self.portal, recorded, shard, self.chunk).await?.map(|chunk| chunk.changes)
            }
        };
        let Some(changes) = changes else { return Ok(None) };
        let (number, skipped) = (self.chunk, self.entries);
        let remaining: Vec<Change> = changes.into_iter().skip(skipped).collect();
        let ids: Vec<ContactId> = remaining.iter().map(|change| change.contact).collect();
        let accesses = async { Ok(self.jobs.store.current_access_of(self.portal, &ids).await?) };
        let removed = async { Ok(self.removed(&remaining).await?) };
        let (actor, accesses, removed) = futures::try_join!(self.rights.actor(), accesses, removed)?;
        let examined = remaining.len() as u64;
        let items = remaining
            .into_iter()
            .enumerate()
            .map(|(i, change)| {
                // A chunk may hold a contact twice, because an import may have added the contact again after the job's
                // change.
                let mut state = accesses.of(change.contact)?.clone();
                state.is_removed |= removed.contains(&change.contact);
                let after = Checkpoint::Chunk { number, entries: skipped + i + 1 };
                Ok(Judged { verdict: self.judge(change, state, &actor), after })
            })
            .collect::<Result<_, StoreError>>()?;
        self.chunk += 1;
        self.entries = 0;
        let after = Checkpoint::Chunk { number: self.chunk, entries: 0 };
        Ok(Some(Step { items, examined, after, kind: PageKind::Inner }))
    }

    /// Returns the contacts of previewed changes that no longer exist, as far as no mark stands in place of their
    /// access record. A mark expires, so a late run checks contacts without a record for existence: 1 read unit per 4
    /// KB of each contact.
    async fn removed(&self, changes: &[Change]) -> Result<HashSet<ContactId>, StoreError> {
        let is_late = match self.aim {
            Aim::Undo => false,
            Aim::Apply { previewed } => self.jobs.now().since(previewed) >= MARKS_LAST,
        };
        if !is_late {
            return Ok(HashSet::new());
        }
        let unrecorded = changes.iter().filter(|change| change.revision.is_none()).map(|change| change.contact);
        let unrecorded: Vec<ContactId> = unrecorded.collect();
        let existing = self.jobs.store.existing(self.portal, &unrecorded).await?;
        Ok(unrecorded.into_iter().filter(|contact| !existing.contains(contact)).collect())
    }

    fn judge(&self, change: Change, state: AccessState, actor: &Actor) -> Verdict {
        match self.aim {
            Aim::Undo => self.judge_undone(change, state, actor),
            Aim::Apply { .. } => judge_previewed(self.job, actor, change.contact, Some(&change), state),
        }
    }

    fn judge_undone(&self, change: Change, state: AccessState, actor: &Actor) -> Verdict {
        // A removed contact is like a contact that never had a record.
        let state = if state.is_removed { AccessState::UNRECORDED } else { state };
        if change.conflict {
            // The undone job did not change this contact.
            Verdict::Hidden
        } else if state.is_written_by(self.job) {
            Verdict::Done
        } else if state.is_written_by(self.recorded.job) && !actor.may_restore(&state.access, &change.before) {
            if actor.may_see(&state.access) { Verdict::Skipped } else { Verdict::Hidden }
        } else if state.is_written_by(self.recorded.job) {
            let restored = Change {
                contact: change.contact,
                before: state.access,
                revision: state.revision,
                after: Some(change.before),
                conflict: false,
            };
            Verdict::Change(restored, None)
        } else if state.job() == change.replaced_job() {
            // The undone job stopped before it wrote this contact.
            if actor.may_see(&state.access) { Verdict::Unchanged(None) } else { Verdict::Hidden }
        } else {
            let after = Some(state.access.clone());
            let contact = change.contact;
            Verdict::Change(
                Change { contact, before: state.access, revision: state.revision, after, conflict: true },
                None,
            )
        }
    }
}
