//! The changes of the job to undo.

use models::access::Actor;
use models::job::{Change, JobId, UndoLog};
use models::values::id::{ContactId, PortalId};
use store::contacts::AccessState;
use store::jobs::Checkpoint;
use store::{Store, StoreError};

use crate::source::judge::{Judged, Rights, Verdict};
use crate::source::{NoPage, Step};

/// The changes of another job, each to be undone.
#[derive(Debug)]
pub(crate) struct ChangeSource<'a> {
    pub(super) store: &'a Store,
    pub(super) portal: &'a PortalId,
    /// The job to undo, and one of its shards.
    pub(super) undone: JobId,
    pub(super) shard: u16,
    /// Where that job keeps the previous access.
    pub(super) log: UndoLog,
    pub(super) number: u32,
    pub(super) entries: usize,
    /// The undo job.
    pub(super) job: JobId,
    pub(super) rights: Rights<'a>,
}

impl<'a> ChangeSource<'a> {
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        (undone, shard, log): (JobId, u16, UndoLog),
        place: Option<Checkpoint>,
        job: JobId,
        rights: Rights<'a>,
    ) -> Self {
        let (number, entries) = match place {
            Some(Checkpoint::Chunk { number, entries }) => (number, entries),
            _ => (0, 0),
        };
        Self { store, portal, undone, shard, log, number, entries, job, rights }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        let changes = match self.log {
            UndoLog::Record if self.number > 0 => None,
            UndoLog::Record => {
                let changes = self.store.single_change(self.portal, self.undone).await?;
                (!changes.is_empty()).then_some(changes)
            }
            UndoLog::Chunks => {
                self.store.chunk(self.portal, self.undone, self.shard, self.number).await?.map(|chunk| chunk.changes)
            }
        };
        let Some(changes) = changes else { return Ok(None) };
        let (number, skipped) = (self.number, self.entries);
        let rest: Vec<Change> = changes.into_iter().skip(skipped).collect();
        let ids: Vec<ContactId> = rest.iter().map(|change| change.contact).collect();
        let accesses = async { Ok(self.store.current_access_of(self.portal, &ids).await?) };
        let (actor, accesses) = futures::try_join!(self.rights.actor(), accesses)?;
        let looked = rest.len() as u64;
        let items = rest
            .into_iter()
            .enumerate()
            .map(|(i, change)| {
                // A chunk may hold a contact twice: as the job met it, and as an import added it again.
                let state = accesses.of(change.contact)?.clone();
                let behind = Checkpoint::Chunk { number, entries: skipped + i + 1 };
                Ok(Judged { verdict: self.judge(change, state, &actor), behind })
            })
            .collect::<Result<_, StoreError>>()?;
        self.number += 1;
        self.entries = 0;
        let behind = Checkpoint::Chunk { number: self.number, entries: 0 };
        Ok(Some(Step { items, looked, behind, last: false }))
    }

    pub(super) fn judge(&self, change: Change, state: AccessState, actor: &Actor) -> Verdict {
        if change.conflict {
            // The undone job itself left this contact alone.
            Verdict::Hidden
        } else if state.revision == Some(self.job) {
            Verdict::Done
        } else if state.revision == Some(self.undone) && !actor.may_restore(&state.access, &change.before) {
            if actor.may_see(&state.access) { Verdict::Skipped } else { Verdict::Hidden }
        } else if state.revision == Some(self.undone) {
            let restored = Change {
                contact: change.contact,
                before: state.access,
                revision: state.revision,
                after: Some(change.before),
                conflict: false,
            };
            Verdict::Change(restored, None)
        } else if state.revision == change.revision {
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
