//! The queue of a deployed crm-access, in SQS.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use jobs::queue::{Message, Queue, QueueError};
use store::dynamodb::client::{Endpoint, settings};

/// The number of messages in one `SendMessageBatch`, which is SQS's maximum.
pub const SEND_BATCH: usize = 10;
/// The number of batches of one call that are sent concurrently.
const IN_FLIGHT: usize = 8;
/// The number of attempts for a batch, including the first.
pub const SEND_ATTEMPTS: usize = 5;
/// The first pause between two attempts, before jitter.
const BACKOFF_BASE: Duration = Duration::from_millis(50);
/// The longest pause between two attempts, before jitter. The pause is short, because a caller waits and the next sweep
/// sends unaccepted messages again.
const BACKOFF_CAP: Duration = Duration::from_millis(400);

/// A queue in SQS.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

/// The reason why SQS accepted only a part of a batch.
#[derive(Debug, thiserror::Error)]
enum NotAccepted {
    #[error("{}: {}", .0.code, .0.message.as_deref().unwrap_or("no reason given"))]
    Refused(BatchResultErrorEntry),
    #[error("the answer names neither success nor failure")]
    Unanswered,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl SqsQueue {
    /// Creates a client of the queue at `queue_url`, in AWS or in an emulator at `endpoint`, with the credentials and
    /// the region of Lambda's environment. Makes no network call, but loads the TLS roots. Call this function before
    /// the first poll, so that no caller waits.
    pub async fn connect(queue_url: String, endpoint: Option<&str>) -> Self {
        Self { client: Client::new(&settings(endpoint.map(Endpoint::at).as_ref()).await), url: queue_url }
    }

    /// Sends the messages as one batch, until SQS has accepted all messages or no attempt is left. Returns the number
    /// of messages **not** known to be accepted, with the reason; none if all were accepted.
    async fn send_batch(&self, mut messages: Vec<Message>) -> Option<(usize, Cause)> {
        let mut pauses = pauses();
        loop {
            let entries = match messages.iter().enumerate().map(entry).collect() {
                Ok(entries) => entries,
                Err(error) => return Some((messages.len(), error)),
            };
            let sent = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
            // The SDK has already retried a failed call.
            let output = match sent {
                Ok(output) => output,
                Err(error) => return Some((messages.len(), error.into())),
            };
            let is_accepted = |position: usize| output.successful.iter().any(|entry| entry.id == position.to_string());
            let mut position = 0..;
            messages.retain(|_| !position.next().is_some_and(is_accepted));
            if messages.is_empty() {
                return None;
            }
            let cause = output.failed.into_iter().next().map_or(NotAccepted::Unanswered, NotAccepted::Refused);
            match pauses.next() {
                Some(pause) => {
                    tracing::debug!(messages = messages.len(), %cause, "SQS accepted only some messages");
                    tokio::time::sleep(pause).await;
                }
                None => return Some((messages.len(), cause.into())),
            }
        }
    }
}

/// Creates an entry of a batch. The identifier is the position of the message, because identifiers need only be unique
/// within the batch. The message group is the portal: SQS then delivers the messages of a standard queue fairly, and a
/// portal with many messages does not delay other portals.
fn entry((position, message): (usize, &Message)) -> Result<SendMessageBatchRequestEntry, Cause> {
    let entry = SendMessageBatchRequestEntry::builder().id(position.to_string());
    let entry = entry.message_group_id(message.portal.to_string());
    Ok(entry.message_body(serde_json::to_string(message)?).build()?)
}

/// Returns the pauses between attempts: capped exponential backoff with full jitter.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(BACKOFF_BASE)
        .with_max_delay(BACKOFF_CAP)
        .with_max_times(SEND_ATTEMPTS - 1)
        .build()
        .map(|pause| pause.mul_f64(fastrand::f64()))
}

impl Queue for SqsQueue {
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        async move {
            let batches: Vec<Vec<Message>> = messages.chunks(SEND_BATCH).map(<[Message]>::to_vec).collect();
            let mut results = stream::iter(batches).map(|batch| self.send_batch(batch)).buffer_unordered(IN_FLIGHT);
            // A failed batch does not stop other batches.
            let mut not_accepted: Option<QueueError> = None;
            while let Some(result) = results.next().await {
                if let Some((messages, source)) = result {
                    not_accepted.get_or_insert(QueueError { messages: 0, source }).messages += messages;
                }
            }
            not_accepted.map_or(Ok(()), Err)
        }
        .boxed()
    }
}
