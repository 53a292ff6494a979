//! Faults applied to a call, whether the call came over HTTP or inside the process.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Response, StatusCode};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::batch::{count, requests, take};
use super::{Buckets, Call, Capacity, Fault, Injector, Operation, Share, When, answers};

/// The engine that answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replica {
    Current,
    Late,
}

/// A call on its way to the engine.
pub(super) struct Exchange {
    pub(super) call: Arc<Call>,
    /// The body of the call as the engine receives the body.
    pub(super) body: Bytes,
    pub(super) replica: Replica,
}

impl Exchange {
    /// Returns the exchange with another body. Further faults see the call with this body.
    fn with_body(self, body: Value) -> Self {
        let bytes = Bytes::from(body.to_string());
        Self { call: Arc::new(Call { body, ..(*self.call).clone() }), body: bytes, ..self }
    }
}

/// The engines behind the faults.
pub(super) trait Engines: Sync {
    fn injector(&self) -> &Injector;

    /// Returns whether there is an engine that lags.
    fn lags(&self) -> bool;

    /// Forwards a call to the engine that the call belongs to. Returns none when the engine is unreachable.
    fn forward<'a>(&'a self, exchange: Exchange) -> BoxFuture<'a, Option<Response<Bytes>>>;
}

/// Applies the first fault, and the other faults inside it. Forwards a call without faults. Returns none when the
/// connection must be cut.
pub(super) fn answer_with<'a>(
    engines: &'a dyn Engines,
    exchange: Exchange,
    faults: &'a [Fault],
) -> BoxFuture<'a, Option<Response<Bytes>>> {
    Box::pin(async move {
        let Some((fault, others)) = faults.split_first() else { return engines.forward(exchange).await };
        let call = &*exchange.call.clone();
        match fault {
            Fault::Throttle(capacity) => Some(answers::throttled(call, *capacity)),
            Fault::Conflict => Some(answers::in_conflict(call)),
            Fault::Refuse => Some(answers::refused()),
            Fault::InternalError(When::Before) => Some(answers::internal_error()),
            Fault::InternalError(When::After) => {
                answer_with(engines, exchange, others).await.map(|_| answers::internal_error())
            }
            Fault::Unavailable(When::Before) => Some(answers::unavailable()),
            Fault::Unavailable(When::After) => {
                answer_with(engines, exchange, others).await.map(|_| answers::unavailable())
            }
            Fault::Panic | Fault::Reset(When::Before) | Fault::Die(When::Before) => None,
            Fault::Reset(When::After) | Fault::Die(When::After) => {
                answer_with(engines, exchange, others).await;
                None
            }
            Fault::Hold(When::Before, gate) => {
                gate.pass().await;
                if engines.injector().is_dead() {
                    return None;
                }
                answer_with(engines, exchange, others).await
            }
            Fault::Hold(When::After, gate) => {
                let answer = answer_with(engines, exchange, others).await;
                gate.pass().await;
                answer
            }
            Fault::Delay(When::Before, time, delay) => {
                time.take(*delay).await;
                answer_with(engines, exchange, others).await
            }
            Fault::Delay(When::After, time, delay) => {
                let answer = answer_with(engines, exchange, others).await;
                time.take(*delay).await;
                answer
            }
            Fault::Unprocessed(share) => {
                let left = last(*share, count(call));
                answer_part(engines, exchange, left, others).await
            }
            Fault::Limit(buckets) => answer_within(engines, exchange, buckets, others).await,
            Fault::EmptyPage => answers::empty_page(call, answer_with(engines, exchange, others).await?),
            Fault::ShortPage(entries) => answer_with(engines, shortened(exchange, *entries), others).await,
            Fault::Stale if !call.writes() && engines.lags() => {
                answer_with(engines, Exchange { replica: Replica::Late, ..exchange }, others).await
            }
            Fault::Stale => answer_with(engines, exchange, others).await,
        }
    })
}

/// Returns for each of the `requests` whether the request belongs to the share.
fn last(share: Share, requests: usize) -> Vec<bool> {
    let first = requests.saturating_sub(share.of(requests));
    (0..requests).map(|request| request >= first).collect()
}

/// Answers a batch without the requests that are `left`, and returns these as unprocessed. Other calls pass.
async fn answer_part(
    engines: &dyn Engines,
    exchange: Exchange,
    left: Vec<bool>,
    faults: &[Fault],
) -> Option<Response<Bytes>> {
    let call = exchange.call.clone();
    let (unprocessed, mut answer) = match call.operation {
        Operation::BatchWriteItem => ("UnprocessedItems", json!({})),
        Operation::BatchGetItem => ("UnprocessedKeys", json!({"Responses": {}})),
        Operation::BatchExecuteStatement => return answer_statements(engines, exchange, left, faults).await,
        _ => return answer_with(engines, exchange, faults).await,
    };
    let mut processed = call.body.clone();
    let removed = take(&mut processed["RequestItems"], &left);
    if processed["RequestItems"].as_object().is_some_and(|tables| !tables.is_empty()) {
        let forwarded = answer_with(engines, exchange.with_body(processed), faults).await?;
        if forwarded.status() != StatusCode::OK {
            return Some(forwarded);
        }
        answer = serde_json::from_slice(forwarded.body()).ok()?;
    }
    for (table, of_table) in removed {
        // The engine itself may have left requests of the table unprocessed.
        match requests(&mut answer[unprocessed][&table]) {
            Some(own) => own.extend(requests(&mut of_table.clone()).map(std::mem::take).unwrap_or_default()),
            None => answer[unprocessed][&table] = of_table,
        }
    }
    Some(answers::reply(StatusCode::OK, &answer))
}

/// Executes statements without those that are `left`, and answers these as throttled.
async fn answer_statements(
    engines: &dyn Engines,
    exchange: Exchange,
    left: Vec<bool>,
    faults: &[Fault],
) -> Option<Response<Bytes>> {
    let mut executed = exchange.call.body.clone();
    let statements = executed["Statements"].as_array_mut()?;
    let mut is_left = left.iter();
    statements.retain(|_| is_left.next() != Some(&true));
    let (mut results, mut consumed) = (Vec::new(), Value::Null);
    if !statements.is_empty() {
        let forwarded = answer_with(engines, exchange.with_body(executed), faults).await?;
        if forwarded.status() != StatusCode::OK {
            return Some(forwarded);
        }
        let answer: Value = serde_json::from_slice(forwarded.body()).ok()?;
        results.clone_from(answer["Responses"].as_array()?);
        consumed = answer["ConsumedCapacity"].clone();
    }
    let mut results = results.into_iter();
    let all = left.iter().map(|left| if *left { Some(answers::throttled_statement()) } else { results.next() });
    let all = all.collect::<Option<Vec<Value>>>()?;
    let mut answer = json!({"Responses": all});
    if !consumed.is_null() {
        answer["ConsumedCapacity"] = consumed;
    }
    Some(answers::reply(StatusCode::OK, &answer))
}

/// Answers those requests of a call whose partitions still have units.
async fn answer_within(
    engines: &dyn Engines,
    exchange: Exchange,
    buckets: &Buckets,
    faults: &[Fault],
) -> Option<Response<Bytes>> {
    let call = &*exchange.call.clone();
    let partitions: Vec<String> = match call.body["ExpressionAttributeValues"][":pk"]["S"].as_str() {
        Some(queried) if call.operation == Operation::Query => vec![queried.to_owned()],
        _ => call.keys().into_iter().map(|(partition, _)| partition).collect(),
    };
    let left = match call.operation {
        Operation::BatchWriteItem | Operation::BatchGetItem | Operation::BatchExecuteStatement => {
            let left: Vec<bool> =
                partitions.iter().map(|partition| !buckets.take(partition, call.writes(), 1)).collect();
            // A statement has an error of its own. Another batch fails if no request was processed.
            if call.operation != Operation::BatchExecuteStatement && left.iter().all(|left| *left) {
                return Some(answers::throttled(call, Capacity::Table));
            }
            left
        }
        operation => {
            let is_transaction = matches!(operation, Operation::TransactWriteItems | Operation::TransactGetItems);
            let units = if is_transaction { 2 } else { 1 };
            if !partitions.iter().all(|partition| buckets.take(partition, call.writes(), units)) {
                return Some(answers::throttled(call, Capacity::Table));
            }
            return answer_with(engines, exchange, faults).await;
        }
    };
    answer_part(engines, exchange, left, faults).await
}

/// Limits a query of an index to this many entries. Queries without a limit pass.
fn shortened(exchange: Exchange, entries: u64) -> Exchange {
    if !exchange.call.queries_index() || !exchange.call.body["Limit"].is_number() {
        return exchange;
    }
    let mut body = exchange.call.body.clone();
    body["Limit"] = json!(entries);
    exchange.with_body(body)
}
