//! Requests: JSON bodies, forms and query parameters, parsed with every fault named.
//!
//! An unknown body field is a fault, because a misspelt filter field would otherwise select every contact. `null` in an
//! optional field means an absent field, because typed clients send `null`. A filter whose fields are all `null` is a
//! fault, because it would select every contact.
//!
//! Names of fields and parameters are compared without ASCII case, because ONLYOFFICE's clients use several spellings.
//! A field may occur in two spellings if both have the same value.
//!
//! A form and a query have the same fields as a JSON object, but their values are text. The reader therefore accepts
//! `true`, `1` and `3` as text, a single value as an array of one, and a JSON array as text (`tags=["a","b"]`). In JSON
//! these are faults.
//!
//! A date without an offset is in the portal's time zone. `parse` needs no time zone and leaves such dates unresolved.
//! `resolve` converts the dates with the portal's zone.

pub mod bodies;
mod contacts;
pub mod field;
mod fields;
pub(crate) mod form;
mod jobs;
mod people;
pub mod queries;
mod query;
mod repeated;
mod rules;
mod selection;
mod sign_in;
mod text;

pub use contacts::{ListContacts, SetContactAccess, SetContactsAccess, SetFilterAccess};
pub use fields::{check_no_fields, checked_tag, words};
pub use jobs::UnresolvedJobFilter;
pub use people::{ACTIVATION_STATUSES, EMPLOYEE_STATUSES, ListPeople, PeopleOrder, fields_of_person};
pub use query::{JobsPage, JobsStart, Page, Query};
pub use rules::{RunOnce, SetRule, ShowSchedule, UnresolvedSchedule};
pub use selection::UnresolvedFilter;
pub use sign_in::{PasswordSignIn, SignInRequest};

/// A request body in the format of its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody<'a> {
    /// JSON in UTF-8.
    Json(&'a [u8]),
    /// `application/x-www-form-urlencoded`.
    Form(&'a [u8]),
}

impl<'a> From<&'a [u8]> for RequestBody<'a> {
    fn from(json: &'a [u8]) -> Self {
        Self::Json(json)
    }
}
