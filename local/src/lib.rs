//! The functions of crm-access behind one port of this machine, on an embedded DynamoDB engine.
//!
//! Nothing is simulated but what AWS puts around a function: the handlers, their requests and answers and the table are
//! those of the deployed service.

pub mod cors;
pub mod dynamodb_port;
pub mod engine;
pub mod fair_queue;
pub mod hosts;
pub mod openapi;
pub mod router;
pub mod server;
pub mod workers;

use api::Endpoint;

/// Every endpoint of the service.
pub const ENDPOINTS: &[&[Endpoint]] = &[
    &[set_contact_access::ENDPOINT],
    &[set_contacts_access::ENDPOINT],
    &[set_filter_access::ENDPOINT],
    get_contact::ENDPOINTS,
    list_contacts::ENDPOINTS,
    access_jobs::ENDPOINTS,
    access_portal::ENDPOINTS,
];

/// Every endpoint of the service, one after another.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().copied().flatten()
}
