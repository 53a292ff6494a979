//! What crm-access is about, as values and pure functions: contacts and their wire shapes, the rules of access, filters
//! and their plans, requests and import lines as they are read.
//!
//! Nothing here is async, reads a clock or the environment, or knows AWS or HTTP status codes.

pub mod access;
pub mod contact;
pub mod contact_set;
pub mod filter;
pub mod fold;
mod form;
pub mod id;
pub mod import;
mod import_tree;
pub mod invalid;
pub mod job;
pub mod job_view;
pub mod limits;
pub mod listing;
pub mod moment;
#[cfg(feature = "openapi")]
mod openapi;
pub mod password;
pub mod plan;
pub mod portal;
pub mod printable;
pub mod request;
pub mod rule;
pub mod sign_in;
pub mod wire;
