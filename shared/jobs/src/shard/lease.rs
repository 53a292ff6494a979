//! The lease of a shard, and the progress that is saved under it.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use models::job::snapshot::Tally;
use models::limits::{self, LEASE_MARGIN_MILLIS, LEASE_MILLIS, RENEW_MILLIS};
use models::values::id::LeaseOwner;
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::jobs::{Checkpoint, Lease, Progress, Saved, ShardFailure, ShardState};
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use crate::context::Jobs;
use crate::shard::{ShardRef, ShardWork, Stopped};

/// Duration of a lease, from its last renewal.
pub(super) const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);

/// Minimum remaining time of a lease for sending a write, because a write may reach the table late.
pub(super) const MARGIN: Duration = Duration::from_millis(LEASE_MARGIN_MILLIS);

/// Interval after which a worker renews a lease that no write has renewed.
pub(super) const RENEW: Duration = Duration::from_millis(RENEW_MILLIS);

/// A lease that this worker holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldLease {
    /// The identifier of this worker.
    pub(crate) owner: LeaseOwner,
    /// When this worker sent the last successful renewal.
    renewed: Instant,
}

impl HeldLease {
    /// Returns a lease of a new owner that is claimed now.
    pub(crate) fn new() -> Self {
        Self { owner: Uuid::now_v7().into(), renewed: Instant::now() }
    }
}

/// The end of a claim. The end decides whether the claim counts as an attempt without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimEnd {
    /// The work stopped regularly. The claim does not count.
    Orderly,
    /// The table failed, or the worker was overtaken. The claim counts.
    Failed,
}

impl<'a> ShardWork<'a> {
    /// Returns the time until which this worker may send writes, because no other worker can claim the shard.
    pub(super) fn may_write_until(&self) -> Instant {
        self.lease.renewed + LEASE - MARGIN
    }

    /// Returns the lease with a renewal at the current time.
    pub(crate) fn lease(&self) -> Lease {
        Lease { owner: self.lease.owner, until: lease_end(self.jobs) }
    }

    /// Handles the result of a write that renews the lease and was sent at `sent`.
    pub(super) fn confirm(&mut self, sent: Instant, saved: Saved) -> Result<(), Stopped> {
        match saved {
            Saved::Held => {
                (self.lease.renewed, self.made_progress) = (sent, true);
                Ok(())
            }
            Saved::Cancelled => {
                self.lease.renewed = sent;
                Err(Stopped::Cancelled)
            }
            Saved::Lost => Err(Stopped::Lost),
        }
    }

    /// Does work that may wait in the limiter of bulk writes, and renews the lease meanwhile. The claim still counts as
    /// an attempt. Sends nothing after the lease, because another worker may then be finishing the same chunk, and
    /// nothing after `end`.
    pub(super) async fn under_lease<T>(
        &mut self,
        end: Instant,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Stopped> {
        let Self { jobs, portal, job, shard, .. } = *self;
        let owner = self.lease.owner;
        let mut work = pin!(work);
        loop {
            let (renew_at, may_write_until) = (self.renew_at(), self.may_write_until());
            // `timeout_at` polls its future once even after the time has passed.
            if Instant::now() >= may_write_until {
                return Err(Stopped::Lost);
            }
            let renewal = pin!(async {
                sleep_until(renew_at).await;
                let lease = Lease { owner, until: lease_end(jobs) };
                (Instant::now(), jobs.store.renew_shard(portal, job.id, shard, &lease).await)
            });
            match timeout_at(may_write_until.min(end), select(&mut work, renewal)).await {
                Ok(Either::Left((done, _))) => return Ok(done?),
                Ok(Either::Right(((sent, saved), _))) => match saved? {
                    // The next save reports the cancellation again.
                    Saved::Held | Saved::Cancelled => self.lease.renewed = sent,
                    Saved::Lost => return Err(Stopped::Lost),
                },
                Err(_) if Instant::now() >= end => {
                    return Err(StoreError::Throttled { operation: "BatchExecuteStatement", source: None }.into());
                }
                Err(_) => return Err(Stopped::Lost),
            }
        }
    }

    /// Renews the lease if nothing was written for a while.
    pub(crate) async fn renew(&mut self) -> Result<(), Stopped> {
        if self.must_renew() { self.save().await } else { Ok(()) }
    }

    /// Returns the time from which the lease has to be renewed.
    pub(super) fn renew_at(&self) -> Instant {
        self.lease.renewed + RENEW
    }

    /// Returns whether no write has renewed the lease for a while.
    pub(super) fn must_renew(&self) -> bool {
        Instant::now() >= self.renew_at()
    }

    /// Records the shard's progress.
    pub(super) async fn save(&mut self) -> Result<(), Stopped> {
        let sent = Instant::now();
        let lease = self.lease();
        let saved = self.jobs.store.save_progress(self.portal, self.job.id, self.shard, &lease, &self.progress).await?;
        self.recorded = self.progress;
        self.confirm(sent, saved)
    }

    /// Records the shard's progress together with the counts of a snapshot.
    pub(crate) async fn save_with(&mut self, tally: &Tally) -> Result<(), Stopped> {
        let sent = Instant::now();
        let lease = self.lease();
        let Self { jobs, portal, job, shard, progress, .. } = self;
        let saved = jobs.store.save_tally(portal, job.id, *shard, &lease, progress, tally).await?;
        self.recorded = self.progress;
        self.confirm(sent, saved)
    }

    /// Records that the shard is finished.
    pub(super) async fn end(&mut self, checkpoint: Option<Checkpoint>) -> Result<(), Stopped> {
        self.progress.checkpoint = checkpoint;
        let number = self.progress.next_chunk;
        // Another worker wrote the contacts that this worker found already changed. The chunk of that worker counts
        // them.
        if self.found_done && self.jobs.store.chunk(self.portal, self.job.id, self.shard, number).await?.is_some() {
            return Err(Stopped::Overtaken);
        }
        self.store_effect().await;
        self.close(None).await
    }

    /// Closes the shard with its current progress. `failed` is the reason if the shard ends early.
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
            Saved::Held | Saved::Cancelled => {}
        }
        self.ended = true;
        Ok(())
    }

    /// Returns the number of claims without progress, after this claim ended.
    ///
    /// A regular release does not count; only a failure or a worker's death does. An overtaken worker leaves its claim
    /// counted, so that the next worker looks for a chunk to complete.
    pub(crate) fn tries_after(&self, claimed: &ShardState, end: ClaimEnd) -> u32 {
        match end {
            _ if self.made_progress => 0,
            ClaimEnd::Failed => claimed.tries,
            ClaimEnd::Orderly if self.progress != claimed.progress => 0,
            ClaimEnd::Orderly => claimed.tries.saturating_sub(1),
        }
    }

    /// Returns the progress that this worker recorded last. An overtaken worker releases the shard at this progress,
    /// because the contacts after the other worker's chunk are counted again.
    pub(crate) const fn recorded(&self) -> &Progress {
        &self.recorded
    }

    /// Closes the shard as given up. Removes the unwritten contacts from the unfinished chunk; they count as failed.
    pub(crate) async fn give_up(&mut self) -> Result<(), Stopped> {
        let shard = ShardRef { portal: self.portal, job: self.job, number: self.shard };
        self.progress = self.jobs.abandon_chunk(shard, &self.progress).await?;
        self.close(Some(ShardFailure::GivenUp)).await
    }
}

/// Returns the end of a lease that is claimed or renewed now.
pub(crate) fn lease_end(jobs: &Jobs) -> Timestamp {
    jobs.now() + limits::duration(LEASE_MILLIS)
}
