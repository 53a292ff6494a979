//! Serves the functions of crm-access on one port of this machine, with an embedded DynamoDB engine.
//!
//! Only the AWS services around a function are simulated. The handlers, the requests, the answers and the table are the
//! same as in the deployed service.

pub mod cors;
pub mod dynamodb_port;
mod explained;
pub mod fair_queue;
pub mod hosts;
pub mod router;
pub mod server;
pub mod workers;

use api::Endpoint;

/// The stack of a thread that runs handlers or jobs. Without optimisation, the futures of one call can take more than
/// the default of 2 MB.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Every endpoint of the service, by function.
pub const ENDPOINTS: &[&[Endpoint]] = &[
    &[set_contact_access::ENDPOINT],
    &[set_contacts_access::ENDPOINT],
    &[set_filter_access::ENDPOINT],
    get_contact::ENDPOINTS,
    list_contacts::ENDPOINTS,
    access_jobs::ENDPOINTS,
    session::ENDPOINTS,
];

/// Iterates over every endpoint of the service.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().copied().flatten()
}
