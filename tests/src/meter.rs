//! The meter: calls to DynamoDB and the capacity that they consume.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::operation::batch_execute_statement::BatchExecuteStatementOutput;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemOutput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Counters of DynamoDB calls, fed by an SDK interceptor.
#[derive(Clone, Debug, Default)]
pub struct Trips(Arc<TripCounters>);

#[derive(Debug, Default)]
struct TripCounters {
    calls: AtomicU64,
    under_way: AtomicU64,
    rounds: AtomicU64,
    // Units come in halves, so the counters hold halves.
    read_halves: AtomicU64,
    write_halves: AtomicU64,
    writes: AtomicU64,
}

/// Capacity consumed according to DynamoDB's responses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
    /// Number of write calls.
    pub writes: u64,
}

impl std::ops::Sub for Spent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            read_units: self.read_units - earlier.read_units,
            write_units: self.write_units - earlier.write_units,
            writes: self.writes - earlier.writes,
        }
    }
}

impl Trips {
    /// Returns the calls so far and their sequential rounds. Overlapping calls are one round.
    pub fn so_far(&self) -> (u64, u64) {
        (self.0.calls.load(Ordering::SeqCst), self.0.rounds.load(Ordering::SeqCst))
    }

    /// Returns all capacity spent so far: by handlers, imports and the test itself.
    pub fn spent(&self) -> Spent {
        let units = |halves: &AtomicU64| {
            #[expect(clippy::cast_precision_loss, reason = "no test consumes 2^52 units")]
            let units = halves.load(Ordering::SeqCst) as f64 / 2.0;
            units
        };
        Spent {
            read_units: units(&self.0.read_halves),
            write_units: units(&self.0.write_halves),
            writes: self.0.writes.load(Ordering::SeqCst),
        }
    }

    fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.0.read_halves.fetch_add(halves(consumed), Ordering::SeqCst);
    }

    fn wrote<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        self.0.write_halves.fetch_add(halves(consumed), Ordering::SeqCst);
    }
}

fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    let units: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small, positive number of halves")]
    let halves = (units * 2.0).round() as u64;
    halves
}

impl Intercept for Trips {
    fn name(&self) -> &'static str {
        "Trips"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.under_way.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.rounds.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        let Some(Ok(output)) = context.output_or_error() else { return Ok(()) };
        if let Some(output) = output.downcast_ref::<GetItemOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<QueryOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<BatchGetItemOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<BatchWriteItemOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<BatchExecuteStatementOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<PutItemOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<UpdateItemOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<DeleteItemOutput>() {
            self.wrote(output.consumed_capacity());
        }
        Ok(())
    }
}
