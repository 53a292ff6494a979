//! Lists of contacts: what a filter selects, the caller may see and is sought, in an order, a page of it.
//!
//! There are three ways to a page. In the order of the indexes (creation date) the partitions of the plan are merged, and
//! the reading ends with the page. In any other order, the plan is read once to its end. And where it is cheaper, the
//! contacts of one manager are looked up by name, in its postings.
//!
//! All reads are eventually consistent, at half the price: what changed within about the last second may not be seen yet.
//! Nothing is written upon what a list shows, so nobody is misled for longer than that.

mod by_manager;
mod members;
mod merge;
mod top;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::TryStreamExt as _;
use models::access::{Access, Caller};
use models::contact::{ContactRecord, ListItem};
use models::filter::Filter;
use models::filter::listing::{AccessCriteria, Facts, Order, Rank, SortBy, posting_budget};
use models::filter::plan::Plan;
use models::limits::MAX_PAGE;
use models::request::Page;
use models::values::id::{ContactId, PortalId, UserId};
use models::values::moment::Moment;
use tokio::time::{Instant, timeout_at};

use crate::contacts::AccessState;
use crate::dynamodb::client::Store;
use crate::error::StoreError;
use members::MemberDetail;
use merge::MergeScan;
use top::TopK;

/// Contacts that are looked at together to find a page: the access of each is read where it decides.
const READ_AHEAD: usize = 1000;

/// Contacts that are looked at beside those of a page, in case some of these are not for the caller.
const SPARE: usize = 8;

/// Contacts of a manager that are looked up by name at most, so that their identifiers are some megabytes.
const MAX_CANDIDATES: u64 = 250_000;

/// Contacts whose access is read at most to count the list of a caller who is no administrator: some 5,000 read units.
pub const MAX_COUNTED: usize = 10_000;

/// Contacts that a list may be expected to have so that its later pages are counted too: some 500 read units a page. A page with
/// controls for paging shows the same total on each page then.
const MAX_COUNTED_AGAIN: u64 = 1_000;

/// The time before a call's deadline at which the counting stops, so that the page is answered.
const COUNT_RESERVE: Duration = Duration::from_secs(1);

/// Contacts that are kept whole while others are looked at; of a longer list only the places are.
const MAX_KEPT: usize = MAX_PAGE + 1;

/// A list that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Whose contacts.
    pub portal: &'a PortalId,
    /// Which of them, as asked.
    pub filter: &'a Filter,
    /// Which of them, as planned.
    pub plan: &'a Plan,
    /// About how many index entries that is.
    pub expected: u64,
    /// Who is to see them.
    pub caller: Caller,
    /// What is sought of their access.
    pub sought: AccessCriteria,
    /// In which order.
    pub order: Order,
    /// Which part of them.
    pub page: Page,
    /// Whether they are to be counted.
    pub total: bool,
    /// True if the managers of private contacts are shown. Nobody is shown the managers of other contacts.
    pub managers: bool,
    /// When an answer must be there.
    pub deadline: Option<Instant>,
    /// Whether the portal's contacts can be looked up by their managers.
    pub posted: bool,
    /// The types of the portal's directory.
    pub types: &'a HashMap<i32, ListItem>,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The contacts, each with its access, of whose managers only those are there who are to be shown, and the caller. A
    /// contact that was removed since it was found is left out.
    pub contacts: Vec<(ContactRecord, AccessState)>,
    /// How many places of the list the page stands for.
    pub asked: usize,
    /// Whether more follow.
    pub more: bool,
    /// How many there are in the whole list, where that is asked for. A contact that is moved between partitions while they
    /// are counted may count twice.
    pub total: Option<u64>,
    /// Whether there may be more than `total`.
    pub total_is_lower_bound: bool,
    /// The manager whose postings were read and name mostly contacts that are not its own any more, or the same ones
    /// again and again.
    pub wasteful: Option<UserId>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It could not be found, or counted, in its time.
    #[error("the list was not read in its time")]
    NotInTime,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A contact of a list with its access, and its place in the list.
type Member = (Rank, (ContactRecord, AccessState));

impl Listing<'_> {
    /// Up to which place the list must be known: the page, and whether something follows it.
    fn end(&self) -> usize {
        self.page.start_index.saturating_add(self.page.count).saturating_add(1)
    }

    /// The access of a contact that is in the list, as far as an answer needs it; none of one that is not.
    fn admitted(&self, mut state: AccessState) -> Option<AccessState> {
        if !self.admits(&state.access) {
            return None;
        }
        if !self.managers || !state.access.share.is_private() {
            // The caller stays in the list, because its rights follow from the list.
            state.access.managers.retain(|manager| *manager == self.caller.user);
            state.access.managers.shrink_to_fit();
        }
        Some(state)
    }

    /// Whether a contact with this access is in the list.
    fn admits(&self, access: &Access) -> bool {
        self.caller.may_see(access) && self.sought.holds(access, &self.caller)
    }

    /// Whether access decides who is in the list.
    fn asks_access(&self) -> bool {
        !self.caller.is_admin || !self.sought.seeks_nothing()
    }

    /// Whether the list must be counted whatever its page. For callers who are not administrators the access of each contact
    /// is read for the count, so that later pages are counted only of short lists.
    fn must_count(&self) -> bool {
        let is_cheap = self.caller.is_admin || self.page.start_index == 0 || self.expected <= MAX_COUNTED_AGAIN;
        self.total && is_cheap
    }

    /// The facts about a contact that the order asks for.
    fn facts(&self, contact_type: i32, names: (String, String), set_at: Option<Moment>) -> Facts {
        Facts { names, type_order: self.types.get(&contact_type).map(|item| item.sort_order), set_at }
    }

    /// In whose manager list all contacts of the list are, if there is someone.
    fn manager(&self) -> Option<UserId> {
        // What is private is seen by its managers only.
        let own = self.sought.shared == Some(false) && !self.caller.is_admin;
        match self.sought.responsible {
            Some(user) if user.is_nil() => None,
            responsible => responsible.or(own.then_some(self.caller.user)),
        }
    }

    /// After how many contacts the index is read no further, if it is not read to its end.
    fn until(&self) -> Option<u64> {
        (self.order.by == SortBy::Created && !self.must_count()).then_some(self.end() as u64)
    }
}

impl Store {
    /// Reads a page of a list.
    ///
    /// In order of creation: the partitions' latest entries side by side, then the contacts of the page with their access,
    /// so two round trips one after another for a page of usual size. Where access decides who is in the list, it is read
    /// ahead, half a read unit a contact. In another order, every entry of the plan is read, 1 read unit per 8 KB. By
    /// name, one read unit a contact that was ever the manager's, and less for those that are no longer. A contact of the
    /// page is half a read unit per 4 KB, and its access another half.
    ///
    /// A list that has a total is counted beside its page, unless the page is the list's end: for an administrator 1 read
    /// unit per 8 KB of entries. For others half a read unit more for each contact, of which at most [`MAX_COUNTED`] are looked
    /// at, and later pages are counted only of lists of up to [`MAX_COUNTED_AGAIN`]. Any other total is a lower bound.
    ///
    /// Of a list in another order, the places up to the end of the page are in memory: a name and some bytes each.
    ///
    /// # Errors
    ///
    /// [`ListError::NotInTime`] when the deadline came first.
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
        if let Some(manager) = listing.manager().filter(|_| listing.posted) {
            let most = posting_budget(listing.expected, listing.until()).min(MAX_CANDIDATES);
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            if most > 0
                && let Some(posted) = self.posted_to(listing.portal, manager, most).await?
            {
                return self.list_candidates(listing, manager, &posted).await;
            }
        }
        match listing.order.by {
            SortBy::Created => self.list_in_index_order(listing).await,
            _ => self.list_in_any_order(listing).await,
        }
    }

    /// The page as the indexes have it, counted beside where it must be.
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
        // Contacts may be added or removed between the reading of the page and the counting.
        let total = page.total.max(Some(count.contacts));
        Ok(Listed { total, total_is_lower_bound: !count.is_whole, ..page })
    }

    async fn first_of_index(&self, listing: &Listing<'_>) -> Result<Listed, StoreError> {
        let Page { count, start_index } = listing.page;
        let mut walk = MergeScan::new(self, listing);
        let (mut passed, mut more) = (0, false);
        // Moved behind the reading, a contact is met again.
        let mut met = HashSet::new();
        let mut places = Vec::new();
        let mut records = HashMap::new();
        let mut together = listing.end();
        if listing.asks_access() {
            together = together.saturating_add(together / 4 + SPARE);
        }
        together = together.min(READ_AHEAD);
        'walk: loop {
            let ids = walk.take(together).await?;
            let mut states = match listing.asks_access() {
                // Most of the contacts that a list begins with are those of its page, and are read beside their access.
                true if passed == 0 && places.is_empty() => {
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
                    // A contact that is not admitted has no state, and one that is met again in these has none left.
                    Some(states) => match states.of_mut(*id)?.take() {
                        Some(state) => Some(state),
                        None => continue,
                    },
                    None => None,
                };
                if met.contains(id) {
                    continue;
                }
                if passed < start_index {
                    passed += 1;
                } else if places.len() < count {
                    met.insert(*id);
                    places.push((*id, state));
                } else {
                    more = true;
                    break 'walk;
                }
            }
            if ids.len() < together {
                break;
            }
            together = (2 * together).min(READ_AHEAD);
        }
        let asked = places.len();
        let total = Some(passed as u64 + asked as u64 + u64::from(more));
        let contacts = self.shown(listing, places, records).await?;
        Ok(Listed { contacts, asked, more, total, total_is_lower_bound: more, wasteful: None })
    }

    /// The page of an order that no index has.
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
        let asked = page.len();
        // Renamed while it was read, a contact is met at two places.
        let mut met = HashSet::new();
        let places = page.into_iter().map(|(rank, ())| rank.contact()).filter(|id| met.insert(*id));
        let places = places.map(|id| (id, None)).collect();
        Ok(Listed {
            contacts: self.shown(listing, places, HashMap::new()).await?,
            asked,
            more,
            total: Some(total),
            total_is_lower_bound: false,
            wasteful: None,
        })
    }

    /// The contacts at these places, with the access that was read of them or else is read now; of `records` none is read
    /// again.
    async fn shown(
        &self,
        listing: &Listing<'_>,
        places: Vec<(ContactId, Option<AccessState>)>,
        mut records: HashMap<ContactId, ContactRecord>,
    ) -> Result<Vec<(ContactRecord, AccessState)>, StoreError> {
        let ids: Vec<ContactId> = places.iter().map(|(id, _)| *id).filter(|id| !records.contains_key(id)).collect();
        let unread: Vec<ContactId> = places.iter().filter(|(_, state)| state.is_none()).map(|(id, _)| *id).collect();
        let (read, mut states) = futures::try_join!(
            self.contacts(listing.portal, &ids),
            self.access_with(listing.portal, &unread, |state, _| listing.admitted(state))
        )?;
        records.extend(read);
        let mut shown = Vec::with_capacity(places.len());
        for (id, state) in places {
            let state = match state {
                Some(state) => Some(state),
                None => states.of_mut(id)?.take(),
            };
            // A contact may have been removed, or hidden from the caller, since it was found.
            if let (Some(record), Some(state)) = (records.remove(&id), state) {
                shown.push((record, state));
            }
        }
        Ok(shown)
    }
}
