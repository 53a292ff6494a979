//! The counts of a snapshot: of each shard, with its progress, and of the whole portal.

use models::job::snapshot::{Snapshot, Tally};
use models::values::id::{JobId, PortalId};

use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::error::StoreError;
use crate::jobs::shards::{DUE, Lease, PROGRESS, Progress, Saved, ShardRef, TRIES};
use crate::jobs::{ticks, values};
use crate::keys::Key;

/// Attribute of a shard of a snapshot: its counts up to its progress.
const TALLY: &str = "tally";

// The attributes of the latest snapshot.
const DOC: &str = "doc";
const JOB: &str = "job";

const WHAT: &str = "the counts of a snapshot";

impl Store {
    /// Saves the counts of a shard of a snapshot together with its progress, and renews the shard's lease: 1 write unit
    /// per KB of the counts. A tag or a stage takes some bytes.
    pub async fn save_tally(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
        tally: &Tally,
    ) -> Result<Saved, StoreError> {
        let tally = postcard::to_stdvec(tally).map_err(|error| StoreError::unbuildable(WHAT, error))?;
        self.update_held_shard(
            ShardRef { portal, job, shard },
            lease,
            "SET #progress = :progress, #tally = :tally, #due = :until, #tries = :none",
            &[("#progress", PROGRESS), ("#tally", TALLY), ("#due", DUE), ("#tries", TRIES)],
            values([
                (":progress", items::to_document(progress)?),
                (":tally", items::b(tally)),
                (":until", ticks(lease.until)),
                (":none", items::n(0)),
            ]),
        )
        .await
    }

    /// Reads the counts of a shard of a snapshot; empty if nothing was counted: 1 read unit per 4 KB.
    pub async fn tally(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<Tally, StoreError> {
        let item = self.get_attribute(&Key::JobShard(portal.clone(), job, shard), TALLY).await?;
        let Some(item) = item.filter(|item| item.contains_key(TALLY)) else { return Ok(Tally::default()) };
        let another_form = |error| StoreError::corrupt("the counts of a snapshot have another form", error);
        postcard::from_bytes(items::bytes(&item, TALLY)?).map_err(another_form)
    }

    /// Stores the result of a snapshot, unless a later snapshot is stored: 1 write unit per KB.
    pub async fn put_snapshot(&self, portal: &PortalId, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::Snapshot(portal.clone()));
        let job = items::b(*snapshot.job.as_bytes());
        item.insert(JOB.into(), job.clone());
        item.insert(DOC.into(), items::to_document(snapshot)?);
        // Identifiers of jobs sort by time.
        self.put_if(item, "attribute_not_exists(#pk) OR job <= :job", [(":job", job)]).await.map(drop)
    }

    /// Reads the latest snapshot: 1 read unit per 4 KB.
    pub async fn snapshot(&self, portal: &PortalId) -> Result<Option<Snapshot>, StoreError> {
        let item = self.get(&Key::Snapshot(portal.clone())).await?;
        item.map(|mut item| items::document(&mut item, DOC)).transpose()
    }
}
