//! What is left to be done, handed to whoever is free: a queue of messages.
//!
//! A message is a hint and never the truth: what is to be done stands in the table. One that is delivered twice does
//! nothing twice, and one that is lost is sent again by [`crate::sweep`].

use std::fmt;

use futures::future::BoxFuture;
use models::job::JobId;
use models::values::id::PortalId;
use serde::{Deserialize, Serialize};

/// Asks for work on a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The job's portal.
    pub portal: PortalId,
    /// The job.
    pub job: JobId,
    /// The shard that is to be worked on; none to close a job whose work is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u16>,
}

/// Why messages were not taken. Its text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the queue did not take {messages} message(s)")]
pub struct QueueError {
    /// How many.
    pub messages: usize,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Takes messages, to deliver each at least once.
pub trait Queue: fmt::Debug + Send + Sync {
    /// Sends messages.
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>>;
}
