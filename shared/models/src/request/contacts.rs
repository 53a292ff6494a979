//! Requests about contacts: changes of access, and lists.

use jiff::tz::TimeZone;

use crate::access::Access;
use crate::answer;
use crate::contact::Contact;
use crate::filter::Filter;
use crate::filter::listing::{AccessCriteria, Order, SortBy};
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
    /// Access that the contact gets.
    pub target: Access,
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
        let is_shared = fields.boolean("isShared").unwrap_or_default();
        let managers = fields.uuids("managerList");
        fields.finish()?;
        Ok(Self { target: Access::requested(!is_shared, managers) })
    }
}

/// The body of `PUT …/contact/access`. ONLYOFFICE's browser client, in its panel for several contacts, writes
/// `isPrivate` in place of `isShared` and `accessList` in place of `managerList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactsAccess {
    /// Contacts to change: 1 to [`MAX_NAMED_CONTACTS`](crate::limits::MAX_NAMED_CONTACTS), without duplicates, in the
    /// order of first mention.
    pub contacts: Vec<ContactId>,
    /// Access that the contacts get.
    pub target: Access,
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
            "isPrivate" => fields.boolean("isPrivate").unwrap_or_default(),
            _ => !fields.boolean("isShared").unwrap_or_default(),
        };
        let managers = fields.either("managerList", "accessList");
        let managers = fields.uuids(managers);
        fields.finish()?;
        Ok(Self { contacts, target: Access::requested(is_private, managers) })
    }
}

/// The body of `PUT …/contact/filter/access`, with the filter's words from the query. `F` is an [`UnresolvedFilter`]
/// until the portal's time zone is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFilterAccess<F = Filter> {
    /// Filter that selects the contacts.
    pub filter: F,
    /// Access that the contacts get.
    pub target: Access,
}

impl SetFilterAccess<UnresolvedFilter> {
    /// Parses the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>, filter_value: Option<&str>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::SET_FILTER_ACCESS)?;
        let filter = fields.filter(filter_value, Blank::Refused);
        let target = fields.target();
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
    /// Criteria on the access of the contacts.
    pub sought: AccessCriteria,
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
        let filter = fields.filter(filter_value.as_deref(), Blank::Any);
        let sought = AccessCriteria { shared: fields.boolean("isShared"), responsible: fields.uuid("responsibleid") };
        let by = fields.choice("sortBy", &SortBy::ALL);
        let descending = fields.choice("sortOrder", &queries::DIRECTIONS);
        let page = fields.page();
        let total = fields.boolean("total").unwrap_or(true);
        let shown = contact_keys(&mut fields);
        fields.finish()?;
        Ok(Self { filter, sought, order: Order::new(by, descending), page, total, fields: shown })
    }

    /// Returns the request with the dates in the portal's time zone.
    ///
    /// # Errors
    ///
    /// See [`UnresolvedFilter::resolve`].
    pub fn resolve(self, zone: &TimeZone) -> Result<ListContacts, Invalid> {
        let Self { filter, sought, order, page, total, fields } = self;
        Ok(ListContacts { filter: filter.resolve(zone)?, sought, order, page, total, fields })
    }
}

/// Takes `fields`, and records a fault for each name that is not a key of a contact.
pub(super) fn contact_keys(fields: &mut Fields) -> Option<answer::Fields> {
    let list = fields.text_of("fields", "keys of a contact with commas in between")?;
    let keys: Vec<&str> = Contact::KEYS.into_iter().chain(Contact::ONLYOFFICE_KEYS).collect();
    fields.faults.extend(unknown_keys(&list, "contact", &keys, &[]));
    answer::Fields::parse(&list)
}
