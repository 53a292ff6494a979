//! The HTTP layer of crm-access: reads the caller and the body from a request, and turns an answer or a failure into a
//! response. Only this crate knows status codes.

pub mod answer;
pub mod app;
pub mod aws;
pub mod call;
pub mod config;
pub mod endpoint;
pub mod failure;
mod idempotency;
pub mod lambda;
pub mod log;
pub mod negotiation;
pub mod routes;
pub mod show;
pub mod sign_in;
pub mod site;

pub use answer::Answer;
pub use app::App;
pub use call::{Attempts, Call, CallerInPortal, Incoming, NamedUser, NextAttempt, PublicCall};
pub use endpoint::{Auth, Endpoint};
pub use failure::Failure;
pub use idempotency::WriteCall;
pub use lambda::{run, run_events, run_site, run_with_queue};
