//! `/api/2.0/crm/access/…`: jobs read, undone and stopped; standing rules.

mod history;
mod rules;

use api::Endpoint;

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[
    history::LIST,
    history::SHOW,
    history::CHANGES,
    history::UNDO,
    history::CANCEL,
    rules::LIST,
    rules::SHOW,
    rules::SET,
    rules::REMOVE,
];

/// The function that offers them.
const FUNCTION: &str = "access-jobs";
