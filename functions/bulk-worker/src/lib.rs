//! The bulk worker: each message of the queue names one shard of one job.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use jobs::{Deadline, Jobs, Message};
use lambda_runtime::Error;
use tokio::time::Instant;

/// Works on the shards of the messages concurrently, until `stop_at`. The worker requeues a shard that is then
/// unfinished. A failed message is reported, and SQS redelivers the message.
///
/// # Errors
///
/// Never: a failed message is part of the response.
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

/// Works on the shard of one message, and reports the message if it must be delivered again.
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
            // The message ends in the dead-letter queue, whose alarm notifies the operator. The text of the error is
            // not logged, because the text quotes the message.
            let column = error.column();
            tracing::error!(message = id, error = ?error.classify(), column, "message cannot be parsed");
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
            let error = &error as &dyn std::error::Error;
            tracing::error!(job = %message.job, shard = message.shard, error, "message failed");
            failed(id)
        }
    }
}
