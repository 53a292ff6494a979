//! Batches of conditional writes: PartiQL statements, each with a condition of its own.
//!
//! `BatchWriteItem` has no conditions, and a single conditional call writes one item. `BatchExecuteStatement` writes
//! [`WRITE_BATCH`] items, reports a result for each, and costs the same write units. A statement whose condition failed
//! costs a write unit.

use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementError, BatchStatementErrorCodeEnum as Code, BatchStatementRequest,
    ReturnConsumedCapacity,
};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::dynamodb::backoff::pauses;
use crate::dynamodb::batch::{IN_FLIGHT, Priority, WRITE_BATCH};
use crate::dynamodb::client::{CALL_ATTEMPTS, Store};
use crate::error::StoreError;

const OPERATION: &str = "BatchExecuteStatement";

/// A statement that writes one item if its condition holds.
#[derive(Clone, Debug)]
pub(crate) struct Statement<T> {
    /// The caller's name for the statement.
    pub(crate) tag: T,
    /// The PartiQL text.
    pub(crate) text: String,
    /// The values of the text's placeholders.
    pub(crate) parameters: Vec<AttributeValue>,
}

/// A statement whose condition did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rejected<T> {
    /// The caller's name for the statement.
    pub(crate) tag: T,
    /// True if an earlier attempt had no answer. This attempt may have written the item, and so caused the rejection.
    pub(crate) may_be_written: bool,
}

/// The outcome of many statements.
#[derive(Debug)]
pub(crate) struct Executed<T> {
    /// The statements whose condition did not hold.
    pub(crate) rejected: Vec<Rejected<T>>,
    /// The statements that are not known to have written.
    pub(crate) unwritten: Vec<T>,
    /// The first error; present if there are unwritten statements.
    pub(crate) error: Option<StoreError>,
}

impl<T> Default for Executed<T> {
    fn default() -> Self {
        Self { rejected: Vec::new(), unwritten: Vec::new(), error: None }
    }
}

impl<T> Executed<T> {
    fn add(&mut self, other: Self) {
        self.rejected.extend(other.rejected);
        self.unwritten.extend(other.unwritten);
        self.error = self.error.take().or(other.error);
    }
}

/// A statement that waits for its result.
struct Open<T> {
    statement: Statement<T>,
    /// True if an attempt had no answer.
    may_be_written: bool,
}

/// The meaning of a statement's error.
enum Refusal {
    /// The condition did not hold: somebody else wrote the item.
    Condition,
    /// The table is busy, and wrote nothing.
    Busy,
    /// The table failed, perhaps after it wrote the item.
    Unknown,
    /// The statement is wrong. Another attempt fails too.
    Wrong,
}

impl Refusal {
    fn of(error: &BatchStatementError) -> Self {
        match error.code() {
            Some(Code::ConditionalCheckFailed | Code::DuplicateItem) => Self::Condition,
            Some(
                Code::ThrottlingError
                | Code::ProvisionedThroughputExceeded
                | Code::RequestLimitExceeded
                | Code::TransactionConflict,
            ) => Self::Busy,
            Some(
                Code::ValidationError
                | Code::AccessDenied
                | Code::ResourceNotFound
                | Code::ItemCollectionSizeLimitExceeded,
            ) => Self::Wrong,
            // Internal errors, and codes that this SDK does not know.
            _ => Self::Unknown,
        }
    }
}

impl Store {
    /// Executes statements, in no order, at most one per item. Costs 1 write unit per KB of each item, also if the
    /// condition fails.
    pub(crate) async fn execute_each<T: Send>(
        &self,
        statements: impl IntoIterator<Item = Statement<T>>,
        priority: Priority,
    ) -> Executed<T> {
        let mut executed = Executed::default();
        // A statement is built when its batch waits for its turn or is sent, so that memory holds few statements.
        let mut statements = statements.into_iter().map(|statement| Open { statement, may_be_written: false });
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < IN_FLIGHT {
                let batch: Vec<Open<T>> = statements.by_ref().take(WRITE_BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                in_flight.push(self.execute_batch(batch, priority));
            }
            // A failed batch does not stop the others, because the caller must know what was written.
            let Some(batch) = in_flight.next().await else { return executed };
            executed.add(batch);
        }
    }

    async fn execute_batch<T: Send>(&self, mut batch: Vec<Open<T>>, priority: Priority) -> Executed<T> {
        let mut executed = Executed::default();
        let mut pauses = pauses();
        // Send unanswered statements as often as the SDK would send the call.
        let mut unanswered = 0;
        loop {
            let attempt = self.execute_once(&mut batch, &mut executed, priority).await;
            if batch.is_empty() {
                return executed;
            }
            if attempt.as_ref().is_err_and(StoreError::is_validation) && batch.len() > 1 {
                // One wrong statement must not hold back the others.
                let second = batch.split_off(batch.len() / 2);
                for half in [batch, second] {
                    executed.add(Box::pin(self.execute_batch(half, priority)).await);
                }
                return executed;
            }
            unanswered += u32::from(matches!(attempt, Err(StoreError::Unavailable { .. })));
            let pause = match attempt {
                Err(error) if unanswered >= CALL_ATTEMPTS => Err(error),
                Ok(()) => pauses.next().ok_or(StoreError::Throttled { operation: OPERATION, source: None }),
                Err(error) if error.is_transient() => pauses.next().ok_or(error),
                Err(error) => Err(error),
            };
            match pause {
                Ok(pause) => self.time.pause(pause).await,
                Err(error) => {
                    executed.error = executed.error.or(Some(error));
                    executed.unwritten.extend(batch.into_iter().map(|open| open.statement.tag));
                    return executed;
                }
            }
        }
    }

    /// Sends the statements once. Leaves the statements in `batch` that have no final result.
    async fn execute_once<T>(
        &self,
        batch: &mut Vec<Open<T>>,
        executed: &mut Executed<T>,
        priority: Priority,
    ) -> Result<(), StoreError> {
        let requests = batch.iter().map(|Open { statement, .. }| {
            BatchStatementRequest::builder()
                .statement(&statement.text)
                .set_parameters(Some(statement.parameters.clone()))
                .build()
                .map_err(|error| StoreError::unbuildable("a statement", error))
        });
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        let sent = requests.len();
        let permit = match priority {
            Priority::Call => None,
            Priority::Bulk => Some(self.pressure.admit(sent).await),
        };
        // The SDK does not repeat this call: only this function knows whether an attempt had no answer.
        let output = self
            .client_without_retries
            .batch_execute_statement()
            .set_statements(Some(requests))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let output = output.map_err(|error| {
            let error = StoreError::from_sdk(OPERATION, error);
            if matches!(error, StoreError::Unavailable { .. }) {
                batch.iter_mut().for_each(|open| open.may_be_written = true);
            }
            error
        });
        let output = match output {
            Err(error) if error.is_throttled() => {
                if let Some(permit) = permit {
                    permit.finished(0, sent);
                }
                return Err(error);
            }
            output => output?,
        };
        self.meter.wrote(output.consumed_capacity());
        let mut errors = output.responses.unwrap_or_default().into_iter().map(|response| response.error);
        let mut wrong = None;
        let (mut accepted, mut busy) = (0, 0);
        for mut open in std::mem::take(batch) {
            let Some(error) = errors.next() else {
                // DynamoDB answers each statement.
                open.may_be_written = true;
                batch.push(open);
                continue;
            };
            match error.as_ref().map(Refusal::of) {
                None => accepted += 1,
                Some(Refusal::Condition) => {
                    accepted += 1;
                    let Open { statement, may_be_written } = open;
                    executed.rejected.push(Rejected { tag: statement.tag, may_be_written });
                }
                Some(Refusal::Busy) => {
                    busy += 1;
                    batch.push(open);
                }
                Some(Refusal::Unknown) => batch.push(Open { may_be_written: true, ..open }),
                Some(Refusal::Wrong) => {
                    wrong = wrong.or_else(|| error.and_then(|error| error.code));
                    executed.unwritten.push(open.statement.tag);
                }
            }
        }
        if let Some(permit) = permit {
            permit.finished(accepted, busy);
        }
        if let Some(code) = wrong {
            let refused = StoreError::refused(OPERATION, code.as_str());
            executed.error = executed.error.take().or(Some(refused));
        }
        Ok(())
    }
}
