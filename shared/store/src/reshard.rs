//! Changes the number of shards of a portal that has contacts: moves index entries to the partitions of the new number.
//!
//! An index entry is an attribute of its item, so an entry is always in one partition: that of the old number of shards
//! or that of the new number. Both numberings use the same partitions, `0..n`, so a reader of the first
//! `max(old, new)` partitions reads every contact once, whichever contacts have moved. The steps:
//!
//! 1. [`Store::begin_reshard`] sets the portal's number of shards to the greater of both numbers, and adds a mark with
//!    the new number. Lists now read all partitions. Imports and new runs by filter refuse a portal with a mark: an
//!    import would write entries of the old number, and a run needs each contact to stay in one shard.
//! 2. The caller waits until calls and imports that read the portal before the mark have ended, and until no job by
//!    filter is open ([`Store::open_filter_jobs`]).
//! 3. [`Store::reshard_pass`] moves every entry that is in a partition of another shard, each by one conditional write.
//!    The caller repeats the pass until a pass finds no such entry.
//! 4. The caller waits until the indexes have all moves, and makes one more pass. [`Store::finish_reshard`] sets the
//!    new number and removes the mark.
//!
//! An interruption between any two writes leaves the mark, so a repetition of all steps completes the work. Each
//! repetition has an identifier of its own in the mark, and a pass stops when it finds another identifier. Two commands
//! therefore never move entries at the same time, as long as the second waits in step 2.
//!
//! Chunks and progress of jobs keep the number of shards of their job, so ended jobs are shown and undone as before.

use std::collections::HashMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::job::Task;
use models::values::id::{ContactId, JobId, PortalId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::directory::{RESHARD_TO, SHARDS, portal};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, s};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::import::COUNTERS_DIRTY;
use crate::index::KeyRange;
use crate::keys::{Key, OPEN_BUCKETS, Partition, Range};

/// Attribute of a portal: the identifier of the repetition that moves the index entries.
const RESHARD_RUN: &str = "reshard_run";

/// Index entries per query.
const QUERY_ENTRIES: i32 = 250;
/// Partitions that are read concurrently.
const PARTITIONS_AT_ONCE: usize = 8;
/// Entries of one partition that are moved concurrently, or wait for the limiter of bulk writes.
const MOVES_AT_ONCE: usize = 8;

/// A change of a portal's number of shards, in progress.
#[derive(Clone, Debug)]
pub struct Reshard {
    /// The portal.
    pub portal: PortalId,
    /// The new number of shards.
    pub to: u16,
    /// Number of partitions that hold entries: the greater of both numbers.
    pub partitions: u16,
    /// Identifier of this repetition.
    run: Uuid,
}

/// The result of [`Store::begin_reshard`].
#[derive(Clone, Debug)]
pub enum Begun {
    /// There is no such portal.
    UnknownPortal,
    /// The portal has this number of shards already.
    Unchanged,
    /// An import of the portal runs or was interrupted.
    Importing,
    /// The portal is marked.
    Started(Reshard),
}

/// The reason why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ReshardError {
    /// A later call of [`Store::begin_reshard`] took the work over, or finished the work.
    #[error("another crm-access is changing the number of shards of this portal")]
    Superseded,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Entries that the pass moved.
    pub moved: u64,
    /// Entries that were already moved, although the index still shows them in their old partition.
    pub late: u64,
}

impl Pass {
    /// Returns whether the pass found every entry in its partition.
    pub fn found_nothing(&self) -> bool {
        *self == Self::default()
    }
}

fn names<const N: usize>(names: [(&str, &str); N]) -> HashMap<String, String> {
    names.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into()
}

impl Store {
    /// Marks a portal that gets `to` shards, and sets its number of shards to the greater of both numbers. Takes over
    /// the work of an earlier call, also one with another number. Costs 1 read unit and 1 write unit.
    ///
    /// # Errors
    ///
    /// [`StoreError::ConditionFailed`] when another program changed the portal at the same time.
    pub async fn begin_reshard(&self, id: &PortalId, to: u16) -> Result<Begun, StoreError> {
        let key = Key::Portal(id.clone());
        let Some(item) = self.get(&key).await? else { return Ok(Begun::UnknownPortal) };
        let before = portal(id.clone(), &item)?;
        if before.shards == to && before.resharding_to.is_none() {
            return Ok(Begun::Unchanged);
        }
        if item.contains_key(COUNTERS_DIRTY) {
            return Ok(Begun::Importing);
        }
        let (partitions, run) = (before.shards.max(to), Uuid::now_v7());
        let marked = self
            .update_if(
                &key,
                "SET #shards = :partitions, #to = :to, #run = :run",
                // An import that marks the portal first must end first.
                Some("#shards = :before AND attribute_not_exists(#dirty)"),
                names([("#shards", SHARDS), ("#to", RESHARD_TO), ("#run", RESHARD_RUN), ("#dirty", COUNTERS_DIRTY)]),
                HashMap::from([
                    (":partitions".to_owned(), items::n(partitions)),
                    (":to".to_owned(), items::n(to)),
                    (":run".to_owned(), items::b(*run.as_bytes())),
                    (":before".to_owned(), items::n(before.shards)),
                ]),
            )
            .await?;
        match marked {
            Some(_) => Ok(Begun::Started(Reshard { portal: id.clone(), to, partitions, run })),
            None => Err(StoreError::ConditionFailed { operation: "UpdateItem" }),
        }
    }

    /// Returns the open jobs of a portal that read an index: runs by filter, previews and snapshots. Costs 1 read unit
    /// per 4 KB of open jobs of all portals, and 1 for each open job of the portal.
    pub async fn open_filter_jobs(&self, portal: &PortalId) -> Result<Vec<JobId>, StoreError> {
        let mut found = Vec::new();
        for bucket in 0..OPEN_BUCKETS {
            let mut from = None;
            loop {
                let page = self.open_jobs(bucket, from).await?;
                for open in page.jobs.into_iter().filter(|open| open.portal == *portal) {
                    // An entry without a record belongs to a call that ended before it wrote the record.
                    let Some(job) = self.job(portal, open.job).await? else { continue };
                    let reads_index = job.task.matches().is_some() || matches!(job.task, Task::Snapshot(_));
                    if reads_index && !job.is_over() {
                        found.push(job.id);
                    }
                }
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Moves every index entry that is not in the partition of its shard. Costs 1 read unit per 8 KB of all index
    /// entries of the portal, at least half a unit for each partition, and 1 for each 250 entries. A move costs 1 write
    /// unit per KB of the contact's or the tag's item, and 2 for the index.
    ///
    /// # Errors
    ///
    /// [`ReshardError`]. A pass may stop after any of its writes; the next pass continues.
    pub async fn reshard_pass(&self, reshard: &Reshard) -> Result<Pass, ReshardError> {
        let of = &reshard.portal;
        let lists = self.lists(of).await?;
        let stages = std::iter::once(0).chain(lists.stage_counts.into_keys().filter(|stage| *stage != 0));
        let mut partitions: Vec<(u16, Partition)> = Vec::new();
        for stage in stages {
            let in_shard = |shard| (shard, Partition::Stage(of.clone(), shard, stage));
            partitions.extend((0..reshard.partitions).map(in_shard));
        }
        // An import makes the directory's entry of a tag before it removes its mark, so the directory has every tag.
        for item in self.query(&Range::Tags(of.clone()), Consistency::Strong).await? {
            let Key::Tag(_, tag) = items::key_of(&item)? else { continue };
            let in_shard = |shard| (shard, Partition::Tag(of.clone(), shard, tag.clone()));
            partitions.extend((0..reshard.partitions).map(in_shard));
        }
        let passes: Vec<_> = partitions
            .into_iter()
            .map(|(shard, partition)| self.reshard_partition(reshard, shard, partition))
            .collect();
        let passes = stream::iter(passes).buffer_unordered(PARTITIONS_AT_ONCE).boxed();
        let add = |sum: Pass, pass: Pass| async move {
            Ok(Pass { moved: sum.moved + pass.moved, late: sum.late + pass.late })
        };
        passes.try_fold(Pass::default(), add).await
    }

    /// Moves the entries of a partition that belong to other shards.
    async fn reshard_partition(
        &self,
        reshard: &Reshard,
        shard: u16,
        partition: Partition,
    ) -> Result<Pass, ReshardError> {
        let (mut pass, mut after) = (Pass::default(), None);
        loop {
            let (from, to) = (Timestamp::MIN, Timestamp::MAX);
            let range = KeyRange { partition: partition.clone(), from, to, after, ascending: false };
            let page = self.index_entries(&range, QUERY_ENTRIES).await?;
            let contacts = page.entries.iter().map(|entry| entry.contact);
            let misplaced: Vec<ContactId> = contacts.filter(|contact| contact.shard(reshard.to) != shard).collect();
            if !misplaced.is_empty() {
                self.check_reshard(reshard).await?;
                let moves = misplaced.into_iter().map(|contact| self.move_entry(reshard, &partition, contact));
                let moves = stream::iter(moves.collect::<Vec<_>>()).buffer_unordered(MOVES_AT_ONCE).boxed();
                let moves: Vec<bool> = moves.try_collect().await?;
                for is_moved in moves {
                    if is_moved { pass.moved += 1 } else { pass.late += 1 }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(pass);
            }
        }
    }

    /// Moves one entry, unless the entry has left the partition. Returns whether the entry was moved.
    async fn move_entry(&self, reshard: &Reshard, from: &Partition, contact: ContactId) -> Result<bool, StoreError> {
        let (of, shard) = (&reshard.portal, contact.shard(reshard.to));
        let (key, to) = match from {
            Partition::Stage(_, _, stage) => {
                (Key::Contact(of.clone(), contact), Partition::Stage(of.clone(), shard, *stage))
            }
            Partition::Tag(_, _, tag) => {
                (Key::ContactTag(of.clone(), contact, tag.clone()), Partition::Tag(of.clone(), shard, tag.clone()))
            }
        };
        let values = HashMap::from([(":to".to_owned(), s(to.encode())), (":from".to_owned(), s(from.encode()))]);
        let names = names([("#partition", from.index().pk())]);
        let update = self.update_if(&key, "SET #partition = :to", Some("#partition = :from"), names, values);
        Ok(self.pressure.write_one(update).await?.is_some())
    }

    /// Checks that no other call took the work over: 1 read unit.
    async fn check_reshard(&self, reshard: &Reshard) -> Result<(), ReshardError> {
        let item = self.get(&Key::Portal(reshard.portal.clone())).await?.unwrap_or_default();
        let is_own = item.contains_key(RESHARD_RUN) && items::bytes(&item, RESHARD_RUN)? == reshard.run.as_bytes();
        if is_own { Ok(()) } else { Err(ReshardError::Superseded) }
    }

    /// Sets the new number of shards and removes the mark: 1 write unit. Call this function after a pass that found
    /// nothing and began after the indexes had all moves.
    ///
    /// # Errors
    ///
    /// [`ReshardError`].
    pub async fn finish_reshard(&self, reshard: &Reshard) -> Result<(), ReshardError> {
        let finished = self
            .update_if(
                &Key::Portal(reshard.portal.clone()),
                "SET #shards = :to REMOVE #to, #run",
                Some("#run = :run"),
                names([("#shards", SHARDS), ("#to", RESHARD_TO), ("#run", RESHARD_RUN)]),
                HashMap::from([
                    (":to".to_owned(), items::n(reshard.to)),
                    (":run".to_owned(), items::b(*reshard.run.as_bytes())),
                ]),
            )
            .await?;
        finished.map(drop).ok_or(ReshardError::Superseded)
    }
}
