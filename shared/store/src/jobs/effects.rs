//! The effect of a preview's changes on users, shard by shard.
//!
//! The chunks of a shard decide the effect of the shard's changes, and a worker can sum the chunks again. A stored sum
//! only saves the reading of the chunks that the sum covers. So a lost or outdated sum never makes an effect wrong.

use models::job::Job;
use models::job::effect::{EffectSum, OrdinaryUsers};
use models::limits::MAX_EFFECT_BYTES;
use models::values::id::{JobId, PortalId};

use crate::directory::ADMIN;
use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::dynamodb::reading::QueryOptions;
use crate::error::StoreError;
use crate::jobs::record::preview_expiry;
use crate::keys::{EXPIRES, Key, Range};

// The attributes of a stored sum.
const CHUNKS: &str = "chunks";
const SUM: &str = "sum";

/// The effect of the first chunks of a preview's shard on users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardEffect {
    /// Number of chunks in the sum.
    pub chunks: u32,
    /// The sum over the changes in these chunks.
    pub sum: EffectSum,
}

impl Store {
    /// Reads the users of a portal who are not administrators: half a read unit per 4 KB of users. Only their
    /// identifiers stay in memory.
    pub async fn ordinary_users(&self, portal: &PortalId) -> Result<OrdinaryUsers, StoreError> {
        let (range, mut users, mut start) = (Range::Users(portal.clone()), OrdinaryUsers::new(), None);
        loop {
            let (items, next) = self.query_page(&range, &QueryOptions::default(), None, start).await?;
            for item in items {
                if let Key::User(_, user) = items::key_of(&item)?
                    && !items::boolean(&item, ADMIN)?
                {
                    users.insert(user);
                }
            }
            start = next;
            if start.is_none() {
                return Ok(users);
            }
        }
    }

    /// Stores the effect of a shard's first chunks: 1 write unit per KB, about 22 bytes for each user that the manager
    /// lists of the changes name. A sum of more than [`MAX_EFFECT_BYTES`] is not stored.
    pub async fn save_effect(
        &self,
        portal: &PortalId,
        job: &Job,
        shard: u16,
        effect: &ShardEffect,
    ) -> Result<(), StoreError> {
        let sum = postcard::to_stdvec(&effect.sum)
            .map_err(|error| StoreError::unbuildable("the effect of a preview's shard", error))?;
        if sum.len() > MAX_EFFECT_BYTES {
            tracing::warn!(job = %job.id, shard, bytes = sum.len(), "effect not stored; its chunks are read again");
            return Ok(());
        }
        let mut item = items::keyed(&Key::JobEffect(portal.clone(), job.id, shard));
        item.insert(CHUNKS.into(), items::n(effect.chunks));
        item.insert(SUM.into(), items::b(sum));
        item.extend(preview_expiry(job).map(|at| (EXPIRES.to_owned(), at)));
        self.put(item).await
    }

    /// Reads the stored effect of a shard's first chunks: 1 read unit per 4 KB. Without a stored effect, returns the
    /// effect of no chunk.
    pub async fn effect(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<ShardEffect, StoreError> {
        let Some(item) = self.get(&Key::JobEffect(portal.clone(), job, shard)).await? else {
            return Ok(ShardEffect::default());
        };
        let sum = postcard::from_bytes(items::bytes(&item, SUM)?)
            .map_err(|error| StoreError::corrupt("the effect of a preview's shard has another form", error))?;
        Ok(ShardEffect { chunks: items::number(&item, CHUNKS)?, sum })
    }
}
