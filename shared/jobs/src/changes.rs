//! Reads the changes of a job, a page at a time.

use models::job::{Change, Job, UndoLog};
use models::values::id::PortalId;
use store::StoreError;

use crate::context::Jobs;

impl Jobs {
    /// Returns at most `count` changes of `job` after the first `skip`, in the order of shards and chunks. A binary
    /// search over a shard's chunks finds the first change. Each chunk read costs 1 read unit per 4 KB.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn changes(
        &self,
        portal: &PortalId,
        job: &Job,
        skip: usize,
        count: usize,
    ) -> Result<Vec<Change>, StoreError> {
        if job.task.log() == UndoLog::Record {
            let changes = self.store.single_change(portal, job.id).await?;
            return Ok(changes.into_iter().skip(skip).take(count).collect());
        }
        let mut skip = skip as u64;
        let mut found = Vec::new();
        for (number, shard) in (0u16..).zip(self.store.shards(portal, job).await?) {
            if found.len() >= count {
                break;
            }
            let in_shard = shard.progress.counts.updated + shard.progress.counts.conflicts;
            // The counts do not include an open chunk, so never skip an unfinished shard entirely.
            if shard.done && shard.failed.is_none() && skip >= in_shard {
                skip -= in_shard;
                continue;
            }
            let mut next = self.first_chunk_after(portal, job, number, shard.progress.next_chunk, &mut skip).await?;
            while found.len() < count {
                let Some(chunk) = self.store.chunk(portal, job.id, number, next).await? else { break };
                let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.changes.len());
                skip -= skipped as u64;
                let room = count - found.len();
                found.extend(chunk.changes.into_iter().skip(skipped).take(room));
                next += 1;
            }
        }
        Ok(found)
    }

    /// Finds the first chunk of a shard that is not entirely skipped, by binary search: each chunk holds the number of
    /// changes up to its end. Subtracts the skipped changes from `skip`.
    async fn first_chunk_after(
        &self,
        portal: &PortalId,
        job: &Job,
        shard: u16,
        chunks: u32,
        skip: &mut u64,
    ) -> Result<u32, StoreError> {
        let (mut low, mut high, mut skipped) = (0, chunks, 0);
        while *skip > 0 && low < high {
            let middle = low + (high - low) / 2;
            let Some(chunk) = self.store.chunk(portal, job.id, shard, middle).await? else { break };
            let up_to_here = chunk.after.counts.updated + chunk.after.counts.conflicts;
            if up_to_here <= *skip {
                (low, skipped) = (middle + 1, up_to_here);
            } else {
                high = middle;
            }
        }
        *skip -= skipped;
        Ok(low)
    }
}
