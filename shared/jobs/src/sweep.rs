//! Looking after jobs that nobody else does: of workers that died, of messages that were lost, of events not told.

use futures::stream::StreamExt as _;
use models::id::PortalId;
use models::job::JobId;
use models::limits::{self, RETRY_MILLIS};
use models::moment::Moment;
use store::StoreError;
use store::keys::OPEN_BUCKETS;

use crate::context::Jobs;
use crate::run::side_by_side;
use crate::shard::Deadline;
use crate::worker::WorkError;

/// Steps of a [`Moment`] in a minute.
const STEPS_PER_MINUTE: i64 = 60 * 10_000_000;

/// Whose shards are taken from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// Those who were not heard of until their lease ended.
    Expired,
    /// Everybody's: no other worker is alive, as after the restart of the only one.
    All,
}

impl Jobs {
    /// Looks after every open job that is due, or as many as the time allows, and says how many shards workers were
    /// asked for. The next sweep begins elsewhere.
    ///
    /// # Errors
    ///
    /// When a list of open jobs cannot be read. A job that cannot be looked after does not keep the others from it.
    pub async fn sweep(&self, abandoned: Abandoned, deadline: &Deadline) -> Result<usize, StoreError> {
        let mut asked = 0;
        let first = self.now().steps() / STEPS_PER_MINUTE;
        for bucket in (0..i64::from(OPEN_BUCKETS)).map(|bucket| (first + bucket).rem_euclid(i64::from(OPEN_BUCKETS))) {
            let open = self.store.open_jobs(u8::try_from(bucket).unwrap_or(0)).await?;
            let due = open.into_iter().filter(|(_, _, due)| abandoned == Abandoned::All || *due <= self.now());
            let mut looked = side_by_side(due.map(|open| self.look_after_one(open, abandoned, deadline)));
            while let Some(shards) = looked.next().await {
                asked += shards;
            }
        }
        Ok(asked)
    }

    async fn look_after_one(
        &self,
        (portal, job, due): (PortalId, JobId, Moment),
        abandoned: Abandoned,
        deadline: &Deadline,
    ) -> usize {
        if deadline.is_up() {
            return 0;
        }
        match self.look_after(&portal, job, due, abandoned).await {
            Ok(shards) => shards,
            Err(error) => {
                tracing::error!(%job, error = &error as &dyn std::error::Error, "job not looked after");
                let later = self.now() + limits::duration(RETRY_MILLIS);
                if let Err(error) = self.store.postpone_job(&portal, job, later).await {
                    tracing::error!(%job, error = &error as &dyn std::error::Error, "job not postponed");
                }
                0
            }
        }
    }

    async fn look_after(
        &self,
        portal: &PortalId,
        id: JobId,
        due: Moment,
        abandoned: Abandoned,
    ) -> Result<usize, WorkError> {
        let now = self.now();
        let Some(job) = self.store.job(portal, id).await? else {
            // Its record is written after this entry; whoever was to write it is gone by now, unless it is not due.
            if due <= now {
                self.store.close_job(portal, id).await?;
            }
            return Ok(0);
        };
        if job.is_over() {
            self.settle(portal, job).await?;
            return Ok(0);
        }
        let shards = self.store.shards(portal, &job).await?;
        if shards.iter().all(|shard| shard.done) {
            self.settle(portal, job).await?;
            return Ok(0);
        }
        let patience = self.patience();
        let (mut asked, mut next) = (Vec::new(), patience);
        for (number, shard) in (0u16..).zip(&shards).filter(|(_, shard)| !shard.done) {
            let due = shard.due.unwrap_or(due);
            if abandoned == Abandoned::Expired && due > now {
                next = next.min(due);
            } else if self.store.postpone_shard(portal, id, number, shard.due, patience).await? {
                asked.push(number);
            }
        }
        if !asked.is_empty() {
            tracing::info!(job = %id, shards = asked.len(), "unfinished job found");
        }
        self.store.postpone_job(portal, id, next).await?;
        let count = asked.len();
        self.ask_for_workers(portal, &job, asked).await;
        Ok(count)
    }
}
