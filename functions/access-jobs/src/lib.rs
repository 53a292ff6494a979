//! `/api/2.0/crm/access/…`: reads, undoes, applies and cancels jobs; manages standing rules;
//! counts contacts by their access.

mod daily;
mod history;
mod list;
mod rules;
mod schedule;
mod snapshots;

use api::Endpoint;

/// Every endpoint of the function.
pub const ENDPOINTS: &[Endpoint] = &[
    list::LIST,
    daily::LIST,
    history::SHOW,
    history::CHANGES,
    history::UNDO,
    history::APPLY,
    history::CANCEL,
    schedule::SHOW,
    snapshots::START,
    snapshots::LATEST,
    rules::LIST,
    rules::SHOW,
    rules::SET,
    rules::REMOVE,
];

/// The Lambda function of the endpoints.
const FUNCTION: &str = "access-jobs";
