//! The changes of the job to undo.

use models::access::Actor;
use models::job::{Change, JobId, UndoLog};
use models::values::id::{ContactId, PortalId};
use store::contacts::AccessState;
use store::jobs::Checkpoint;
use store::{Store, StoreError};

use crate::source::judge::{Judged, Rights, Verdict};
use crate::source::{NoPage, PageKind, Step};

/// A shard of the job to undo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UndoneShard {
    /// The job to undo.
    pub(crate) job: JobId,
    /// The number of the shard.
    pub(crate) number: u16,
    /// The storage of the previous access: the job's record or its chunks.
    pub(crate) log: UndoLog,
}

/// The changes that an undo job reverts.
#[derive(Debug)]
pub(crate) struct ChangeSource<'a> {
    pub(super) store: &'a Store,
    pub(super) portal: &'a PortalId,
    pub(super) undone: UndoneShard,
    /// The number of the next chunk.
    pub(super) chunk: u32,
    /// Number of the chunk's entries already read.
    pub(super) entries: usize,
    /// The undo job.
    pub(super) job: JobId,
    pub(super) rights: Rights<'a>,
}

impl<'a> ChangeSource<'a> {
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        undone: UndoneShard,
        checkpoint: Option<Checkpoint>,
        job: JobId,
        rights: Rights<'a>,
    ) -> Self {
        let (chunk, entries) = match checkpoint {
            Some(Checkpoint::Chunk { number, entries }) => (number, entries),
            _ => (0, 0),
        };
        Self { store, portal, undone, chunk, entries, job, rights }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        let UndoneShard { job: undone, number: shard, log } = self.undone;
        let changes = match log {
            UndoLog::Record if self.chunk > 0 => None,
            UndoLog::Record => {
                let changes = self.store.single_change(self.portal, undone).await?;
                (!changes.is_empty()).then_some(changes)
            }
            UndoLog::Chunks => {
                self.store.chunk(self.portal, undone, shard, self.chunk).await?.map(|chunk| chunk.changes)
            }
        };
        let Some(changes) = changes else { return Ok(None) };
        let (number, skipped) = (self.chunk, self.entries);
        let remaining: Vec<Change> = changes.into_iter().skip(skipped).collect();
        let ids: Vec<ContactId> = remaining.iter().map(|change| change.contact).collect();
        let accesses = async { Ok(self.store.current_access_of(self.portal, &ids).await?) };
        let (actor, accesses) = futures::try_join!(self.rights.actor(), accesses)?;
        let examined = remaining.len() as u64;
        let items = remaining
            .into_iter()
            .enumerate()
            .map(|(i, change)| {
                // A chunk may hold a contact twice, because an import may have added the contact again after the job's
                // change.
                let state = accesses.of(change.contact)?.clone();
                let after = Checkpoint::Chunk { number, entries: skipped + i + 1 };
                Ok(Judged { verdict: self.judge(change, state, &actor), after })
            })
            .collect::<Result<_, StoreError>>()?;
        self.chunk += 1;
        self.entries = 0;
        let after = Checkpoint::Chunk { number: self.chunk, entries: 0 };
        Ok(Some(Step { items, examined, after, kind: PageKind::Inner }))
    }

    pub(super) fn judge(&self, change: Change, state: AccessState, actor: &Actor) -> Verdict {
        // A removed contact is like a contact that never had a record.
        let state = if state.is_removed { AccessState::UNRECORDED } else { state };
        if change.conflict {
            // The undone job did not change this contact.
            Verdict::Hidden
        } else if state.is_written_by(self.job) {
            Verdict::Done
        } else if state.is_written_by(self.undone.job) && !actor.may_restore(&state.access, &change.before) {
            if actor.may_see(&state.access) { Verdict::Skipped } else { Verdict::Hidden }
        } else if state.is_written_by(self.undone.job) {
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
