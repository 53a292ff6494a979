//! Lists of contacts: their order, and the cheaper way to read them.

use std::cmp::Ordering;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::access::Caller;
use crate::answer::{Fields, KeyStyle, Keyed};
use crate::contact::{Contact, ContactRecord, ListItem};
use crate::filter::IndexEntry;
use crate::values::fold::fold;
use crate::values::id::ContactId;
use crate::values::timestamp::Timestamp;

/// The sort key of a list of contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Creation time.
    #[default]
    Created,
    /// Display name, folded.
    DisplayName,
    /// Identifier.
    Id,
    /// First name of a person or name of a company, folded.
    FirstName,
    /// Last name of a person or name of a company, folded.
    LastName,
    /// Position of the contact's type in the portal's directory.
    ContactType,
    /// Time at which the access was last set.
    History,
}

impl SortBy {
    /// All sort keys, with their names in a request.
    pub const ALL: [(&'static str, Self); 7] = [
        ("created", Self::Created),
        ("displayName", Self::DisplayName),
        ("id", Self::Id),
        ("firstName", Self::FirstName),
        ("lastName", Self::LastName),
        ("contactType", Self::ContactType),
        ("history", Self::History),
    ];

    /// Returns whether the order needs first and last names, which index entries lack.
    pub const fn needs_names(self) -> bool {
        matches!(self, Self::FirstName | Self::LastName)
    }

    /// Returns whether the order needs the time at which the access was set.
    pub const fn needs_set_at(self) -> bool {
        matches!(self, Self::History)
    }
}

/// Facts about a contact that an order may need in addition to the index entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// First and last name of a person, or the name of a company and an empty text; folded.
    pub names: (String, String),
    /// Position of the contact's type in the portal's directory; `None` without a type.
    pub type_order: Option<i32>,
    /// Time at which the access was last set; `None` if never.
    pub set_at: Option<Timestamp>,
}

impl Facts {
    /// Returns the folded names that sort a contact.
    pub fn names_of(record: &ContactRecord) -> (String, String) {
        if record.is_company {
            return (fold(record.shown_company_name()), String::new());
        }
        let (first, last) = record.person_names();
        (fold(first), fold(last))
    }
}

/// An entry of ONLYOFFICE's simple list: a contact and its next task. This service has no tasks and omits `task`, as
/// ONLYOFFICE does for a missing task. ONLYOFFICE's browser client treats any `task` member as a task, even `null`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(rename_all = "PascalCase"))]
pub struct SimpleEntry<'a> {
    /// The contact.
    pub contact: Contact<'a>,
    /// The keys of the contact to show; `None` for all.
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub fields: Option<&'a Fields>,
}

impl Serialize for SimpleEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_struct("SimpleEntry", 1)?;
        match self.fields {
            None => entry.serialize_field("Contact", &self.contact)?,
            Some(_) => {
                let style = KeyStyle::Documents;
                let trimmed = Keyed { value: &self.contact, style, zone: None, only: self.fields };
                entry.serialize_field("Contact", &trimmed)?;
            }
        }
        entry.end()
    }
}

/// A stage or a type of contacts that a filter may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StageOrTypeChoice))]
#[serde(rename_all = "PascalCase")]
pub struct ListChoice {
    /// Identifier.
    #[serde(rename = "id")]
    pub id: i32,
    /// Name.
    pub title: String,
    /// Description.
    pub description: String,
    /// CSS colour.
    pub color: String,
    /// Position in the list.
    pub sort_order: i32,
    /// The number of contacts, including hidden contacts; for administrators only.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_items_count: Option<u64>,
}

impl ListChoice {
    /// Builds a choice from an entry of the directory. Only administrators see the number of contacts.
    pub fn new(item: ListItem, contacts: Option<u64>, caller: &Caller) -> Self {
        let ListItem { id, title, description, color, sort_order } = item;
        let relative_items_count = contacts.filter(|_| caller.is_admin);
        Self { id, title, description, color, sort_order, relative_items_count }
    }
}

/// A tag that a filter may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TagChoice {
    /// The tag.
    pub title: String,
    /// The number of contacts, including hidden contacts; for administrators only.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_items_count: Option<u64>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The sort key.
    pub by: SortBy,
    /// True if the largest key comes first.
    pub descending: bool,
}

impl Order {
    /// Returns the order of a request. By default, dates descend and all other keys ascend.
    pub fn new(by: Option<SortBy>, descending: Option<bool>) -> Self {
        let by = by.unwrap_or_default();
        Self { by, descending: descending.unwrap_or(matches!(by, SortBy::Created | SortBy::History)) }
    }

    /// Returns the rank of a contact in this order.
    pub fn rank(self, entry: &IndexEntry, facts: Facts) -> Rank {
        let key = match self.by {
            SortBy::Created => RankKey::Created(entry.created),
            SortBy::DisplayName => RankKey::Name(entry.name.clone()),
            SortBy::Id => RankKey::Id,
            SortBy::FirstName => RankKey::Names(facts.names.0, facts.names.1),
            // A company's name is compared with last names.
            SortBy::LastName if entry.is_company => RankKey::Names(facts.names.0, String::new()),
            SortBy::LastName => RankKey::Names(facts.names.1, facts.names.0),
            SortBy::ContactType => RankKey::Type(facts.type_order, entry.contact_type),
            SortBy::History => RankKey::SetAt(facts.set_at),
        };
        Rank { key, contact: entry.contact, descending: self.descending }
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::new(None, None)
    }
}

/// The position of a contact in an order: a smaller rank is earlier in the list. Ranks are unique, because the
/// identifier breaks ties, in the same direction.
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
    Created(Timestamp),
    Name(String),
    Names(String, String),
    Type(Option<i32>, i32),
    SetAt(Option<Timestamp>),
    Id,
}

impl Rank {
    /// Returns the contact of this rank.
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

/// Hundredths of a read unit for a contact that a scan reads: 3 for its index entry, and 50 for its access.
const SCAN_COST: u128 = 53;
/// Hundredths of a read unit for a contact that a posting names: 50 for its access, and 50 for its contact record. The
/// record replaces the index entry, which the posting lacks.
const POSTING_COST: u128 = 100;

/// Returns the maximum number of contacts in a user's postings for which reading each contact is cheaper than scanning
/// `expected` index entries for the user's contacts.
///
/// A scan in index order ends after `until` matches. The more contacts the user has, the fewer entries the scan reads.
/// Without `until`, the scan reads all entries.
pub fn posting_budget(expected: u64, until: Option<u64>) -> u64 {
    let full_scan = u128::from(expected) * SCAN_COST / POSTING_COST;
    let budget = match until {
        // With n contacts, a scan reads until * expected / n entries. Both ways cost the same if
        // n² = until * full_scan.
        Some(until) => (u128::from(until) * full_scan).isqrt().min(full_scan),
        None => full_scan,
    };
    u64::try_from(budget).unwrap_or(u64::MAX)
}
