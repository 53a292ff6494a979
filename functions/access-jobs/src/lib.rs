//! `/api/2.0/crm/access/…`: reads, undoes, applies and cancels jobs; manages standing rules.

mod history;
mod rules;

use api::Endpoint;

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[
    history::LIST,
    history::SHOW,
    history::CHANGES,
    history::UNDO,
    history::APPLY,
    history::CANCEL,
    rules::LIST,
    rules::SHOW,
    rules::SET,
    rules::REMOVE,
];

/// The Lambda function of the endpoints.
const FUNCTION: &str = "access-jobs";
