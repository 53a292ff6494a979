//! The sweep: recovers jobs whose worker died, whose message was lost or whose event was not published.

use std::collections::HashMap;

use futures::stream::StreamExt as _;
use models::limits::{self, CHECKS_PER_PORTAL, MAX_TRIES, RETRY_MILLIS};
use models::values::id::PortalId;
use store::StoreError;
use store::jobs::OpenJob;
use store::keys::OPEN_BUCKETS;

use crate::context::Jobs;
use crate::panics::catch_panic;
use crate::run::concurrently;
use crate::shard::Deadline;
use crate::worker::WorkError;

/// Ticks of 100 ns of a [`Timestamp`] in a minute.
const TICKS_PER_MINUTE: i64 = 60 * 10_000_000;

/// The leases that the sweep revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// The expired leases.
    Expired,
    /// All leases, because no other worker is alive. An example is the restart of the only worker.
    All,
}

impl Jobs {
    /// Checks every open job that is due, until the deadline. Returns the number of shards for which the sweep
    /// requested a worker. Each minute, the sweep begins with the next bucket. One sweep checks at most
    /// [`CHECKS_PER_PORTAL`] jobs of a portal in each bucket, so that the other portals get their turn.
    ///
    /// # Errors
    ///
    /// When a list of open jobs cannot be read. A failed check does not block the other jobs.
    pub async fn sweep(&self, abandoned: Abandoned, deadline: &Deadline) -> Result<usize, StoreError> {
        let mut requested = 0;
        let first = self.now().ticks() / TICKS_PER_MINUTE;
        for bucket in (0..i64::from(OPEN_BUCKETS)).map(|bucket| (first + bucket).rem_euclid(i64::from(OPEN_BUCKETS))) {
            requested += self.sweep_bucket(u8::try_from(bucket).unwrap_or(0), abandoned, deadline).await?;
        }
        Ok(requested)
    }

    async fn sweep_bucket(&self, bucket: u8, abandoned: Abandoned, deadline: &Deadline) -> Result<usize, StoreError> {
        let (mut requested, mut from) = (0, None);
        let mut checks: HashMap<PortalId, usize> = HashMap::new();
        while !deadline.is_up() {
            let page = self.store.open_jobs(bucket, from).await?;
            let due = page.jobs.into_iter().filter(|open| match abandoned {
                Abandoned::All => true,
                Abandoned::Expired if open.due > self.now() => false,
                Abandoned::Expired => {
                    let checks = checks.entry(open.portal.clone()).or_default();
                    *checks += 1;
                    *checks <= CHECKS_PER_PORTAL
                }
            });
            let mut checked = concurrently(due.map(|open| self.check_open_job_or_log(open, abandoned, deadline)));
            while let Some(shards) = checked.next().await {
                requested += shards;
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        Ok(requested)
    }

    async fn check_open_job_or_log(&self, open: OpenJob, abandoned: Abandoned, deadline: &Deadline) -> usize {
        if deadline.is_up() {
            return 0;
        }
        let job = open.job;
        let error = match catch_panic(self.check_open_job(&open, abandoned)).await {
            Ok(Ok(shards)) => return shards,
            Err(panic) => {
                // The check stays counted, and the job is due again later.
                tracing::error!(%job, error = &panic as &dyn std::error::Error, "open job not checked");
                return 0;
            }
            Ok(Err(error)) => error,
        };
        tracing::error!(%job, error = &error as &dyn std::error::Error, "open job not checked");
        // A corrupt record stays corrupt, and a request that cannot be built stays so. The check stays counted.
        if !matches!(error, WorkError::Store(StoreError::Corrupt(_) | StoreError::Unbuildable { .. })) {
            let later = self.now() + limits::duration(RETRY_MILLIS);
            if let Err(error) = self.store.postpone_job(&open.portal, job, later).await {
                tracing::error!(%job, error = &error as &dyn std::error::Error, "job not postponed");
            }
        }
        0
    }

    async fn check_open_job(&self, open: &OpenJob, abandoned: Abandoned) -> Result<usize, WorkError> {
        let (portal, id, due, now) = (&open.portal, open.job, open.due, self.now());
        let Some(checks) = self.store.count_check(open, now + limits::duration(RETRY_MILLIS)).await? else {
            return Ok(0);
        };
        if checks > MAX_TRIES {
            self.give_up_job(open).await?;
            return Ok(0);
        }
        let Some(job) = self.store.job(portal, id).await? else {
            // A job's record is written after its open-job entry. If the entry is due, the writer died before writing
            // the record.
            if due <= now {
                self.remove_from_open_jobs(open).await?;
                self.store.close_job(portal, id).await?;
            } else {
                self.store.postpone_job(portal, id, due).await?;
            }
            return Ok(0);
        };
        if job.is_over() {
            self.close_if_done(portal, job).await?;
            return Ok(0);
        }
        let shards = self.store.shards(portal, &job).await?;
        if shards.iter().all(|shard| shard.done) {
            self.close_if_done(portal, job).await?;
            return Ok(0);
        }
        let deadline = self.message_deadline();
        let (mut requested, mut next) = (Vec::new(), deadline);
        for (number, shard) in (0u16..).zip(&shards).filter(|(_, shard)| !shard.done) {
            let due = shard.due.unwrap_or(due);
            if abandoned == Abandoned::Expired && due > now {
                next = next.min(due);
            } else if self.store.postpone_shard(portal, id, number, shard.due, deadline).await? {
                requested.push(number);
            }
        }
        if !requested.is_empty() {
            tracing::info!(job = %id, shards = requested.len(), "unfinished job found");
        }
        self.store.postpone_job(portal, id, next).await?;
        let count = requested.len();
        self.request_workers(portal, &job, requested).await;
        Ok(count)
    }
}
