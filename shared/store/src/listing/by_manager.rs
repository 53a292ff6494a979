//! Lists of one manager's contacts, read from the manager's postings.

use std::collections::HashMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::filter::IndexEntry;
use models::filter::listing::Facts;
use models::filter::top_k::TopK;
use models::values::id::{ContactId, UserId};

use crate::compaction::is_wasteful;
use crate::contacts::{AccessState, Origin};
use crate::dynamodb::client::Store;
use crate::error::StoreError;
use crate::listing::{Listed, Listing, MAX_STORED, Member};
use crate::postings::IndexedContacts;

/// Maximum contacts read concurrently with their access, in one round trip instead of two. The read of a contact that
/// the manager lost is wasted.
pub(super) const CONCURRENT_WITH_ACCESS: usize = 100;

/// Contacts of a manager that are examined in one batch.
pub(super) const CANDIDATES_PER_BATCH: usize = 500;

/// Batches of [`CANDIDATES_PER_BATCH`] contacts that are examined concurrently.
pub(super) const BATCHES_IN_FLIGHT: usize = 4;

impl Store {
    /// Reads the page from the contacts in the postings of `manager`, which include every contact of the list.
    pub(super) async fn list_candidates(
        &self,
        listing: &Listing<'_>,
        manager: UserId,
        indexed: &IndexedContacts,
    ) -> Result<Listed, StoreError> {
        let stores_contacts = listing.end() <= MAX_STORED;
        let mut best = TopK::new(listing.end());
        let (mut total, mut own) = (0, 0);
        let batches = indexed.contacts.chunks(CANDIDATES_PER_BATCH).map(|ids| self.judged(listing, manager, ids));
        let mut batches = stream::iter(batches.collect::<Vec<_>>()).buffer_unordered(BATCHES_IN_FLIGHT).boxed();
        while let Some((found, of_manager)) = batches.try_next().await? {
            total += found.len() as u64;
            own += of_manager;
            for (rank, contact) in found {
                best.offer(rank, stores_contacts.then_some(contact));
            }
        }
        drop(batches);
        let (page, more) = best.page(listing.page);
        let covered = page.len();
        let contacts = if stores_contacts {
            page.into_iter().filter_map(|(_, contact)| contact).collect()
        } else {
            let entries = page.iter().map(|(rank, _)| (rank.contact(), None)).collect();
            self.shown(listing, entries, HashMap::new()).await?
        };
        let wasteful = is_wasteful(indexed.entries, own).then_some(manager);
        Ok(Listed { contacts, covered, more, total: Some(total), total_is_lower_bound: false, wasteful })
    }

    /// Returns the contacts of `ids` that are in the list, and the number of `ids` that the manager has.
    pub(super) async fn judged(
        &self,
        listing: &Listing<'_>,
        manager: UserId,
        ids: &[ContactId],
    ) -> Result<(Vec<Member>, usize), StoreError> {
        let derive = |state: AccessState, origin: Origin| {
            (state.access.managers.contains(&manager), listing.admitted(state).map(|state| (state, origin.set_at)))
        };
        let states = self.access_with(listing.portal, ids, derive);
        let (mut states, records) = if ids.len() <= CONCURRENT_WITH_ACCESS {
            futures::try_join!(states, self.contacts(listing.portal, ids))?
        } else {
            let states = states.await?;
            let mut own = Vec::new();
            for &id in ids {
                if states.of(id)?.1.is_some() {
                    own.push(id);
                }
            }
            let records = self.contacts(listing.portal, &own).await?;
            (states, records)
        };
        let mut own = 0;
        for id in ids {
            own += usize::from(states.of(*id)?.0);
        }
        let range = listing.plan.from..=listing.plan.to;
        let mut found = Vec::new();
        for (id, record) in records {
            let entry = IndexEntry::from(&record);
            if range.contains(&entry.created)
                && listing.filter.selects(&entry)
                && let Some((state, set_at)) = states.of_mut(id)?.1.take()
            {
                let facts = listing.facts(entry.contact_type, Facts::names_of(&record), set_at);
                found.push((listing.order.rank(&entry, facts), (record, state)));
            }
        }
        Ok((found, own))
    }
}
