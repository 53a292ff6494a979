//! Lists of contacts: in which order they stand, what is sought of their access, and by which way they are found.

use std::cmp::Ordering;

use crate::id::{ContactId, UserId};

use crate::access::{Access, Caller};
use crate::filter::IndexEntry;
use crate::moment::Moment;

/// What a list of contacts is in order of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// When they were created.
    #[default]
    Created,
    /// Their names, folded.
    DisplayName,
    /// Their identifiers.
    Id,
}

impl SortBy {
    /// Every order, by its name in a request.
    pub const ALL: [(&'static str, Self); 3] =
        [("created", Self::Created), ("displayName", Self::DisplayName), ("id", Self::Id)];
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What it goes by.
    pub by: SortBy,
    /// Whether the last comes first.
    pub descending: bool,
}

impl Order {
    /// The order that a request asks for: what was created last comes first, and names and identifiers ascend, where it
    /// does not say.
    pub fn new(by: Option<SortBy>, descending: Option<bool>) -> Self {
        let by = by.unwrap_or_default();
        Self { by, descending: descending.unwrap_or(by == SortBy::Created) }
    }

    /// Where a contact stands in this order.
    pub fn rank(self, entry: &IndexEntry) -> Rank {
        let key = match self.by {
            SortBy::Created => RankKey::Created(entry.created),
            SortBy::DisplayName => RankKey::Name(entry.name.clone()),
            SortBy::Id => RankKey::Id,
        };
        Rank { key, contact: entry.contact, descending: self.descending }
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::new(None, None)
    }
}

/// Where a contact stands in an order: less is earlier in the list. No two contacts stand at the same place, because the
/// identifier decides between those that are otherwise equal, in the same direction.
///
/// Only ranks of one order can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    key: RankKey,
    contact: ContactId,
    descending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RankKey {
    Created(Moment),
    Name(String),
    Id,
}

impl Rank {
    /// The contact that stands there.
    pub const fn contact(&self) -> ContactId {
        self.contact
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.key.cmp(&other.key).then(self.contact.cmp(&other.contact));
        if self.descending { ascending.reverse() } else { ascending }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is sought of the access of the contacts in a list, beside the filter. The default seeks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// Whether they are shared.
    pub shared: Option<bool>,
    /// Who is in their manager lists, which are kept while a contact is shared.
    pub responsible: Option<UserId>,
}

impl Sought {
    /// Whether a contact with this access is sought by the caller, as far as the caller may know its managers.
    pub fn holds(&self, access: &Access, caller: &Caller) -> bool {
        self.shared.is_none_or(|shared| shared != access.share.is_private())
            && self.responsible.is_none_or(|user| caller.known_managers(access).any(|manager| manager == user))
    }

    /// Whether every contact is sought, so that no access need be read for it.
    pub const fn seeks_nothing(&self) -> bool {
        self.shared.is_none() && self.responsible.is_none()
    }
}

/// Hundredths of a read unit that an index entry costs when its contact's access is read too: its own share of 8 KB, and
/// half a unit.
const WALKED_COST: u128 = 53;
/// Hundredths of a read unit that a contact costs which a posting names: half a unit for its access, and another half for
/// the contact itself, which says what an index entry would.
const POSTED_COST: u128 = 100;

/// How many contacts a user's postings may name for it to be cheaper to look at each of them than to walk the index for
/// the user's contacts, over `expected` index entries.
///
/// A walk in the order of the index ends with the page: after `until` matches, when something ends it, it has seen its
/// share of the entries only, which is the smaller the more contacts the user has. Where nothing ends it, it sees all.
pub fn posting_budget(expected: u64, until: Option<u64>) -> u64 {
    let whole = u128::from(expected) * WALKED_COST / POSTED_COST;
    let most = match until {
        // With n contacts, a walk sees until * expected / n entries: n of them cost as much where n² is this product.
        Some(until) => (u128::from(until) * whole).isqrt().min(whole),
        None => whole,
    };
    u64::try_from(most).unwrap_or(u64::MAX)
}
