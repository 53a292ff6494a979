//! Compaction of postings: removes a manager's postings whose contacts other postings also name.
//!
//! The invariant: **at least one of a manager's postings names each contact of the manager**, at every moment and for
//! every reader. A compaction consists of single writes, so other calls and compactions may run between two writes.
//! Three rules make each write safe by itself:
//!
//! 1. A compaction removes only settled postings. A posting is settled if it was written longer than
//!    [`POSTING_SETTLED_MILLIS`] ago and was not rewritten since the compaction read it. By then, all access records
//!    that depend on the posting are written. A contact that the manager did not have when the compaction read the
//!    access can return to the manager only with a new posting.
//! 2. For each contact of the manager in a removed posting, another settled posting names the contact, has a greater
//!    key and stays. All keys have one order, so two compactions never remove two postings that rely on each other: for
//!    each contact, the settled posting with the greatest key stays.
//! 3. If the remaining postings have too many entries, the compaction writes new postings. Their keys are greater than
//!    all keys that the compaction read. A later compaction removes the replaced postings once the new postings are
//!    settled. By then, the new postings are visible to eventually consistent reads that began before the removal.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::limits::{self, MAX_COMPACTED_CONTACTS, MAX_PACKED_CONTACTS, POSTING_SETTLED_MILLIS, WASTED_ENTRIES};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::dynamodb::batch::Priority;
use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::keys::{Key, Range};
use crate::postings::{INDEXED_AT, Posting};

/// Attribute of a request: the time from which the compaction is due.
const DUE: &str = "due";

/// Contacts whose access is read in one batch.
const ACCESS_BATCH: usize = 500;
/// Batches of [`ACCESS_BATCH`] contacts that are read concurrently.
const ACCESS_BATCHES_IN_FLIGHT: usize = 4;
/// Postings that are removed concurrently, or wait for the limiter of bulk writes.
const REMOVALS_IN_FLIGHT: usize = 8;

/// A request to compact the postings of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCompaction {
    /// The portal.
    pub portal: PortalId,
    /// The manager.
    pub manager: UserId,
    /// Time from which the compaction is due.
    pub due: Timestamp,
}

/// The outcome of a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Number of postings removed.
    pub removed: usize,
    /// Number of postings written. A later compaction removes the postings that they replace.
    pub written: usize,
}

/// Returns whether a manager's postings with a date have too many entries for its `own` contacts.
pub(crate) fn is_wasteful(entries: usize, own: usize) -> bool {
    entries > 2 * own + WASTED_ENTRIES
}

/// Returns the number of entries in the postings with a date. A compaction never removes a posting without a date, so
/// its entries are not waste.
fn dated_entries(postings: &[Posting]) -> usize {
    postings.iter().filter(|posting| posting.indexed_at.is_some()).map(|posting| posting.contacts.len()).sum()
}

/// Returns the latest write time at which a posting is settled at `now`.
fn settled_before(now: Timestamp) -> Timestamp {
    now + -limits::duration(POSTING_SETTLED_MILLIS)
}

/// Returns the postings that a compaction may remove. `postings` are in the order of their keys. A superfluous posting
/// was written at `settled` or earlier. Each of its contacts in `own` is also in a later posting that stays and was
/// written at `settled` or earlier.
fn superfluous<'a>(postings: &'a [Posting], own: &HashSet<ContactId>, settled: Timestamp) -> Vec<&'a Posting> {
    let mut covered: HashSet<ContactId> = HashSet::with_capacity(own.len());
    let mut superfluous = Vec::new();
    for posting in postings.iter().rev().filter(|posting| posting.indexed_at.is_some_and(|at| at <= settled)) {
        let mut own = posting.contacts.iter().filter(|contact| own.contains(contact)).peekable();
        if own.clone().all(|contact| covered.contains(contact)) {
            superfluous.push(posting);
        } else if own.peek().is_some() {
            covered.extend(own);
        }
    }
    superfluous
}

/// Returns the generation for new postings, which is greater than the generation of each of `postings`.
fn next_generation(postings: &[Posting]) -> u32 {
    let generations = postings.iter().map(|posting| match posting.key {
        Key::PackedPosting(_, _, generation, _) => generation,
        _ => 0,
    });
    generations.max().unwrap_or(0).saturating_add(1)
}

impl Store {
    /// Requests compaction of a manager's postings, unless already requested: 1 write unit.
    pub async fn request_compaction(
        &self,
        portal: &PortalId,
        manager: UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::DueCompaction(portal.clone(), manager));
        item.insert(DUE.into(), items::n(now.ticks()));
        self.put_if(item, "attribute_not_exists(#pk)", []).await.map(drop)
    }

    /// Reads the managers whose compaction is due: 1 read unit per 4 KB, at least 1. Reads at most about a megabyte.
    pub async fn due_compactions(&self, now: Timestamp) -> Result<Vec<DueCompaction>, StoreError> {
        let options = QueryOptions { consistency: Consistency::Strong, ..QueryOptions::default() };
        let (items, _) = self.query_page(&Range::DueCompactions, &options, None, None).await?;
        let all = items.iter().map(|item| match items::key_of(item)? {
            Key::DueCompaction(portal, manager) => {
                Ok(DueCompaction { portal, manager, due: Timestamp::from_ticks(items::number(item, DUE)?) })
            }
            other => Err(StoreError::Corrupt(format!("a {other:?} item is among the due compactions").into())),
        });
        let all = all.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(all.into_iter().filter(|compaction| compaction.due <= now).collect())
    }

    /// Postpones a compaction, unless its item changed since it was read. Returns whether the compaction was postponed.
    /// Costs 1 write unit.
    pub async fn postpone_compaction(&self, read: &DueCompaction, due: Timestamp) -> Result<bool, StoreError> {
        let text = |name: &str, of: &str| (name.to_owned(), of.to_owned());
        let postponed = self
            .update_if(
                &Key::DueCompaction(read.portal.clone(), read.manager),
                "SET #due = :due",
                Some("#due = :seen"),
                [text("#due", DUE)].into(),
                [(":due".to_owned(), items::n(due.ticks())), (":seen".to_owned(), items::n(read.due.ticks()))].into(),
            )
            .await?;
        Ok(postponed.is_some())
    }

    /// Deletes the request of a finished compaction: 1 write unit.
    pub async fn forget_compaction(&self, done: &DueCompaction) -> Result<(), StoreError> {
        self.delete(&Key::DueCompaction(done.portal.clone(), done.manager)).await
    }

    /// Compacts the postings of a manager at the time `now`. Reads the postings, and half a read unit per contact in
    /// the postings. Removes superfluous postings for 1 write unit per KB. If too many entries remain, writes new
    /// postings of the manager's contacts for 1 write unit per KB. The compaction may stop after any of its calls.
    pub async fn compact_postings(
        &self,
        portal: &PortalId,
        manager: UserId,
        now: Timestamp,
    ) -> Result<Compacted, StoreError> {
        let postings = self.postings_of(portal, manager).await?;
        let own = self.own_contacts(portal, manager, &postings).await?;
        let settled = settled_before(now);
        let superfluous = superfluous(&postings, &own, settled);
        let mut compacted = Compacted { removed: superfluous.len(), written: 0 };
        let of_superfluous: usize = superfluous.iter().map(|posting| posting.contacts.len()).sum();
        let entries = dated_entries(&postings) - of_superfluous;
        let removals: Vec<_> = superfluous.into_iter().map(|posting| self.remove_posting(posting)).collect();
        stream::iter(removals).buffer_unordered(REMOVALS_IN_FLIGHT).boxed().try_collect::<()>().await?;

        // A packed posting that is not settled yet will make other postings superfluous, so write no further postings
        // now.
        let is_packed = |posting: &Posting| {
            matches!(posting.key, Key::PackedPosting(..)) && posting.indexed_at.is_some_and(|at| at > settled)
        };
        if is_wasteful(entries, own.len()) && !postings.iter().any(is_packed) {
            let mut own: Vec<ContactId> = own.into_iter().collect();
            own.sort_unstable();
            let generation = next_generation(&postings);
            let writes = own.chunks(MAX_PACKED_CONTACTS).map(|contacts| {
                let key = Key::PackedPosting(portal.clone(), manager, generation, Uuid::now_v7());
                Posting::write(&key, contacts, now)
            });
            let writes = writes.collect::<Result<Vec<_>, _>>()?;
            compacted.written = writes.len();
            self.write_all(writes, Priority::Bulk).await?;
        }
        Ok(compacted)
    }

    /// Reads the postings of a manager in the order of their keys: all packed postings, and other postings until about
    /// [`MAX_COMPACTED_CONTACTS`] entries are read.
    async fn postings_of(&self, portal: &PortalId, manager: UserId) -> Result<Vec<Posting>, StoreError> {
        let packed = self.query(&Range::PackedPostings(portal.clone(), manager), Consistency::Eventual).await?;
        let packed = packed.iter().map(Posting::from_item).collect::<Result<Vec<_>, _>>()?;
        let mut entries: usize = packed.iter().map(|posting| posting.contacts.len()).sum();
        let (mut postings, mut start) = (Vec::new(), None);
        loop {
            let range = Range::RawPostings(portal.clone(), manager);
            let (items, next) = self.query_page(&range, &QueryOptions::default(), None, start).await?;
            for item in &items {
                let posting = Posting::from_item(item)?;
                entries += posting.contacts.len();
                postings.push(posting);
            }
            start = next;
            if start.is_none() || entries >= MAX_COMPACTED_CONTACTS {
                break;
            }
        }
        postings.extend(packed);
        Ok(postings)
    }

    /// Returns the contacts in the postings that the manager has now.
    async fn own_contacts(
        &self,
        portal: &PortalId,
        manager: UserId,
        postings: &[Posting],
    ) -> Result<HashSet<ContactId>, StoreError> {
        let named: HashSet<ContactId> = postings.iter().flat_map(|posting| &posting.contacts).copied().collect();
        let named: Vec<ContactId> = named.into_iter().collect();
        let reads = named.chunks(ACCESS_BATCH).map(|ids| async move {
            (ids, self.access_with(portal, ids, |state, _| state.access.managers.contains(&manager)).await)
        });
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(ACCESS_BATCHES_IN_FLIGHT).boxed();
        let mut own = HashSet::new();
        while let Some((ids, accesses)) = reads.next().await {
            let accesses = accesses?;
            for id in ids {
                if *accesses.of(*id)? {
                    own.insert(*id);
                }
            }
        }
        Ok(own)
    }

    /// Removes a posting unless it was rewritten since it was read.
    async fn remove_posting(&self, posting: &Posting) -> Result<(), StoreError> {
        let names = HashMap::from([("#at".to_owned(), INDEXED_AT.to_owned())]);
        let (condition, values) = match posting.indexed_at {
            Some(at) => ("#at = :at", HashMap::from([(":at".to_owned(), items::n(at.ticks()))])),
            None => ("attribute_not_exists(#at)", HashMap::new()),
        };
        let removal = self.delete_if(&posting.key, condition, names, values);
        self.pressure.write_one(removal).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
