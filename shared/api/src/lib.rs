//! The HTTP layer of crm-access: reads the caller and the body from a request, and turns an answer or a failure into a
//! response. Only this crate knows status codes.

pub mod answer;
pub mod app;
pub mod call;
pub mod config;
pub mod contacts;
pub mod endpoint;
pub mod event_bridge;
pub mod failure;
mod gateway;
mod idempotency;
pub mod log;
pub mod negotiation;
mod origin;
pub mod passwords;
pub mod routes;
pub mod run;
pub mod sqs;

pub use answer::Answer;
pub use app::App;
pub use call::{Call, Incoming, NamedUser};
pub use endpoint::{Auth, Endpoint};
pub use failure::Failure;
pub use run::{run, run_events, run_with_queue};
