//! The protocol of a job with `maxAffected`: workers count the changes of every shard before they write any.
//!
//! A worker counts its shard, records the number and releases the shard. The worker that counts the last shard checks
//! the sum. Within the limit, this worker requests workers for the writes. Above the limit, the job fails.

use models::job::{Job, State};
use store::StoreError;
use store::jobs::{Release, Saved, ShardState};

use crate::context::Jobs;
use crate::shard::{ClaimEnd, Deadline, ShardRef, ShardWork, Stopped};
use crate::source::{Source, Verdict};
use crate::worker::{ClaimedShard, WorkError, Worked};

/// The check of the counted changes against the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LimitCheck {
    /// Not all shards are counted.
    NotCounted,
    /// The changes of these shards are within the limit.
    Within(Vec<ShardState>),
    /// The job changes too many contacts, and has failed.
    Exceeded,
}

impl Jobs {
    /// Counts the changes of a shard without writing any change, and releases the shard. If all shards are counted,
    /// requests workers for the writes.
    pub(super) async fn count_shard(
        &self,
        shard: ShardRef<'_>,
        limit: u64,
        work: &mut ShardWork<'_>,
        source: &mut Source<'_>,
        deadline: &Deadline,
    ) -> Result<(), Stopped> {
        let counted = count_changes(work, source, deadline).await?;
        match self.store.save_counted(shard.portal, shard.job.id, shard.number, &work.lease(), counted).await? {
            Saved::Held => {}
            Saved::Cancelled => return Err(Stopped::Cancelled),
            Saved::Lost => return Err(Stopped::Lost),
        }
        if let LimitCheck::Within(shards) = self.check_limit(shard, limit).await? {
            let waiting =
                shards.iter().zip(0u16..).filter(|(shard, _)| shard.owner.is_none()).map(|(_, number)| number);
            self.request_workers(shard.portal, shard.job, waiting).await;
        }
        Ok(())
    }

    /// Checks the sum of the counted changes. Above the limit, the job fails.
    pub(super) async fn check_limit(&self, shard: ShardRef<'_>, limit: u64) -> Result<LimitCheck, StoreError> {
        let ShardRef { portal, job, .. } = shard;
        let shards = self.store.shards(portal, job).await?;
        let Some(counted) = shards.iter().map(|shard| shard.counted).sum::<Option<u64>>() else {
            return Ok(LimitCheck::NotCounted);
        };
        if counted <= limit {
            return Ok(LimitCheck::Within(shards));
        }
        let error = too_many_affected(counted, limit);
        let mut failed: Job = job.clone();
        match self.finish(portal, &mut failed, State::Failed, Some(error)).await {
            Err(WorkError::Store(error)) => Err(error),
            // If the event was not published, the job stays open, and a sweep publishes the event.
            Ok(_) | Err(WorkError::Bus(_) | WorkError::Panicked(_)) => Ok(LimitCheck::Exceeded),
        }
    }

    /// Releases a counted shard whose changes must wait for the counts of other shards.
    pub(super) async fn release_until_counted(
        &self,
        claimed: &ClaimedShard<'_>,
        work: &ShardWork<'_>,
    ) -> Result<Worked, WorkError> {
        let ShardRef { portal, job, number } = claimed.shard;
        // The worker that counts the last shard requests workers for the released shards. So release this shard first,
        // then check whether that worker may have missed the release.
        let tries = work.tries_after(&claimed.state, ClaimEnd::Orderly);
        let release = Release { progress: &work.progress, due: self.message_deadline(), tries };
        let saved = self.store.release_shard(portal, job.id, number, &claimed.lease, release).await?;
        let shards = self.store.shards(portal, job).await?;
        if saved == Saved::Cancelled || shards.iter().all(|shard| shard.counted.is_some()) {
            self.request_workers(portal, job, [number]).await;
        }
        Ok(Worked::Nothing)
    }
}

/// Counts the changes that a source yields, and adds them to the progress of the work.
async fn count_changes(work: &mut ShardWork<'_>, source: &mut Source<'_>, deadline: &Deadline) -> Result<u64, Stopped> {
    while let Some(step) = source.next().await? {
        if deadline.is_up() {
            return Err(Stopped::OutOfTime);
        }
        let changes = step.items.iter().filter(|item| matches!(item.verdict, Verdict::Change(..))).count();
        work.progress.counts.updated += changes as u64;
        work.progress.checkpoint = Some(step.after);
        work.progress.examined += step.examined;
        work.renew().await?;
        if deadline.turn_has_ended() {
            return Err(Stopped::OutOfTime);
        }
    }
    Ok(work.progress.counts.updated)
}

/// Divides `limit` among shards whose changes are counted: each shard may make its counted changes and an equal part of
/// the rest. So the shards together never change more contacts than the limit allows, although contacts may come to
/// match between the count and the writes.
pub(crate) fn shard_limits(counted: &[u64], limit: u64) -> Vec<u64> {
    let shards = (counted.len() as u64).max(1);
    let rest = limit.saturating_sub(counted.iter().sum());
    let part = |shard: u64| rest / shards + u64::from(shard < rest % shards);
    (0..).zip(counted).map(|(shard, counted)| counted + part(shard)).collect()
}

/// Returns the error of a job that would change more contacts than its limit allows.
pub(crate) fn too_many_affected(counted: u64, limit: u64) -> String {
    format!(
        "Nothing was changed: {counted} contacts would be changed, and maxAffected allows {limit}. Narrow the filter \
         or raise maxAffected."
    )
}
