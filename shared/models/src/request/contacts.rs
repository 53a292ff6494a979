//! Requests about contacts: changes of access, and lists.

use jiff::tz::TimeZone;

use crate::access::Access;
use crate::answer;
use crate::contact::Contact;
use crate::filter::Filter;
use crate::filter::listing::{AccessCriteria, Order, SortBy};
use crate::invalid::{Fault, Invalid};
use crate::request::RequestBody;
use crate::request::fields::{Blank, Fields, Written};
use crate::request::query::Page;
use crate::request::text::unknown_keys;
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
        let mut fields = Fields::parse(body.into(), &["isShared", "managerList", "contactid"])?;
        fields.check_contact("contactid", contact);
        let is_shared = fields.required_bool("isShared", "true makes the contact public, false private");
        let managers = fields.uuids("managerList");
        fields.finish()?;
        Ok(Self { target: Access::requested(!is_shared, managers) })
    }
}

/// The body of `PUT …/contact/access`. ONLYOFFICE's browser client, in its panel for several contacts, writes
/// `isPrivate` in place of `isShared` and `accessList` in place of `managerList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactsAccess {
    /// Contacts to change: 1 to [`MAX_NAMED_CONTACTS`](crate::limits::MAX_NAMED_CONTACTS), without duplicates, in the order
    /// of first mention.
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
        const KNOWN: &[&str] = &["contactid", "isShared", "managerList", "isPrivate", "accessList"];
        let mut fields = Fields::parse(body.into(), KNOWN)?;
        let contacts = fields.contacts("contactid");
        let is_private = match fields.either("isShared", "isPrivate") {
            "isPrivate" => fields.required_bool("isPrivate", "true makes the contacts private, false public"),
            _ => !fields.required_bool("isShared", "true makes the contacts public, false private"),
        };
        let managers = fields.either("managerList", "accessList");
        let managers = fields.uuids(managers);
        fields.finish()?;
        Ok(Self { contacts, target: Access::requested(is_private, managers) })
    }
}

/// The body of `PUT …/contact/filter/access`, with the filter's words from the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFilterAccess {
    /// Filter that selects the contacts.
    pub filter: Filter,
    /// Access that the contacts get.
    pub target: Access,
}

impl SetFilterAccess {
    /// Parses the body. Dates without an offset are in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(
        body: impl Into<RequestBody<'a>>,
        filter_value: Option<&str>,
        zone: &TimeZone,
    ) -> Result<Self, Invalid> {
        const KNOWN: &[&str] = &[
            "tags",
            "contactStage",
            "contactType",
            "contactListView",
            "fromDate",
            "toDate",
            "isPrivate",
            "managerList",
        ];
        let mut fields = Fields::parse(body.into(), KNOWN)?;
        let filter = fields.filter(filter_value, Some(zone), Blank::Refused);
        let target = fields.target();
        fields.finish()?;
        Ok(Self { filter, target })
    }
}

/// The query of `GET …/contact/filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListContacts {
    /// Filter that selects the contacts.
    pub filter: Filter,
    /// Criteria on the access of the contacts.
    pub sought: AccessCriteria,
    /// Order of the list.
    pub order: Order,
    /// Page of the list that the answer shows.
    pub page: Page,
    /// Whether the answer has the total number of matches.
    pub total: bool,
    /// Keys to which each contact is trimmed; all if absent.
    pub fields: Option<answer::Fields>,
}

impl ListContacts {
    /// Names of the query parameters.
    pub const PARAMETERS: &[&str] = &[
        "tags",
        "contactStage",
        "contactType",
        "contactListView",
        "fromDate",
        "toDate",
        "filterValue",
        "responsibleid",
        "isShared",
        "sortBy",
        "sortOrder",
        "count",
        "startIndex",
        "total",
        "fields",
    ];

    /// Parses the query string. Dates without an offset are in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every parameter that is unknown or of a wrong type.
    pub fn parse(query: &str, zone: &TimeZone) -> Result<Self, Invalid> {
        Self::read(query, Some(zone))
    }

    /// Returns the tags of the query string, which are needed before the portal's time zone is known.
    ///
    /// # Errors
    ///
    /// [`Invalid`] as for [`ListContacts::parse`], except for the order of the dates.
    pub fn tags(query: &str) -> Result<Vec<String>, Invalid> {
        Self::read(query, None).map(|request| request.filter.tags)
    }

    fn read(query: &str, zone: Option<&TimeZone>) -> Result<Self, Invalid> {
        let mut fields = Fields::text(query.as_bytes(), Self::PARAMETERS, Written::Query)?;
        let filter_value = fields.filter_value("filterValue");
        let filter = fields.filter(filter_value.as_deref(), zone, Blank::Any);
        let sought = AccessCriteria {
            shared: fields.optional_bool("isShared", "false for the contacts that are private"),
            responsible: fields.uuid("responsibleid"),
        };
        let by = fields.choice("sortBy", &SortBy::ALL);
        let descending = fields.choice("sortOrder", &[("ascending", false), ("descending", true)]);
        let page = fields.page();
        let total = fields.optional_bool("total", "false spares the counting").unwrap_or(true);
        let shown = fields.text_of("fields", "keys of a contact with commas in between");
        fields.faults.extend(shown.as_deref().into_iter().flat_map(unknown_contact_keys));
        fields.finish()?;
        let shown = shown.as_deref().and_then(answer::Fields::parse);
        Ok(Self { filter, sought, order: Order::new(by, descending), page, total, fields: shown })
    }
}

/// Returns a fault for each name in a list with commas in between that is not a key of a contact.
pub(super) fn unknown_contact_keys(list: &str) -> Vec<Fault> {
    let keys: Vec<&str> = Contact::KEYS.into_iter().chain(Contact::ONLYOFFICE_KEYS).collect();
    unknown_keys(list, "contact", &keys, &[])
}
