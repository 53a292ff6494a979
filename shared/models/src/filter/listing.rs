//! Lists of contacts: in which order they stand, what is sought of their access, and by which way they are found.

use std::cmp::Ordering;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::access::{Access, Caller};
use crate::answer::{Fields, KeyStyle, Keyed};
use crate::contact::{Contact, ContactRecord, ListItem};
use crate::filter::IndexEntry;
use crate::values::fold::fold;
use crate::values::id::{ContactId, UserId};
use crate::values::moment::Moment;

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
    /// First names of persons and names of companies, folded.
    FirstName,
    /// Last names of persons and names of companies, folded.
    LastName,
    /// The order of their types in the portal's directory.
    ContactType,
    /// When their access was last set.
    History,
}

impl SortBy {
    /// Every order, by its name in a request.
    pub const ALL: [(&'static str, Self); 7] = [
        ("created", Self::Created),
        ("displayName", Self::DisplayName),
        ("id", Self::Id),
        ("firstName", Self::FirstName),
        ("lastName", Self::LastName),
        ("contactType", Self::ContactType),
        ("history", Self::History),
    ];

    /// Whether the order asks for names that no index entry has.
    pub const fn needs_names(self) -> bool {
        matches!(self, Self::FirstName | Self::LastName)
    }

    /// Whether the order asks for the time at which the access was set.
    pub const fn needs_set_at(self) -> bool {
        matches!(self, Self::History)
    }
}

/// The facts about a contact that an order may ask for beside the contact's index entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// First and last name of a person, or the name of a company and nothing; folded.
    pub names: (String, String),
    /// The place of the contact's type in the portal's directory; none without a type.
    pub type_order: Option<i32>,
    /// When the access was last set; none if the access was never set.
    pub set_at: Option<Moment>,
}

impl Facts {
    /// The names by which a contact is put in order.
    pub fn names_of(record: &ContactRecord) -> (String, String) {
        if record.is_company {
            return (fold(record.shown_company_name()), String::new());
        }
        let (first, last) = record.person_names();
        (fold(first), fold(last))
    }
}

/// An entry of ONLYOFFICE's simple list, which has a contact beside the contact's next task. This service has no tasks, and
/// ONLYOFFICE leaves a missing task out. Its browser client takes a `task` that is there for a task, whatever the value.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(rename_all = "PascalCase"))]
pub struct SimpleEntry<'a> {
    /// The contact.
    pub contact: Contact<'a>,
    /// The keys to which the contact is trimmed; all, when none.
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
    /// Explanation.
    pub description: String,
    /// CSS colour.
    pub color: String,
    /// Place in the list.
    pub sort_order: i32,
    /// The number of its contacts, hidden ones included; for administrators only.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_items_count: Option<u64>,
}

impl ListChoice {
    /// Shows an entry of the directory, with the number of its contacts where the caller may know the number.
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
    /// The number of its contacts, hidden ones included; for administrators only.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_items_count: Option<u64>,
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
    /// The order that a request asks for. Where the request does not say, dates descend and everything else ascends.
    pub fn new(by: Option<SortBy>, descending: Option<bool>) -> Self {
        let by = by.unwrap_or_default();
        Self { by, descending: descending.unwrap_or(matches!(by, SortBy::Created | SortBy::History)) }
    }

    /// Where a contact stands in this order.
    pub fn rank(self, entry: &IndexEntry, facts: Facts) -> Rank {
        let key = match self.by {
            SortBy::Created => RankKey::Created(entry.created),
            SortBy::DisplayName => RankKey::Name(entry.name.clone()),
            SortBy::Id => RankKey::Id,
            SortBy::FirstName => RankKey::Names(facts.names.0, facts.names.1),
            // The name of a company stands where a last name does.
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
    Names(String, String),
    Type(Option<i32>, i32),
    SetAt(Option<Moment>),
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
pub struct AccessCriteria {
    /// Whether they are shared.
    pub shared: Option<bool>,
    /// Who is in their manager lists, which are kept while a contact is shared. The nil UUID seeks contacts without a
    /// manager, as on ONLYOFFICE's server.
    pub responsible: Option<UserId>,
}

impl AccessCriteria {
    /// Whether a contact with this access is sought by the caller, as far as the caller may know its managers.
    pub fn holds(&self, access: &Access, caller: &Caller) -> bool {
        self.shared.is_none_or(|shared| shared != access.share.is_private())
            && self.responsible.is_none_or(|user| match user.is_nil() {
                true => caller.known_managers(access).next().is_none(),
                false => caller.known_managers(access).any(|manager| manager == user),
            })
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
