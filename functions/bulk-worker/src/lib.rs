//! Works through queued jobs: each message of the queue asks for one shard of one job.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use jobs::{Deadline, Jobs, Message};
use lambda_runtime::Error;
use tokio::time::Instant;

/// Does what the messages ask for, side by side, until `stop_at`. What is not through by then the worker hands on to
/// the next one itself; a message whose work failed is named, and delivered again.
///
/// # Errors
///
/// None; each message fails alone.
pub fn handle(jobs: &Jobs, event: SqsEvent, stop_at: Instant) -> BoxFuture<'_, Result<SqsBatchResponse, Error>> {
    async move {
        let deadline = Deadline::at(stop_at);
        let failed = join_all(event.records.iter().map(|record| work(jobs, record, &deadline))).await;
        Ok(failed.into_iter().flatten().fold(SqsBatchResponse::default(), |mut response, failure| {
            response.batch_item_failures.push(failure);
            response
        }))
    }
    .boxed()
}

/// Does what one message asks for, and names it when it is to be delivered again.
async fn work(jobs: &Jobs, record: &SqsMessage, deadline: &Deadline) -> Option<BatchItemFailure> {
    let id = record.message_id.clone().unwrap_or_default();
    let failed = |id| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        Some(failure)
    };
    let message: Message = match serde_json::from_str(record.body.as_deref().unwrap_or_default()) {
        Ok(message) => message,
        Err(error) => {
            // It goes to the dead-letter queue, where its alarm brings somebody to look at it.
            // The error's own text would quote the message.
            tracing::error!(message = id, error = ?error.classify(), column = error.column(), "message not understood");
            return failed(id);
        }
    };
    let jobs = jobs.metered();
    match jobs.work(&message, deadline).await {
        Ok(worked) => {
            let spent = jobs.store.meter().reading();
            tracing::info!(
                job = %message.job,
                shard = message.shard,
                worked = ?worked,
                dynamodb_calls = spent.calls,
                read_units = spent.read_units,
                write_units = spent.write_units,
                "message done"
            );
            None
        }
        Err(error) => {
            tracing::error!(job = %message.job, shard = message.shard, error = &error as &dyn std::error::Error, "message failed");
            failed(id)
        }
    }
}
