//! Requests as they are read: JSON bodies and query parameters, with every fault named.
//!
//! A body field that is not known is a fault, because a misspelt filter field would otherwise select every contact.
//! `null` in an optional field means that the field is absent, because typed clients send it. A filter of which every
//! field that is named is `null` is a fault: it would select every contact.
//!
//! Names of fields and parameters are compared without ASCII case, because ONLYOFFICE's clients write them in several
//! ways. A field may stand twice, in two spellings, if both have the same value.
//!
//! A form and a query have the same fields as a JSON object. Their values are text, so the reader takes `true`, `1` and
//! `3` from text, one value alone for an array of one, and a JSON array in text (`tags=["a","b"]`) for the array. In JSON
//! these are faults.

mod contacts;
mod fields;
pub(crate) mod form;
mod people;
mod query;
mod repeated;
mod rules;
mod selection;
mod sign_in;
mod text;

pub use contacts::{ListContacts, SetContactAccess, SetContactsAccess, SetFilterAccess};
pub use fields::{check_no_fields, checked_tag, words};
pub use people::{ACTIVATION_STATUSES, EMPLOYEE_STATUSES, ListPeople, PeopleOrder, fields_of_person};
pub use query::{JobsPage, JobsStart, Page, Query};
pub use rules::{RunOnce, SetRule};
pub use sign_in::SignInRequest;

/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A body as it was sent.
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
