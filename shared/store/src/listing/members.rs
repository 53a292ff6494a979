//! All contacts of a list, unordered: for orders that no index has, and for counting.

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use models::filter::IndexEntry;
use models::filter::listing::Facts;
use models::limits::MAX_SHARDS;
use models::values::id::ContactId;
use tokio::time::{Instant, timeout_at};

use crate::dynamodb::client::Store;
use crate::error::StoreError;
use crate::index::{KeyRange, partitions};
use crate::listing::{COUNT_RESERVE, Listing, MAX_COUNTED};

/// Maximum concurrent index queries of a page: one for each shard of the largest portal.
pub(super) const QUERIES_AT_ONCE: usize = MAX_SHARDS as usize;

/// Partitions read concurrently by a full scan.
pub(super) const PASSES_AT_ONCE: usize = 8;

/// Index entries per query of a full scan: with eight concurrent queries, tens of megabytes in the SDK's form.
pub(super) const PASS_ENTRIES: i32 = 1000;

impl Store {
    /// Counts the list, as far as the deadline and the cost bound allow.
    pub(super) async fn count(&self, listing: &Listing<'_>) -> Result<Count, StoreError> {
        if listing.depends_on_access() || !listing.plan.tests.is_empty() {
            let mut count = Count { contacts: 0, is_whole: true };
            let (mut examined, mut pages) = (0, self.members(listing, MemberDetail::Number));
            while let Some(page) = pages.try_next().await? {
                count.contacts += page.members.len() as u64;
                examined += page.examined;
                let is_late = listing.deadline.is_some_and(|at| Instant::now() + COUNT_RESERVE >= at);
                if is_late || (listing.depends_on_access() && examined >= MAX_COUNTED) {
                    count.is_whole = false;
                    break;
                }
            }
            return Ok(count);
        }
        let counts: Vec<_> = partitions(listing.portal, listing.plan)
            .into_iter()
            .map(|partition| async { self.count_entries(&KeyRange::of(listing.plan, partition)).await })
            .collect();
        let counts = stream::iter(counts).buffer_unordered(QUERIES_AT_ONCE).boxed();
        let counted = counts.try_fold(0, async |count, of| Ok(count + of));
        Ok(match listing.deadline {
            None => Count { contacts: counted.await?, is_whole: true },
            Some(at) => match timeout_at(at.checked_sub(COUNT_RESERVE).unwrap_or(at), counted).await {
                Ok(contacts) => Count { contacts: contacts?, is_whole: true },
                Err(_) => Count { contacts: 0, is_whole: false },
            },
        })
    }

    /// Reads every contact of the list, in unordered pages.
    pub(super) fn members<'b>(
        &'b self,
        listing: &'b Listing<'_>,
        detail: MemberDetail,
    ) -> BoxStream<'b, Result<MembersPage, StoreError>> {
        let parts: Vec<_> = partitions(listing.portal, listing.plan)
            .into_iter()
            .map(|partition| self.members_of(listing, KeyRange::of(listing.plan, partition), detail))
            .collect();
        stream::iter(parts).flatten_unordered(PASSES_AT_ONCE).boxed()
    }

    pub(super) fn members_of<'b>(
        &'b self,
        listing: &'b Listing<'_>,
        range: KeyRange,
        detail: MemberDetail,
    ) -> BoxStream<'b, Result<MembersPage, StoreError>> {
        stream::try_unfold(Some(range), move |rest| async move {
            let Some(mut rest) = rest else { return Ok::<_, StoreError>(None) };
            let page = self.index_entries(&rest, PASS_ENTRIES).await?;
            rest.after = page.next;
            let selected = page.entries.into_iter().filter(|entry| listing.plan.selects(entry));
            let found: Vec<IndexEntry> = selected.collect();
            let examined = found.len();
            let members = self.admitted_members(listing, found, detail).await?;
            let continues = rest.after.is_some();
            Ok(Some((MembersPage { members, examined }, continues.then_some(rest))))
        })
        .boxed()
    }

    /// Returns the contacts of `found` that are in the list, with the facts that `detail` requires.
    pub(super) async fn admitted_members(
        &self,
        listing: &Listing<'_>,
        found: Vec<IndexEntry>,
        detail: MemberDetail,
    ) -> Result<Vec<(IndexEntry, Facts)>, StoreError> {
        let ranks = detail == MemberDetail::Ranks;
        let ids: Vec<ContactId> = found.iter().map(|entry| entry.contact).collect();
        let accesses = match listing.depends_on_access() || (ranks && listing.order.by.needs_set_at()) {
            true => Some(
                self.access_with(listing.portal, &ids, |state, origin| {
                    (!state.is_removed && listing.admits(&state.access)).then_some(origin.set_at)
                })
                .await?,
            ),
            false => None,
        };
        let mut members = Vec::with_capacity(found.len());
        for entry in found {
            let set_at = match &accesses {
                None => None,
                Some(accesses) => match accesses.of(entry.contact)? {
                    Some(set_at) => *set_at,
                    None => continue,
                },
            };
            let facts = listing.facts(entry.contact_type, Default::default(), set_at);
            members.push((entry, facts));
        }
        if ranks && listing.order.by.needs_names() {
            let ids: Vec<ContactId> = members.iter().map(|(entry, _)| entry.contact).collect();
            let mut names = self.sorting_names(listing.portal, &ids).await?;
            for (entry, facts) in &mut members {
                facts.names = names.remove(&entry.contact).unwrap_or_default();
            }
        }
        Ok(members)
    }
}

/// The purpose of reading all contacts of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberDetail {
    /// Counting the contacts.
    Number,
    /// Ordering the contacts.
    Ranks,
}

/// A page of all contacts of a list.
pub(super) struct MembersPage {
    pub(super) members: Vec<(IndexEntry, Facts)>,
    /// Number of matches examined for the page.
    pub(super) examined: usize,
}

/// The number of contacts in a list.
pub(super) struct Count {
    pub(super) contacts: u64,
    /// True if the whole list was counted.
    pub(super) is_whole: bool,
}
