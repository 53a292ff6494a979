//! The queue of messages, which passes remaining work to free workers.
//!
//! A message is a hint: the table alone records the work to be done. A duplicate message has no effect, and
//! [`crate::sweep`] sends a lost message again.

use std::fmt;

use futures::future::BoxFuture;
use models::job::JobId;
use models::values::id::PortalId;
use serde::{Deserialize, Serialize};

/// A request for work on a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The job's portal.
    pub portal: PortalId,
    /// The job.
    pub job: JobId,
    /// The shard to work on; none to close a job whose shards are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u16>,
}

/// The queue did not accept messages. The text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the queue did not accept {messages} message(s)")]
pub struct QueueError {
    /// The number of messages.
    pub messages: usize,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Accepts messages and delivers each at least once.
pub trait Queue: fmt::Debug + Send + Sync {
    /// Sends messages.
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>>;
}
