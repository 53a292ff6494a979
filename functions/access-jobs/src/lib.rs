//! `/api/2.0/crm/access/…`: reads, undoes and cancels jobs; manages standing rules.

mod history;
mod list;
mod rules;
mod schedule;

use api::Endpoint;

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[
    list::LIST,
    history::SHOW,
    history::CHANGES,
    history::UNDO,
    history::CANCEL,
    schedule::SHOW,
    rules::LIST,
    rules::SHOW,
    rules::SET,
    rules::REMOVE,
];

/// The Lambda function of the endpoints.
const FUNCTION: &str = "access-jobs";
