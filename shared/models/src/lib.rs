//! The domain of crm-access as values and pure functions: contacts and their wire shapes, access rules, filters and
//! their plans, requests and import lines.
//!
//! Nothing here is async, reads a clock or the environment, or knows AWS or HTTP status codes.

pub mod access;
pub mod answer;
pub mod contact;
pub mod directory;
pub mod filter;
pub mod import;
pub mod invalid;
pub mod job;
pub mod limits;
#[cfg(feature = "openapi")]
mod openapi;
pub mod request;
pub mod rule;
pub mod sign_in;
pub mod values;
