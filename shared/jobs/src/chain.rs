//! The chain of a contact's changes: each access record and each change names the revision that it replaced.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use models::access::Access;
use models::job::{Change, Job, JobId, Revision, UndoLog};
use models::limits::MAX_FOLLOWED_CHANGES;
use models::values::id::{ContactId, PortalId};
use store::StoreError;
use store::contacts::{AccessState, Origin};

use crate::context::Jobs;

/// The maximum number of changes that the search for a job's own change follows. The search gives up only if others
/// changed the contact more often than this since the job sent its write.
const MAX_STEPS: usize = 100;

/// A step back in the history of a contact's access.
#[derive(Clone, Debug, PartialEq)]
pub enum PastStep {
    /// A recorded change.
    Changed(Box<PastChange>),
    /// An import loaded the contact with this access. An import keeps no record of an earlier access.
    Loaded(Access),
    /// A job set this access. The change is no longer stored.
    Expired {
        /// The job.
        job: JobId,
        /// The access after the change.
        after: Access,
    },
}

/// A recorded change of a contact.
#[derive(Clone, Debug, PartialEq)]
pub struct PastChange {
    /// The job that changed the contact.
    pub job: Job,
    /// The access before the change.
    pub before: Access,
    /// The access after the change.
    pub after: Access,
}

/// Reads the history of a contact's access, from the latest change to the earliest.
#[derive(Debug)]
pub struct ContactHistory<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    contact: ContactId,
    /// The access before the last step, with the revision that set it; none at the end.
    state: Option<(Access, Option<Revision>)>,
}

impl ContactHistory<'_> {
    /// Returns the next step; none at the end. Costs 1 read unit per 4 KB of the job, and 1 per 4 KB of its chunk.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn next(&mut self) -> Result<Option<PastStep>, StoreError> {
        let Some((after, revision)) = self.state.take() else { return Ok(None) };
        // The access was loaded, or the contact never had a record.
        let Some(revision) = revision else { return Ok(Some(PastStep::Loaded(after))) };
        let Some(job) = self.jobs.store.job(self.portal, revision.job).await? else {
            return Ok(Some(PastStep::Loaded(after)));
        };
        let is_kept = job.has_changes_at(self.jobs.now());
        let change = if is_kept { self.jobs.change_of(self.portal, &job, revision, self.contact).await? } else { None };
        let Some(Change { before, revision, .. }) = change else {
            return Ok(Some(PastStep::Expired { job: job.id, after }));
        };
        self.state = Some((before.clone(), revision));
        Ok(Some(PastStep::Changed(Box::new(PastChange { job, before, after }))))
    }
}

impl Jobs {
    /// Returns a reader of the history of a contact that has the access `current`.
    pub fn contact_history<'a>(
        &'a self,
        portal: &'a PortalId,
        contact: ContactId,
        current: AccessState,
    ) -> ContactHistory<'a> {
        // A removed contact has no access, and an import keeps no record of the access before the removal.
        let state = (!current.is_removed).then_some((current.access, current.revision));
        ContactHistory { jobs: self, portal, contact, state }
    }

    /// Returns the jobs that changed a contact, newest first: the jobs of at most its last [`MAX_FOLLOWED_CHANGES`]
    /// changes. Costs 1 read unit per 4 KB of each job and of each chunk.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn jobs_of_contact(&self, portal: &PortalId, contact: ContactId) -> Result<Vec<JobId>, StoreError> {
        let current = self.store.current_access_of(portal, &[contact]).await?.take(contact)?;
        let mut history = self.contact_history(portal, contact, current);
        let mut jobs = Vec::new();
        for _ in 0..MAX_FOLLOWED_CHANGES {
            match history.next().await? {
                Some(PastStep::Changed(change)) => jobs.push(change.job.id),
                Some(PastStep::Expired { job, .. }) => jobs.push(job),
                Some(PastStep::Loaded(_)) | None => break,
            }
        }
        // A job may be older than the job whose access it replaced.
        jobs.sort_unstable_by(|a, b| b.cmp(a));
        jobs.dedup();
        Ok(jobs)
    }

    /// Returns the change of a contact by which `job` made `revision`; none if the change is not stored.
    async fn change_of(
        &self,
        portal: &PortalId,
        job: &Job,
        revision: Revision,
        contact: ContactId,
    ) -> Result<Option<Change>, StoreError> {
        let shard = contact.shard(job.shards);
        let changes = self.changes_at(portal, job.id, job.task.log(), shard, revision.chunk).await?;
        Ok(changes.into_iter().find(|change| change.contact == contact && !change.conflict))
    }

    /// Reads the changes of a job that are stored at one place: 1 read unit per 4 KB.
    async fn changes_at(
        &self,
        portal: &PortalId,
        job: JobId,
        log: UndoLog,
        shard: u16,
        chunk: Option<u32>,
    ) -> Result<Vec<Change>, StoreError> {
        Ok(match (log, chunk) {
            (UndoLog::Record, _) => self.store.single_change(portal, job).await?,
            (UndoLog::Chunks, Some(number)) => {
                let chunk = self.store.chunk(portal, job, shard, number).await?;
                chunk.map(|chunk| chunk.changes).unwrap_or_default()
            }
            (UndoLog::Chunks, None) => Vec::new(),
        })
    }
}

/// The revisions that the changes of a chunk replaced, by contact; none where the contact had no record.
type ReplacedRevisions = HashMap<ContactId, Option<Revision>>;

/// Finds the recorded changes that a job made, even if others changed the contacts since. Reads each job and each chunk
/// once: the later changes of a page's contacts are mostly in the same few chunks.
#[derive(Debug)]
pub(crate) struct OwnChanges<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    /// The job whose changes are sought.
    job: JobId,
    /// The undo logs of the jobs read so far, with the jobs' numbers of shards; none for a missing job.
    logs: HashMap<JobId, Option<(UndoLog, u16)>>,
    /// The chunks read so far, by job, chunk and shard.
    replaced: HashMap<(JobId, Option<u32>, u16), ReplacedRevisions>,
}

impl<'a> OwnChanges<'a> {
    pub(crate) fn new(jobs: &'a Jobs, portal: &'a PortalId, job: JobId) -> Self {
        Self { jobs, portal, job, logs: HashMap::new(), replaced: HashMap::new() }
    }

    /// Returns whether the job made `change`, given the contact's current record, which another job wrote. Mostly reads
    /// nothing. If others changed the contact more than once, reads their changes.
    pub(crate) async fn include(
        &mut self,
        change: &Change,
        current: &AccessState,
        origin: Origin,
    ) -> Result<bool, StoreError> {
        let job = self.job;
        let Some(mut revision) = current.revision else { return Ok(false) };
        if revision.job == job || origin.replaced == Some(job) {
            return Ok(true);
        }
        if origin.replaced == change.replaced_job() {
            return Ok(false);
        }
        for _ in 0..MAX_STEPS {
            match self.replaced_revision(revision, change.contact).await? {
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
        &mut self,
        revision: Revision,
        contact: ContactId,
    ) -> Result<Option<Revision>, StoreError> {
        let Self { jobs, portal, ref mut logs, ref mut replaced, .. } = *self;
        let log = match logs.entry(revision.job) {
            Entry::Occupied(read) => *read.get(),
            Entry::Vacant(unread) => {
                let job = jobs.store.job(portal, revision.job).await?;
                *unread.insert(job.map(|job| (job.task.log(), job.shards)))
            }
        };
        let Some((log, shards)) = log else { return Ok(None) };
        let shard = match log {
            UndoLog::Record => 0,
            UndoLog::Chunks => contact.shard(shards),
        };
        let changes = match replaced.entry((revision.job, revision.chunk, shard)) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let changes = jobs.changes_at(portal, revision.job, log, shard, revision.chunk).await?;
                let changes = changes.into_iter().filter(|change| !change.conflict);
                unread.insert(changes.map(|change| (change.contact, change.revision)).collect())
            }
        };
        Ok(changes.get(&contact).copied().flatten())
    }
}
