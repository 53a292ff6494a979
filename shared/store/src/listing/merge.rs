//! The contacts of a plan in index order, merged from its partitions.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use futures::stream::{self, StreamExt as _};
use models::filter::IndexEntry;
use models::filter::plan::Plan;
use models::values::id::ContactId;

use crate::dynamodb::client::Store;
use crate::error::StoreError;
use crate::index::{KeyRange, partitions};
use crate::keys::IndexPosition;
use crate::listing::members::QUERIES_AT_ONCE;
use crate::listing::{Listing, READ_AHEAD};

/// Minimum index entries per query of a page: the entries of a page of usual size.
pub(super) const MIN_ENTRIES: usize = 32;

/// Minimum index entries per query of a plan with tests, which may reject most entries.
pub(super) const MIN_TESTED_ENTRIES: usize = 250;

/// Index entries that all queries of a page read at once, if each reads more than the minimum: some megabytes.
pub(super) const ROUND_ENTRIES: usize = 16_000;

const _: () = assert!(MIN_ENTRIES <= MIN_TESTED_ENTRIES && MIN_TESTED_ENTRIES <= READ_AHEAD);

pub(super) fn position(entry: &IndexEntry) -> IndexPosition {
    IndexPosition { created: entry.created, contact: entry.contact }
}

/// The matches of all partitions of a plan in order of creation, read concurrently.
pub(super) struct MergeScan<'a> {
    pub(super) store: &'a Store,
    pub(super) plan: &'a Plan,
    pub(super) ascending: bool,
    pub(super) parts: Vec<PartitionCursor>,
    /// The first position of each partition that has unmerged positions.
    pub(super) heads: BinaryHeap<MergeHead>,
    /// Partitions without unmerged positions that have unread entries.
    pub(super) to_read: Vec<usize>,
    /// Index entries per query.
    pub(super) entries: usize,
    pub(super) last: Option<IndexPosition>,
}

/// A partition and the state of its scan.
pub(super) struct PartitionCursor {
    pub(super) unread: KeyRange,
    pub(super) found: VecDeque<IndexPosition>,
    pub(super) more: bool,
}

/// The first unmerged position of a partition. The greater of two heads comes first.
#[derive(PartialEq, Eq)]
pub(super) struct MergeHead {
    pub(super) position: IndexPosition,
    pub(super) ascending: bool,
    pub(super) part: usize,
}

impl Ord for MergeHead {
    fn cmp(&self, other: &Self) -> Ordering {
        let descending = self.position.cmp(&other.position);
        if self.ascending { descending.reverse() } else { descending }.then(self.part.cmp(&other.part))
    }
}

impl PartialOrd for MergeHead {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> MergeScan<'a> {
    pub(super) fn new(store: &'a Store, listing: &Listing<'a>) -> Self {
        let ascending = !listing.order.descending;
        let parts: Vec<PartitionCursor> = partitions(listing.portal, listing.plan)
            .into_iter()
            .map(|partition| KeyRange { ascending, ..KeyRange::of(listing.plan, partition) })
            .map(|unread| PartitionCursor { unread, found: VecDeque::new(), more: true })
            .collect();
        let min_entries = if listing.plan.tests.is_empty() { MIN_ENTRIES } else { MIN_TESTED_ENTRIES };
        let mut scan = Self {
            store,
            plan: listing.plan,
            ascending,
            to_read: (0..parts.len()).collect(),
            parts,
            heads: BinaryHeap::new(),
            entries: 0,
            last: None,
        };
        scan.entries = listing.end().max(min_entries).min(scan.max_entries());
        scan
    }

    /// Returns the maximum index entries per query.
    pub(super) fn max_entries(&self) -> usize {
        (ROUND_ENTRIES / self.parts.len().max(1)).clamp(MIN_ENTRIES, READ_AHEAD)
    }

    /// Reads the next `count` contacts; fewer only at the end.
    pub(super) async fn next_contacts(&mut self, count: usize) -> Result<Vec<ContactId>, StoreError> {
        let mut contacts = Vec::with_capacity(count);
        while contacts.len() < count
            && let Some(position) = self.next().await?
        {
            contacts.push(position.contact);
        }
        Ok(contacts)
    }

    pub(super) async fn next(&mut self) -> Result<Option<IndexPosition>, StoreError> {
        loop {
            if self.must_read() {
                self.read().await?;
                continue;
            }
            let Some(head) = self.heads.pop() else { return Ok(None) };
            self.advance(head.part);
            // A contact that moved during the scan has the same position in two partitions.
            if self.last != Some(head.position) {
                self.last = Some(head.position);
                return Ok(self.last);
            }
        }
    }

    /// Returns whether an unread partition may yield a position before the first head.
    pub(super) fn must_read(&self) -> bool {
        let Some(head) = self.heads.peek() else { return !self.to_read.is_empty() };
        self.to_read.iter().filter_map(|part| self.parts.get(*part)).any(|part| match part.unread.after {
            None => true,
            Some(after) if self.ascending => after < head.position,
            Some(after) => after > head.position,
        })
    }

    /// Moves the next position of a partition into the heads, or marks the partition for reading.
    pub(super) fn advance(&mut self, number: usize) {
        let Some(part) = self.parts.get_mut(number) else { return };
        match part.found.pop_front() {
            Some(position) => self.heads.push(MergeHead { position, ascending: self.ascending, part: number }),
            None if part.more => self.to_read.push(number),
            None => {}
        }
    }

    /// Reads the next entries of every partition without unmerged positions.
    pub(super) async fn read(&mut self) -> Result<(), StoreError> {
        let limit = i32::try_from(self.entries).unwrap_or(i32::MAX);
        let store = self.store;
        let queries: Vec<_> = std::mem::take(&mut self.to_read)
            .into_iter()
            .filter_map(|number| self.parts.get(number).map(|part| (number, part.unread.clone())))
            .map(|(number, unread)| async move { (number, store.index_entries(&unread, limit).await) })
            .collect();
        let mut answers = stream::iter(queries).buffer_unordered(QUERIES_AT_ONCE).boxed();
        while let Some((number, answer)) = answers.next().await {
            let page = answer?;
            if let Some(part) = self.parts.get_mut(number) {
                part.more = page.next.is_some();
                part.unread.after = page.next;
                part.found.extend(page.entries.iter().filter(|entry| self.plan.selects(entry)).map(position));
            }
            self.advance(number);
        }
        self.entries = (2 * self.entries).min(self.max_entries()).max(self.entries);
        Ok(())
    }
}
