//! Lists of contacts: one page of the contacts that match a filter and access criteria and that the caller may see, in
//! a given order.
//!
//! There are three ways to read a page. In index order (creation date), the scan merges the plan's partitions and ends
//! with the page. In any other order, the scan reads the whole plan once. The contacts of one manager are read by
//! identifier, from the manager's postings, if that is cheaper.
//!
//! All reads are eventually consistent, at half the price. A page may miss changes of about the last second. No write
//! depends on a list, so stale reads have no further effect.

mod by_manager;
mod members;
mod merge;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::TryStreamExt as _;
use models::access::{Access, Actor, Caller};
use models::contact::{ContactRecord, ListItem};
use models::filter::Filter;
use models::filter::listing::{Facts, Order, Rank, SortBy};
use models::filter::plan::Plan;
use models::filter::top_k::TopK;
use models::limits::MAX_PAGE;
use models::request::Page;
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::contacts::AccessState;
use crate::dynamodb::client::Store;
use crate::error::StoreError;
use members::MemberDetail;
use merge::MergeScan;

/// Contacts examined in one batch to find a page. Their access is read if access decides membership in the list.
const READ_AHEAD: usize = 1000;

/// Extra contacts examined with those of a page, because access may exclude some of the page.
const SPARE: usize = 8;

/// Maximum contacts whose access is read to count a list that depends on access: some 5,000 read units.
pub const MAX_COUNTED: usize = 10_000;

/// Maximum expected index entries of a list whose later pages are counted too, for callers who are not administrators.
/// The limit costs some 500 read units a page. A short list then shows the same total on each page.
const MAX_COUNTED_AGAIN: u64 = 1_000;

/// Time before a call's deadline at which counting stops, so that the page can still be sent.
const COUNT_RESERVE: Duration = Duration::from_secs(1);

/// Maximum contacts stored whole in memory while others are examined. A longer list stores only the ranks.
const MAX_STORED: usize = MAX_PAGE + 1;

/// A request for a page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Portal of the contacts.
    pub portal: &'a PortalId,
    /// Filter of the request.
    pub filter: &'a Filter,
    /// Plan of the filter.
    pub plan: &'a Plan,
    /// Estimated number of index entries that the plan reads.
    pub expected: u64,
    /// Caller that the list is shown to.
    pub caller: Caller,
    /// Order of the list.
    pub order: Order,
    /// Page of the list.
    pub page: Page,
    /// True if the response has a total.
    pub total: bool,
    /// True if the managers of private contacts are shown. Managers of other contacts are never shown.
    pub managers: bool,
    /// Deadline of the response.
    pub deadline: Option<Instant>,
    /// True if the portal's postings cover every access.
    pub has_manager_index: bool,
    /// The types of the portal's directory.
    pub types: &'a HashMap<i32, ListItem>,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Contacts with their access. The access names only managers that are shown, and the caller. A contact removed
    /// since it was found is left out.
    pub contacts: Vec<(ContactRecord, AccessState)>,
    /// Number of list entries on the page, including contacts left out of `contacts`.
    pub covered: usize,
    /// True if more contacts follow.
    pub more: bool,
    /// Number of contacts in the whole list, if requested. A contact that moves between partitions during counting may
    /// count twice.
    pub total: Option<u64>,
    /// True if `total` is a lower bound.
    pub total_is_lower_bound: bool,
    /// Manager whose postings were read and need compaction: most of their entries name contacts that the manager lost,
    /// or repeat contacts.
    pub wasteful: Option<UserId>,
}

/// The reason why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The deadline passed before the list was read or counted.
    #[error("the list was not read before the deadline")]
    NotInTime,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A contact of a list with its access, and its rank in the list.
type Member = (Rank, (ContactRecord, AccessState));

impl Listing<'_> {
    /// Returns the number of list entries to find: the entries up to the end of the page, and one more entry to know
    /// whether more follow.
    fn end(&self) -> usize {
        self.page.start_index.saturating_add(self.page.count).saturating_add(1)
    }

    /// Returns the access of a contact in the list, reduced to the managers that are shown; none for any other contact.
    fn admitted(&self, mut state: AccessState) -> Option<AccessState> {
        if state.is_removed || !self.admits(&state.access) {
            return None;
        }
        if !self.managers || !state.access.share.is_private() {
            // Keep the caller in the manager list, because the caller's rights follow from the list.
            state.access.managers.retain(|manager| *manager == self.caller.user);
            state.access.managers.shrink_to_fit();
        }
        Some(state)
    }

    /// Returns whether a contact with this access is in the list.
    fn admits(&self, access: &Access) -> bool {
        self.caller.may_see(access) && self.filter.access.holds(access, &Actor::User(self.caller))
    }

    /// Returns whether access decides membership in the list.
    fn depends_on_access(&self) -> bool {
        !self.caller.is_admin || !self.filter.access.seeks_nothing()
    }

    /// Returns whether to count all matches when the page alone does not show the total. The count reads the access of
    /// each contact for callers who are not administrators, so later pages are counted only for short lists.
    fn must_count(&self) -> bool {
        let is_cheap = self.caller.is_admin || self.page.start_index == 0 || self.expected <= MAX_COUNTED_AGAIN;
        self.total && is_cheap
    }

    /// Returns the facts about a contact that the order requires.
    fn facts(&self, contact_type: i32, names: (String, String), set_at: Option<Timestamp>) -> Facts {
        Facts { names, type_order: self.types.get(&contact_type).map(|item| item.sort_order), set_at }
    }

    /// Returns the number of matches after which the index scan ends; none if the scan reads the whole index.
    fn match_limit(&self) -> Option<u64> {
        (self.order.by == SortBy::Created && !self.must_count()).then_some(self.end() as u64)
    }
}

impl Store {
    /// Reads a page of a list.
    ///
    /// In order of creation, the scan reads the first entries of all partitions concurrently, then the contacts of the
    /// page with their access: two sequential round trips for a page of usual size. If access decides membership, the
    /// scan also reads the access of each contact: half a read unit per contact. In another order, the scan reads every
    /// entry of the plan: 1 read unit per 8 KB. A list from postings reads the access of each contact in the postings
    /// for half a read unit, and contacts for half a unit per 4 KB. A contact of the page costs half a read unit per 4
    /// KB, and its access another half.
    ///
    /// A total is counted concurrently with the page, unless the page reaches the end of the list: 1 read unit per 8 KB
    /// of index entries. If access decides membership, each contact costs another half read unit, and the count ends
    /// after about [`MAX_COUNTED`] contacts. For callers who are not administrators, later pages are counted only if
    /// the list has at most `MAX_COUNTED_AGAIN` expected entries. A total that is not counted is a lower bound.
    ///
    /// In another order, the ranks of the list up to the end of the page are in memory: a name and some bytes each.
    ///
    /// # Errors
    ///
    /// [`ListError::NotInTime`] if the deadline passed.
    pub async fn list_contacts(&self, listing: &Listing<'_>) -> Result<Listed, ListError> {
        let listed = self.list(listing);
        let listed = match listing.deadline {
            Some(at) => timeout_at(at, listed).await.map_err(|_| ListError::NotInTime)?,
            None => listed.await,
        }?;
        Ok(Listed { total: listed.total.filter(|_| listing.total), ..listed })
    }

    async fn list(&self, listing: &Listing<'_>) -> Result<Listed, StoreError> {
        if listing.plan.is_empty() {
            return Ok(Listed { total: Some(0), ..Listed::default() });
        }
        if let Some(manager) =
            listing.filter.access.manager(&Actor::User(listing.caller)).filter(|_| listing.has_manager_index)
            && let Some(indexed) =
                self.cheap_postings(listing.portal, manager, listing.expected, listing.match_limit()).await?
        {
            return self.list_candidates(listing, manager, &indexed).await;
        }
        match listing.order.by {
            SortBy::Created => self.list_in_index_order(listing).await,
            _ => self.list_in_any_order(listing).await,
        }
    }

    /// Reads the page in index order, and counts the list concurrently if required.
    async fn list_in_index_order(&self, listing: &Listing<'_>) -> Result<Listed, StoreError> {
        let page = Box::pin(self.first_of_index(listing));
        if !listing.must_count() {
            return page.await;
        }
        let (page, count) = match select(page, Box::pin(self.count(listing))).await {
            Either::Left((page, count)) => {
                let page = page?;
                if !page.total_is_lower_bound {
                    return Ok(page);
                }
                (page, count.await?)
            }
            Either::Right((count, page)) => (page.await?, count?),
        };
        if !page.total_is_lower_bound {
            return Ok(page);
        }
        // Contacts may be added or removed between reading the page and counting.
        let total = page.total.max(Some(count.contacts));
        Ok(Listed { total, total_is_lower_bound: !count.is_whole, ..page })
    }

    async fn first_of_index(&self, listing: &Listing<'_>) -> Result<Listed, StoreError> {
        let Page { count, start_index } = listing.page;
        let mut scan = MergeScan::new(self, listing);
        let (mut skipped, mut more) = (0, false);
        // A contact that moves during the scan may appear again.
        let mut found = HashSet::new();
        let mut entries = Vec::new();
        let mut records = HashMap::new();
        let mut batch_size = listing.end();
        if listing.depends_on_access() {
            batch_size = batch_size.saturating_add(batch_size / 4 + SPARE);
        }
        batch_size = batch_size.min(READ_AHEAD);
        'scan: loop {
            let ids = scan.next_contacts(batch_size).await?;
            let mut states = match listing.depends_on_access() {
                // The first contacts are mostly those of the page, so read the contacts concurrently with their access.
                true if skipped == 0 && entries.is_empty() => {
                    let first: Vec<_> = ids.iter().skip(start_index).take(count).copied().collect();
                    let (states, read) = futures::try_join!(
                        self.access_with(listing.portal, &ids, |state, _| listing.admitted(state)),
                        self.contacts(listing.portal, &first)
                    )?;
                    records = read;
                    Some(states)
                }
                true => Some(self.access_with(listing.portal, &ids, |state, _| listing.admitted(state)).await?),
                false => None,
            };
            for id in &ids {
                let state = match &mut states {
                    // A contact that is not admitted has no state. The state of a repeated contact is already removed.
                    Some(states) => match states.of_mut(*id)?.take() {
                        Some(state) => Some(state),
                        None => continue,
                    },
                    None => None,
                };
                if found.contains(id) {
                    continue;
                }
                if skipped < start_index {
                    skipped += 1;
                } else if entries.len() < count {
                    found.insert(*id);
                    entries.push((*id, state));
                } else {
                    more = true;
                    break 'scan;
                }
            }
            if ids.len() < batch_size {
                break;
            }
            batch_size = (2 * batch_size).min(READ_AHEAD);
        }
        let covered = entries.len();
        let total = Some(skipped as u64 + covered as u64 + u64::from(more));
        let contacts = self.shown(listing, entries, records).await?;
        Ok(Listed { contacts, covered, more, total, total_is_lower_bound: more, wasteful: None })
    }

    /// Reads the page in an order that no index has.
    async fn list_in_any_order(&self, listing: &Listing<'_>) -> Result<Listed, StoreError> {
        let mut best = TopK::new(listing.end());
        let mut total = 0;
        let mut pages = self.members(listing, MemberDetail::Ranks);
        while let Some(page) = pages.try_next().await? {
            total += page.members.len() as u64;
            for (entry, facts) in page.members {
                best.offer(listing.order.rank(&entry, facts), ());
            }
        }
        drop(pages);
        let (page, more) = best.page(listing.page);
        let covered = page.len();
        // A contact renamed during the scan may appear at two ranks.
        let mut found = HashSet::new();
        let entries = page.into_iter().map(|(rank, ())| rank.contact()).filter(|id| found.insert(*id));
        let entries = entries.map(|id| (id, None)).collect();
        Ok(Listed {
            contacts: self.shown(listing, entries, HashMap::new()).await?,
            covered,
            more,
            total: Some(total),
            total_is_lower_bound: false,
            wasteful: None,
        })
    }

    /// Loads the contacts of `entries` with their access. Contacts in `records` and access in `entries` are not read
    /// again.
    async fn shown(
        &self,
        listing: &Listing<'_>,
        entries: Vec<(ContactId, Option<AccessState>)>,
        mut records: HashMap<ContactId, ContactRecord>,
    ) -> Result<Vec<(ContactRecord, AccessState)>, StoreError> {
        let ids: Vec<ContactId> = entries.iter().map(|(id, _)| *id).filter(|id| !records.contains_key(id)).collect();
        let unread: Vec<ContactId> = entries.iter().filter(|(_, state)| state.is_none()).map(|(id, _)| *id).collect();
        let (read, mut states) = futures::try_join!(
            self.contacts(listing.portal, &ids),
            self.access_with(listing.portal, &unread, |state, _| listing.admitted(state))
        )?;
        records.extend(read);
        let mut shown = Vec::with_capacity(entries.len());
        for (id, state) in entries {
            let state = match state {
                Some(state) => Some(state),
                None => states.of_mut(id)?.take(),
            };
            // A contact may have been removed or hidden from the caller since it was found.
            if let (Some(record), Some(state)) = (records.remove(&id), state) {
                shown.push((record, state));
            }
        }
        Ok(shown)
    }
}
