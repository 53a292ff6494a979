//! The chain of a contact's changes: each access record and each change names the revision that it replaced.

use models::job::{Change, JobId, Revision, UndoLog};
use models::values::id::{ContactId, PortalId};
use store::StoreError;
use store::contacts::{AccessState, Origin};

use crate::context::Jobs;

/// The maximum number of changes that the search for a job's own change follows. Others must have changed the contact
/// this often since the job sent its write.
const MAX_STEPS: usize = 100;

impl Jobs {
    /// Returns whether `job` made `change`, given the contact's current record, which another job wrote. Mostly reads
    /// nothing. If others changed the contact more than once, reads their changes.
    pub(crate) async fn was_written(
        &self,
        portal: &PortalId,
        job: JobId,
        change: &Change,
        current: &AccessState,
        origin: Origin,
    ) -> Result<bool, StoreError> {
        let Some(mut revision) = current.revision else { return Ok(false) };
        if revision.job == job || origin.replaced == Some(job) {
            return Ok(true);
        }
        if origin.replaced == change.replaced_job() {
            return Ok(false);
        }
        for _ in 0..MAX_STEPS {
            match self.replaced_revision(portal, revision, change.contact).await? {
                Some(replaced) if replaced.job == job => return Ok(true),
                Some(replaced) if Some(replaced.job) != change.replaced_job() => revision = replaced,
                // The chain leads to the revision that the change would have replaced, or to an import, which keeps no
                // record of its changes.
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Returns the revision that a write replaced; none if the contact had no record, or if no change is recorded.
    async fn replaced_revision(
        &self,
        portal: &PortalId,
        revision: Revision,
        contact: ContactId,
    ) -> Result<Option<Revision>, StoreError> {
        let Some(job) = self.store.job(portal, revision.job).await? else { return Ok(None) };
        let changes = match (job.task.log(), revision.chunk) {
            (UndoLog::Record, _) => self.store.single_change(portal, job.id).await?,
            (UndoLog::Chunks, Some(number)) => {
                let chunk = self.store.chunk(portal, job.id, contact.shard(job.shards), number).await?;
                chunk.map(|chunk| chunk.changes).unwrap_or_default()
            }
            (UndoLog::Chunks, None) => Vec::new(),
        };
        let change = changes.into_iter().find(|change| change.contact == contact && !change.conflict);
        Ok(change.and_then(|change| change.revision))
    }
}
