//! A shard of a snapshot: counts contacts by their access and writes no contact.
//!
//! The counts are saved together with the shard's progress, so a worker that takes the shard over counts no contact
//! twice.

use models::access::Actor;
use models::job::snapshot::{Snapshot, TagNumbers, Tally};
use models::job::{Job, SnapshotTask};
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::index::{Matches, ScanCursor};
use store::jobs::Checkpoint;

use crate::context::Jobs;
use crate::shard::{Deadline, ShardRef, ShardWork, Stopped};
use crate::source::Rights;

impl Jobs {
    /// Counts the contacts of a shard from its progress to its end, and closes the shard.
    pub(super) async fn count_contacts(
        &self,
        shard: ShardRef<'_>,
        task: &SnapshotTask,
        rights: Rights<'_>,
        work: &mut ShardWork<'_>,
        deadline: &Deadline,
    ) -> Result<(), Stopped> {
        let ShardRef { portal, job, number } = shard;
        let cursor = match work.progress.checkpoint {
            Some(Checkpoint::Matches(cursor)) => cursor,
            _ => ScanCursor::default(),
        };
        let numbers = TagNumbers::new(&task.tags);
        let mut tally = self.store.tally(portal, job.id, number).await?;
        let mut matches = Matches::new(&self.store, portal, &task.plan, number, cursor);
        while !deadline.is_up() {
            let Some(page) = matches.next_entries().await? else { return work.close(None).await };
            let ids: Vec<ContactId> = page.matches.iter().map(|entry| entry.contact).collect();
            let accesses = async {
                let shares =
                    self.store.access_with(portal, &ids, |state, _| (!state.is_removed).then_some(state.access.share));
                Ok(shares.await?)
            };
            let (actor, shares) = futures::try_join!(rights.actor(), accesses)?;
            // The snapshot of a removed user ends, and so does that of a user who is no longer an administrator.
            if matches!(actor, Actor::User(caller) if !caller.is_admin) {
                return Err(Stopped::UserRemoved);
            }
            for entry in &page.matches {
                if let Some(share) = *shares.of(entry.contact)? {
                    tally.add(entry, share, &numbers);
                    work.progress.counts.matched += 1;
                }
            }
            work.progress.examined += page.examined;
            let end = ScanCursor { partition: task.plan.source.partitions(), after: None };
            work.progress.checkpoint = Some(Checkpoint::Matches(page.next.unwrap_or(end)));
            work.save_with(&tally).await?;
            if deadline.turn_has_ended() {
                return Err(Stopped::OutOfTime);
            }
        }
        Err(Stopped::OutOfTime)
    }

    /// Stores the result of a snapshot whose shards are all counted. The result may be stored again.
    pub(crate) async fn store_snapshot(
        &self,
        portal: &PortalId,
        job: &Job,
        task: &SnapshotTask,
        finished: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tally = Tally::default();
        for shard in 0..job.shards {
            tally.merge(self.store.tally(portal, job.id, shard).await?);
        }
        self.store.put_snapshot(portal, &Snapshot::new(job.id, job.created, finished, tally, &task.tags)).await
    }
}
