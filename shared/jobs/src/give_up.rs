//! Gives up work that kills its workers, so that no job stays open for ever and its rule can start again.
//!
//! A worker that dies (out of memory, a time limit, a crash) reports no error. Each claim of a shard and each check of
//! an open job is therefore counted before the work begins, and progress resets the count. After [`MAX_TRIES`] counted
//! attempts, further attempts only close the shard or the job. Each further attempt reads less than the attempt before,
//! because a read may be the cause.

use models::job::{Change, JobId};
use models::limits::MAX_TRIES;
use models::values::id::{ContactId, PortalId};
use store::StoreError;
use store::jobs::{Lease, OpenJob, Progress, Saved, ShardFailure, ShardState};

use crate::chain::OwnChanges;
use crate::closing::JOB_FAILED;
use crate::context::Jobs;
use crate::shard::ShardRef;
use crate::worker::WorkError;

/// The error of a job with a shard whose workers died.
pub(crate) const KILLED: &str = "The job stopped ten times without progress: it ran out of memory or time, or it \
    crashed. The changes made so far remain and can be undone. Run the job again with a narrower filter.";

/// The error of a job that could not be closed with its counts.
const NOT_CLOSED: &str = "The job stopped ten times while it was being closed, so its counts are missing here. \
    Changes that the job made remain and can be undone. The job's list of changes shows them.";

/// The claim that counts the contacts of an unfinished chunk one by one.
const COUNTING_TRY: u32 = MAX_TRIES + 1;
/// The claim that counts the contacts of an unfinished chunk as failed.
const ESTIMATING_TRY: u32 = MAX_TRIES + 2;

impl Jobs {
    /// Closes a shard whose workers died one after another. If this worker dies too, the next claims read less.
    pub(crate) async fn give_up_shard(
        &self,
        shard: ShardRef<'_>,
        lease: &Lease,
        state: &ShardState,
    ) -> Result<(), WorkError> {
        let ShardRef { portal, job, number } = shard;
        tracing::error!(job = %job.id, shard = number, tries = state.tries, "shard given up, because its workers died");
        let progress = if job.counts_first() && state.counted.is_none() {
            // The shard was only being counted, so no change was made.
            Progress::default()
        } else {
            match state.tries {
                COUNTING_TRY => self.abandon_chunk(shard, &state.progress).await?,
                ESTIMATING_TRY => self.failed_chunk(shard, &state.progress).await?,
                _ => state.progress,
            }
        };
        match self.store.end_shard(portal, job.id, number, lease, &progress, Some(ShardFailure::Killed)).await? {
            // Another worker holds the shard now and closes it.
            Saved::Lost => tracing::warn!(job = %job.id, shard = number, "lease lost while the shard was given up"),
            Saved::Held | Saved::Cancelled => {}
        }
        Ok(())
    }

    /// Removes the unwritten contacts from the chunk that the workers of a shard left unfinished, so that the list of
    /// the job's changes holds only changes that were made. Returns the shard's progress after the chunk, in which the
    /// removed contacts count as failed.
    pub(crate) async fn abandon_chunk(&self, shard: ShardRef<'_>, progress: &Progress) -> Result<Progress, StoreError> {
        let ShardRef { portal, job, number: shard_number } = shard;
        let Some((number, chunk)) = self.last_chunk(shard, progress.next_chunk).await? else { return Ok(*progress) };
        if job.task.is_preview() {
            // A preview writes no access records, so its last chunk needs no correction.
            return Ok(chunk.after);
        }
        let changes: Vec<&Change> = chunk.changes.iter().filter(|change| !change.conflict).collect();
        let unwritten = self.unwritten(portal, job.id, &changes).await?;
        let mut after = with_failed(chunk.after, unwritten.len() as u64);
        // The contacts that had to be judged again are in no chunk.
        let undecided = chunk.void.len() as u64;
        after.counts.failed += undecided;
        after.counts.matched += undecided;
        if unwritten.is_empty() {
            return Ok(after);
        }
        let void: Vec<ContactId> = chunk.void.into_iter().chain(unwritten).collect();
        self.store.void_changes(portal, job.id, shard_number, number, &void, &after).await?;
        Ok(after)
    }

    /// Returns the contacts of those changes that the job did not make. Mostly reads only revisions.
    async fn unwritten(
        &self,
        portal: &PortalId,
        job: JobId,
        changes: &[&Change],
    ) -> Result<Vec<ContactId>, StoreError> {
        let ids: Vec<ContactId> = changes.iter().map(|change| change.contact).collect();
        let revisions = self.store.revisions(portal, &ids).await?;
        let (mut unwritten, mut changed_since) = (Vec::new(), Vec::new());
        for change in changes {
            match revisions.get(&change.contact).copied() {
                Some(revision) if revision == job => {}
                revision if revision == change.replaced_job() => unwritten.push(change.contact),
                _ => changed_since.push(*change),
            }
        }
        let ids: Vec<ContactId> = changed_since.iter().map(|change| change.contact).collect();
        let mut current = self.store.current_access_with_origin(portal, &ids).await?;
        let mut own = OwnChanges::new(self, portal, job);
        for change in changed_since {
            let (state, origin) = current.take(change.contact)?;
            if !own.include(change, &state, origin).await? {
                unwritten.push(change.contact);
            }
        }
        Ok(unwritten)
    }

    /// Returns the shard's progress after its unfinished chunk, without reading the contacts. All updates of the chunk
    /// count as failed, except in a preview.
    async fn failed_chunk(&self, shard: ShardRef<'_>, progress: &Progress) -> Result<Progress, StoreError> {
        let ShardRef { portal, job, number } = shard;
        let mut after = self.store.chunk_end(portal, job.id, number, progress.next_chunk).await?;
        while let Some(found) = after
            && let Some(next) = self.store.chunk_end(portal, job.id, number, found.next_chunk).await?
        {
            after = Some(next);
        }
        Ok(match after {
            None => *progress,
            Some(after) if job.task.is_preview() => after,
            Some(after) => with_failed(after, after.counts.updated.saturating_sub(progress.counts.updated)),
        })
    }

    /// Closes a job whose checks killed their workers. The job fails with the counts recorded so far. A job that had
    /// already ended is closed without publishing its event, because the publishing may be the cause.
    pub(crate) async fn give_up_job(&self, open: &OpenJob) -> Result<(), StoreError> {
        let OpenJob { portal, job, .. } = open;
        self.remove_from_open_jobs(open).await?;
        if self.store.fail_job(portal, *job, NOT_CLOSED, self.now()).await? {
            tracing::error!(%job, reason = NOT_CLOSED, "{JOB_FAILED}");
            // The next check publishes the event.
            return self.store.postpone_job(portal, *job, self.now()).await;
        }
        tracing::error!(%job, "job closed without publishing its event, because the publishing killed its workers");
        self.store.close_job(portal, *job).await
    }
}

impl Jobs {
    /// Removes a job from its user's open jobs without the job's record, which is missing or must not be read.
    pub(crate) async fn remove_from_open_jobs(&self, open: &OpenJob) -> Result<(), StoreError> {
        match open.user {
            Some(user) => self.store.remove_from_open_jobs(&open.portal, user, open.job).await,
            None => Ok(()),
        }
    }
}

/// Returns the progress after a chunk of which `failed` contacts were not updated.
fn with_failed(after: Progress, failed: u64) -> Progress {
    let mut progress = after;
    progress.counts.updated = after.counts.updated.saturating_sub(failed);
    progress.counts.failed += failed;
    progress
}
