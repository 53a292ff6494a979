//! Looking after jobs that nobody else does: of workers that died, of messages that were lost, of events not told.

use jiff::SignedDuration;
use models::id::PortalId;
use models::job::JobId;
use models::limits::RETRY_MILLIS;
use models::moment::Moment;
use store::StoreError;
use store::keys::OPEN_BUCKETS;

use crate::context::Jobs;
use crate::worker::WorkError;

/// Whose shards are taken from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// Those who were not heard of until their lease ended.
    Expired,
    /// Everybody's: no other worker is alive, as after the restart of the only one.
    All,
}

impl Jobs {
    /// Looks after every open job that is due, and says how many shards workers were asked for.
    ///
    /// # Errors
    ///
    /// When the list of open jobs cannot be read. A job that cannot be looked after does not keep the others from it.
    pub async fn sweep(&self, abandoned: Abandoned) -> Result<usize, StoreError> {
        let mut asked = 0;
        for bucket in 0..OPEN_BUCKETS {
            for (portal, job, due) in self.store.open_jobs(bucket).await? {
                if abandoned == Abandoned::Expired && due > self.now() {
                    continue;
                }
                match self.look_after(&portal, job, due, abandoned).await {
                    Ok(shards) => asked += shards,
                    Err(error) => {
                        tracing::error!(%job, error = &error as &dyn std::error::Error, "job not looked after");
                        let later = self.now() + SignedDuration::from_millis(i64::try_from(RETRY_MILLIS).unwrap_or(0));
                        self.store.postpone_job(&portal, job, later).await?;
                    }
                }
            }
        }
        Ok(asked)
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
