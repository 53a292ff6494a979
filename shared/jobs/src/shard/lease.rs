//! The lease of a shard, and the progress that is saved under it.

use std::time::Duration;

use models::limits::{self, LEASE_MARGIN_MILLIS, LEASE_MILLIS, RENEW_MILLIS};
use models::values::id::LeaseOwner;
use store::jobs::{Checkpoint, Lease, Progress, Saved, ShardFailure, ShardState};
use tokio::time::Instant;
use uuid::Uuid;

use crate::context::Jobs;
use crate::shard::{ShardWork, Stopped};

/// How long a lease holds, from its last renewal.
pub(super) const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);

/// How much of a lease must be left for a write to be sent: one that is on its way may arrive as late.
pub(super) const MARGIN: Duration = Duration::from_millis(LEASE_MARGIN_MILLIS);

/// After how long a lease is renewed where nothing is written that renews it.
pub(super) const RENEW: Duration = Duration::from_millis(RENEW_MILLIS);

impl<'a> ShardWork<'a> {
    /// Until when it is sure that nobody else works on the shard.
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

    /// Holds on to the shard where nothing was written for a while.
    pub(super) async fn renew(&mut self) -> Result<(), Stopped> {
        if self.renewed.elapsed() < RENEW {
            return Ok(());
        }
        self.save().await
    }

    /// Records how far the shard is.
    pub(super) async fn save(&mut self) -> Result<(), Stopped> {
        let asked = Instant::now();
        let lease = self.lease();
        let saved = self.jobs.store.save_progress(self.portal, self.job.id, self.shard, &lease, &self.progress).await?;
        self.recorded = self.progress;
        self.keep(asked, saved)
    }

    /// Records that the shard is through.
    pub(super) async fn end(&mut self, place: Option<Checkpoint>) -> Result<(), Stopped> {
        self.progress.place = place;
        let number = self.progress.next_chunk;
        // What is done and stands in no chunk that is known here was done by another worker, and is counted in its chunk.
        if self.met_done && self.jobs.store.chunk(self.portal, self.job.id, self.shard, number).await?.is_some() {
            return Err(Stopped::Overtaken);
        }
        self.close(None).await
    }

    /// Closes the shard as it is: at its end, or before its end for a reason.
    pub(crate) async fn close(&mut self, failed: Option<ShardFailure>) -> Result<(), Stopped> {
        let lease = self.lease();
        let Self { jobs, portal, job, shard, progress, .. } = self;
        match jobs.store.end_shard(portal, job.id, *shard, &lease, progress, failed).await? {
            // The answer to a write that was made may be lost, and a second attempt finds the shard let go of.
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

    /// How often the shard was claimed without progress, once its work `stopped`, or ended to wait for other shards.
    ///
    /// A claim that is given back in order is no try: only a failure or a worker's death is. A worker that was overtaken
    /// leaves its try, by which the next worker knows that there may be a chunk to finish.
    pub(crate) fn tries_after(&self, claimed: &ShardState, stopped: Option<&Stopped>) -> u32 {
        match stopped {
            _ if self.got_on => 0,
            Some(Stopped::Failed(_) | Stopped::Overtaken) => claimed.tries,
            _ if self.progress != claimed.progress => 0,
            _ => claimed.tries.saturating_sub(1),
        }
    }

    /// How far the shard is for whoever takes it up next.
    pub(crate) fn releasable(&self, stopped: &Stopped) -> Progress {
        // What was counted beside another worker's chunk is counted again behind it.
        if matches!(stopped, Stopped::Overtaken) { self.recorded } else { self.progress }
    }

    /// Closes the shard as one that was given up. Of the chunk that it is at, what the table did not take has failed, and
    /// the rest is done.
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

/// A name for a worker that asks for a lease.
pub(crate) fn new_owner() -> LeaseOwner {
    Uuid::now_v7().into()
}

/// When a lease that is had or renewed now ends.
pub(crate) fn lease_end(jobs: &Jobs) -> models::values::moment::Moment {
    jobs.now() + limits::duration(LEASE_MILLIS)
}
