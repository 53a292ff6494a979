//! Requests about contacts: changes of access, and lists.

use jiff::tz::TimeZone;

use crate::access::Target;
use crate::answer;
use crate::contact::Contact;
use crate::filter::listing::{Order, SortBy};
use crate::filter::{AccessCriteria, Filter};
use crate::invalid::Invalid;
use crate::request::field::Blank;
use crate::request::fields::Fields;
use crate::request::query::Page;
use crate::request::selection::UnresolvedFilter;
use crate::request::text::unknown_keys;
use crate::request::{RequestBody, bodies, queries};
use crate::values::id::ContactId;

/// The body of `PUT …/contact/{contactid}/access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactAccess {
    /// Change of the contact's access.
    pub target: Target,
}

impl SetContactAccess {
    /// Parses the body. ONLYOFFICE's reference page lists `contactid` among the body's fields, so clients also send the
    /// contact of the path there.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type, and a `contactid` that differs from
    /// `contact`.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>, contact: ContactId) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::SET_CONTACT_ACCESS)?;
        fields.check_contact("contactid", contact);
        let is_private = fields.boolean("isShared").map(|is_shared| !is_shared);
        let target = fields.target(is_private, "managerList");
        fields.finish()?;
        Ok(Self { target })
    }
}

/// The body of `PUT …/contact/access`. ONLYOFFICE's browser client, in its panel for several contacts, writes
/// `isPrivate` in place of `isShared` and `accessList` in place of `managerList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactsAccess {
    /// Contacts to change: 1 to [`MAX_NAMED_CONTACTS`](crate::limits::MAX_NAMED_CONTACTS), without duplicates, in the
    /// order of first mention.
    pub contacts: Vec<ContactId>,
    /// Change of the contacts' access.
    pub target: Target,
}

impl SetContactsAccess {
    /// Parses the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::SET_CONTACTS_ACCESS)?;
        let contacts = fields.contacts("contactid");
        let is_private = match fields.either("isShared", "isPrivate") {
            "isPrivate" => fields.boolean("isPrivate"),
            _ => fields.boolean("isShared").map(|is_shared| !is_shared),
        };
        let list = fields.either("managerList", "accessList");
        let target = fields.target(is_private, list);
        fields.finish()?;
        Ok(Self { contacts, target })
    }
}

/// The body of `PUT …/contact/filter/access`, with the filter's words and its criteria for access from the query. `F`
/// is an [`UnresolvedFilter`] until the portal's time zone is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFilterAccess<F = Filter> {
    /// Filter that selects the contacts.
    pub filter: F,
    /// Change of the contacts' access.
    pub target: Target,
}

impl SetFilterAccess<UnresolvedFilter> {
    /// Parses the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(
        body: impl Into<RequestBody<'a>>,
        filter_value: Option<&str>,
        access: AccessCriteria,
    ) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::SET_FILTER_ACCESS)?;
        fields.refuse_access_criteria();
        let filter = fields.filter(filter_value, access, Blank::Refused);
        let target = fields.private_target();
        fields.finish()?;
        Ok(Self { filter, target })
    }

    /// Returns the request with the dates in the portal's time zone.
    ///
    /// # Errors
    ///
    /// See [`UnresolvedFilter::resolve`].
    pub fn resolve(self, zone: &TimeZone) -> Result<SetFilterAccess, Invalid> {
        let Self { filter, target } = self;
        Ok(SetFilterAccess { filter: filter.resolve(zone)?, target })
    }
}

/// The query of `GET …/contact/filter`. `F` is an [`UnresolvedFilter`] until the portal's time zone is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListContacts<F = Filter> {
    /// Filter that selects the contacts.
    pub filter: F,
    /// Order of the list.
    pub order: Order,
    /// Page of the list that the answer shows.
    pub page: Page,
    /// True if the answer has the total number of matches.
    pub total: bool,
    /// Keys to which each contact is trimmed; all if absent.
    pub fields: Option<answer::Fields>,
}

impl ListContacts<UnresolvedFilter> {
    /// Parses the query string.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every parameter that is unknown or of a wrong type.
    pub fn parse(query: &str) -> Result<Self, Invalid> {
        let mut fields = Fields::query(query, queries::LIST_CONTACTS);
        let filter_value = fields.filter_value("filterValue");
        let access = fields.access_criteria();
        let filter = fields.filter(filter_value.as_deref(), access, Blank::Any);
        let by = fields.choice("sortBy", &SortBy::ALL);
        let descending = fields.choice("sortOrder", &queries::DIRECTIONS);
        let page = fields.page();
        let total = fields.boolean("total").unwrap_or(true);
        let shown = contact_keys(&mut fields);
        fields.finish()?;
        Ok(Self { filter, order: Order::new(by, descending), page, total, fields: shown })
    }

    /// Returns the request with the dates in the portal's time zone.
    ///
    /// # Errors
    ///
    /// See [`UnresolvedFilter::resolve`].
    pub fn resolve(self, zone: &TimeZone) -> Result<ListContacts, Invalid> {
        let Self { filter, order, page, total, fields } = self;
        Ok(ListContacts { filter: filter.resolve(zone)?, order, page, total, fields })
    }
}

/// Takes `fields`, and records a fault for each name that is not a key of a contact.
pub(super) fn contact_keys(fields: &mut Fields) -> Option<answer::Fields> {
    let list = fields.text_of("fields", "keys of a contact with commas in between")?;
    let keys: Vec<&str> = Contact::KEYS.into_iter().chain(Contact::ONLYOFFICE_KEYS).collect();
    fields.faults.extend(unknown_keys(&list, "contact", &keys, &[]));
    answer::Fields::parse(&list)
}
