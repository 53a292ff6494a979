//! The lease of a shard, and the progress that is saved under it.

use std::time::Duration;

use models::limits::{self, LEASE_MARGIN_MILLIS, LEASE_MILLIS, RENEW_MILLIS};
use models::values::id::LeaseOwner;
use store::jobs::{Checkpoint, Lease, Progress, Saved, ShardFailure, ShardState};
use tokio::time::Instant;
use uuid::Uuid;

use crate::context::Jobs;
use crate::shard::{ShardWork, Stopped};

/// Duration of a lease, from its last renewal.
pub(super) const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);

/// Time that a lease must have left for a write to be sent: the write may arrive this much later.
pub(super) const MARGIN: Duration = Duration::from_millis(LEASE_MARGIN_MILLIS);

/// Interval after which a lease is renewed where no write renews it.
pub(super) const RENEW: Duration = Duration::from_millis(RENEW_MILLIS);

impl<'a> ShardWork<'a> {
    /// Returns the time until which nobody else can work on the shard.
    pub(super) fn sure_until(&self) -> Instant {
        self.renewed + LEASE - MARGIN
    }

    pub(super) fn lease(&self) -> Lease {
        Lease { owner: self.owner, until: lease_end(self.jobs) }
    }

    pub(super) fn keep(&mut self, asked: Instant, saved: Saved) -> Result<(), Stopped> {
        match saved {
            Saved::Kept => {
                (self.renewed, self.got_on) = (asked, true);
                Ok(())
            }
            Saved::Cancelled => {
                self.renewed = asked;
                Err(Stopped::Cancelled)
            }
            Saved::Lost => Err(Stopped::Lost),
        }
    }

    /// Renews the lease if nothing was written for a while.
    pub(super) async fn renew(&mut self) -> Result<(), Stopped> {
        if self.renewed.elapsed() < RENEW {
            return Ok(());
        }
        self.save().await
    }

    /// Records the shard's progress.
    pub(super) async fn save(&mut self) -> Result<(), Stopped> {
        let asked = Instant::now();
        let lease = self.lease();
        let saved = self.jobs.store.save_progress(self.portal, self.job.id, self.shard, &lease, &self.progress).await?;
        self.recorded = self.progress;
        self.keep(asked, saved)
    }

    /// Records that the shard is finished.
    pub(super) async fn end(&mut self, place: Option<Checkpoint>) -> Result<(), Stopped> {
        self.progress.place = place;
        let number = self.progress.next_chunk;
        // Another worker wrote the contacts that were found done. Its chunk counts them.
        if self.met_done && self.jobs.store.chunk(self.portal, self.job.id, self.shard, number).await?.is_some() {
            return Err(Stopped::Overtaken);
        }
        self.close(None).await
    }

    /// Closes the shard with its current progress; `failed` says why it ends early.
    pub(crate) async fn close(&mut self, failed: Option<ShardFailure>) -> Result<(), Stopped> {
        let lease = self.lease();
        let Self { jobs, portal, job, shard, progress, .. } = self;
        match jobs.store.end_shard(portal, job.id, *shard, &lease, progress, failed).await? {
            // The response to a successful write may be lost. The retry then finds the shard released.
            Saved::Lost => {
                let found = jobs.store.shard(portal, job.id, *shard).await?;
                if !(found.done && found.progress == *progress) {
                    return Err(Stopped::Lost);
                }
            }
            Saved::Kept | Saved::Cancelled => {}
        }
        self.ended = true;
        Ok(())
    }

    /// Returns the number of claims without progress, after the work `stopped` or ended to wait for other shards.
    ///
    /// A claim that is released in order does not count; only a failure or a worker's death does. An overtaken worker
    /// leaves its claim counted, so that the next worker looks for a chunk to finish.
    pub(crate) fn tries_after(&self, claimed: &ShardState, stopped: Option<&Stopped>) -> u32 {
        match stopped {
            _ if self.got_on => 0,
            Some(Stopped::Failed(_) | Stopped::Overtaken) => claimed.tries,
            _ if self.progress != claimed.progress => 0,
            _ => claimed.tries.saturating_sub(1),
        }
    }

    /// Returns the progress from which the next worker continues.
    pub(crate) fn releasable(&self, stopped: &Stopped) -> Progress {
        // Contacts counted beside another worker's chunk are counted again after it.
        if matches!(stopped, Stopped::Overtaken) { self.recorded } else { self.progress }
    }

    /// Closes the shard as given up. In the open chunk, unwritten records count as failed, the others as updated.
    pub(crate) async fn give_up(&mut self) -> Result<(), Stopped> {
        if let Some(after) = self.open.take() {
            let unwritten = self.unwritten as u64;
            self.progress = after;
            self.progress.counts.updated = after.counts.updated.saturating_sub(unwritten);
            self.progress.counts.failed += unwritten;
        }
        self.close(Some(ShardFailure::GivenUp)).await
    }
}

/// Returns a new identifier for a worker that claims leases.
pub(crate) fn new_owner() -> LeaseOwner {
    Uuid::now_v7().into()
}

/// Returns the end of a lease that is claimed or renewed now.
pub(crate) fn lease_end(jobs: &Jobs) -> models::values::timestamp::Timestamp {
    jobs.now() + limits::duration(LEASE_MILLIS)
}
