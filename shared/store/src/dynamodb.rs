//! Calls to DynamoDB: the client, batches, and pauses between attempts.

pub mod backoff;
pub mod batch;
pub mod client;
pub mod in_process;
pub(crate) mod items;
#[cfg_attr(not(test), expect(dead_code, reason = "the batch writer does not use the limiter yet"))]
mod pressure;
pub(crate) mod reading;
pub(crate) mod statements;
