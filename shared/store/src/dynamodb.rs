//! Calls to DynamoDB: the client, batches, and pauses between attempts.

pub mod backoff;
pub mod batch;
pub mod client;
pub mod https;
pub mod in_process;
pub(crate) mod items;
mod pressure;
pub(crate) mod reading;
pub(crate) mod statements;
