//! Compaction of postings: removes postings of a manager whose contacts other postings cover.
//!
//! Its invariant: **every contact of a manager is named by one of the manager's postings**, at every moment and for
//! every reader. A compaction consists of single writes, so other calls and compactions may run between two writes.
//! Three rules make each write safe by itself:
//!
//! 1. A posting is removed only if it is settled: written longer than [`POSTING_SETTLED_MILLIS`] ago, and not rewritten
//!    since it was read. The access records that it was written for have been written by then. A contact that was not
//!    the manager's when its access was read can become the manager's only by a write that posts the contact again.
//! 2. Each contact of the manager in a removed posting must be named by another settled posting that has a greater key
//!    and stays. All keys have one order, so two compactions never remove two postings that rely on each other. For
//!    each contact, the settled posting with the greatest key stays.
//! 3. If no posting covers the manager's contacts well, the compaction writes one with a greater key than all it has
//!    read. A later compaction removes the replaced postings once the new posting is settled. By then the new posting
//!    is visible to eventually consistent reads that began before the removal.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::limits::{self, MAX_COMPACTED_CONTACTS, MAX_PACKED_CONTACTS, POSTING_SETTLED_MILLIS, WASTED_ENTRIES};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::dynamodb::batch::IN_FLIGHT;
use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::keys::{Key, Range};
use crate::postings::{INDEXED_AT, Posting};

/// Attribute of a request: the time from which the compaction is due.
const DUE: &str = "due";

/// Contacts whose access is read together.
const ACCESS_TOGETHER: usize = 500;
/// Batches of [`ACCESS_TOGETHER`] contacts that are read concurrently.
const ACCESS_AT_ONCE: usize = 4;

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
    /// Number of postings written. If there are any, another compaction must remove those that they replace.
    pub written: usize,
}

/// Returns whether a manager's postings have too many entries for its `own` contacts.
pub(crate) fn is_wasteful(entries: usize, own: usize) -> bool {
    entries > 2 * own + WASTED_ENTRIES
}

/// Returns the latest write time at which a posting is settled at `now`.
fn settled_before(now: Timestamp) -> Timestamp {
    now + -limits::duration(POSTING_SETTLED_MILLIS)
}

/// Returns the postings that may be removed, from `postings` in the order of their keys. Each was written by `settled`.
/// Each contact of `own` that it names is also named by a later posting that stays and was written by `settled`.
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

/// Returns the generation of new postings from a compaction that has read `postings`.
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

    /// Reads the managers whose compaction is due: 1 read unit per 4 KB, at least 1. It reads about a megabyte at most.
    pub async fn due_compactions(&self, now: Timestamp) -> Result<Vec<DueCompaction>, StoreError> {
        let part = QueryOptions { consistency: Consistency::Strong, ..QueryOptions::default() };
        let (items, _) = self.query_page(&Range::DueCompactions, &part, None, None).await?;
        let all = items.iter().map(|item| match items::key_of(item)? {
            Key::DueCompaction(portal, manager) => {
                Ok(DueCompaction { portal, manager, due: Timestamp::from_ticks(items::number(item, DUE)?) })
            }
            other => Err(StoreError::Corrupt(format!("{other:?} among the compactions that are due").into())),
        });
        let all = all.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(all.into_iter().filter(|compaction| compaction.due <= now).collect())
    }

    /// Postpones a compaction unless its item changed since it was read; true if postponed: 1 write unit.
    pub async fn postpone_compaction(&self, seen: &DueCompaction, due: Timestamp) -> Result<bool, StoreError> {
        let text = |name: &str, of: &str| (name.to_owned(), of.to_owned());
        let postponed = self
            .update_if(
                &Key::DueCompaction(seen.portal.clone(), seen.manager),
                "SET #due = :due",
                Some("#due = :seen"),
                [text("#due", DUE)].into(),
                [(":due".to_owned(), items::n(due.ticks())), (":seen".to_owned(), items::n(seen.due.ticks()))].into(),
            )
            .await?;
        Ok(postponed.is_some())
    }

    /// Deletes the request of a finished compaction: 1 write unit.
    pub async fn forget_compaction(&self, done: &DueCompaction) -> Result<(), StoreError> {
        self.delete(&Key::DueCompaction(done.portal.clone(), done.manager)).await
    }

    /// Compacts the postings of a manager at the time `now`. It reads the postings, and half a read unit per contact in
    /// them. It removes superfluous postings for 1 write unit per KB. If too many entries remain, it writes postings of
    /// the manager's contacts for 1 write unit per KB. The compaction may end after any of its calls.
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
        let entries = postings.iter().map(|posting| posting.contacts.len()).sum::<usize>() - of_superfluous;
        let removals: Vec<_> = superfluous.into_iter().map(|posting| self.remove_posting(posting)).collect();
        stream::iter(removals).buffer_unordered(IN_FLIGHT).boxed().try_collect::<()>().await?;

        // A packed posting that is not settled yet will make others superfluous.
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
            self.write_all(writes).await?;
        }
        Ok(compacted)
    }

    /// Reads the postings of a manager in the order of their keys: all packed postings, and others until about
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

    /// Returns the contacts in the postings that are the manager's now.
    async fn own_contacts(
        &self,
        portal: &PortalId,
        manager: UserId,
        postings: &[Posting],
    ) -> Result<HashSet<ContactId>, StoreError> {
        let named: HashSet<ContactId> = postings.iter().flat_map(|posting| &posting.contacts).copied().collect();
        let named: Vec<ContactId> = named.into_iter().collect();
        let reads = named.chunks(ACCESS_TOGETHER).map(|ids| async move {
            (ids, self.access_with(portal, ids, |state, _| state.access.managers.contains(&manager)).await)
        });
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(ACCESS_AT_ONCE).boxed();
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
        match posting.indexed_at {
            Some(at) => {
                let values = HashMap::from([(":at".to_owned(), items::n(at.ticks()))]);
                self.delete_if(&posting.key, "#at = :at", names, values).await
            }
            None => self.delete_if(&posting.key, "attribute_not_exists(#at)", names, HashMap::new()).await,
        }
        .map(drop)
    }
}

#[cfg(test)]
mod tests;
