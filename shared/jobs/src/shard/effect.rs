//! The effect of a preview's changes on users, summed while a shard records the changes.
//!
//! The chunks decide the effect: each change is in one chunk, and a chunk is never written twice. A stored sum covers
//! the first chunks of a shard. A worker that takes the shard over continues from this sum and reads only the later
//! chunks, so no change counts twice. The users are those without an administrator's role while the sum is made; a
//! change of roles during a preview may leave the numbers inexact.

use std::time::Duration;

use models::job::effect::{Effect, EffectSum, OrdinaryUsers};
use models::job::{Change, Job};
use models::values::id::{PortalId, UserId};
use store::StoreError;
use store::jobs::{ShardEffect, ShardState};
use tokio::time::Instant;

use crate::context::Jobs;
use crate::shard::{ShardRef, ShardWork, Stopped};

/// The maximum time in which a worker reads the chunks that the stored sum does not cover.
const LONGEST_READ: Duration = Duration::from_secs(600);

/// The sum over the changes that a shard has recorded.
#[derive(Debug)]
pub(super) struct EffectWork {
    /// The users who are not administrators.
    users: OrdinaryUsers,
    effect: ShardEffect,
    /// Number of chunks in the stored sum.
    stored: u32,
}

impl ShardWork<'_> {
    /// Prepares the sum over the shard's changes: half a read unit per 4 KB of users, and 1 read unit per 4 KB of the
    /// stored sum and of each chunk after this sum.
    pub(crate) async fn load_effect(&mut self) -> Result<(), Stopped> {
        let Self { jobs, portal, job, shard: number, .. } = *self;
        let chunks = self.progress.next_chunk;
        let reading = Box::pin(async {
            let users = jobs.store.ordinary_users(portal).await?;
            let effect = jobs.effect_of_chunks(ShardRef { portal, job, number }, chunks, &users).await?;
            Ok(EffectWork { users, effect, stored: 0 })
        });
        self.effect = Some(Box::new(self.under_lease(Instant::now() + LONGEST_READ, reading).await?));
        Ok(())
    }

    /// Adds the changes of the next chunk.
    pub(super) fn add_to_effect(&mut self, changes: &[Change]) {
        if let Some(work) = &mut self.effect {
            add(&mut work.effect, self.job, changes, &work.users);
        }
    }

    /// Stores the sum, so that no worker has to read the chunks again: 1 write unit per KB. A failure is only logged,
    /// because the sum can be made again from the chunks.
    pub(crate) async fn store_effect(&mut self) {
        let Self { jobs, portal, job, shard, .. } = *self;
        let Some(work) = self.effect.as_mut().filter(|work| work.effect.chunks > work.stored) else { return };
        match jobs.store.save_effect(portal, job, shard, &work.effect).await {
            Ok(()) => work.stored = work.effect.chunks,
            Err(error) => {
                tracing::warn!(job = %job.id, shard, error = &error as &dyn std::error::Error, "effect not stored");
            }
        }
    }
}

impl Jobs {
    /// Returns the effect of the first `chunks` chunks of a preview's shard on `users`: 1 read unit per 4 KB of the
    /// stored sum and of each chunk after this sum.
    async fn effect_of_chunks(
        &self,
        shard: ShardRef<'_>,
        chunks: u32,
        users: &OrdinaryUsers,
    ) -> Result<ShardEffect, StoreError> {
        let ShardRef { portal, job, number: shard } = shard;
        let mut effect = self.store.effect(portal, job.id, shard).await?;
        for number in effect.chunks..chunks {
            let chunk = self.store.chunk(portal, job.id, shard, number).await?;
            let chunk = chunk.ok_or_else(|| StoreError::Corrupt("a chunk of a preview is missing".into()))?;
            add(&mut effect, job, &chunk.changes, users);
        }
        Ok(effect)
    }

    /// Returns the effect of a preview whose shards are all finished.
    pub(crate) async fn effect_of_preview(
        &self,
        portal: &PortalId,
        job: &Job,
        shards: &[ShardState],
    ) -> Result<Effect, StoreError> {
        let users = self.store.ordinary_users(portal).await?;
        let mut sum = EffectSum::default();
        for (number, shard) in (0u16..).zip(shards) {
            let shard_ref = ShardRef { portal, job, number };
            sum.merge(self.effect_of_chunks(shard_ref, shard.progress.next_chunk, &users).await?.sum);
        }
        Ok(sum.effect(&users, job.created_by.user().unwrap_or(UserId::NIL)))
    }
}

/// Adds the changes of the next chunk to the sum of a shard.
fn add(effect: &mut ShardEffect, job: &Job, changes: &[Change], users: &OrdinaryUsers) {
    effect.chunks += 1;
    for (before, after) in changes.iter().filter_map(|change| change.states(job)) {
        effect.sum.add(before, after, users);
    }
}
