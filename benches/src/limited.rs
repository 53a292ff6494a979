//! A table with a limit of write units, in front of the embedded engine: refuses writes as DynamoDB does.
//!
//! The table has a token bucket. Each call takes 4 ms longer than in the engine.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use store::dynamodb::in_process::{EngineAnswer, EngineResult, InProcess};
use tokio::time::sleep;

/// The time that each call takes on its way to the engine and back.
const LATENCY: Duration = Duration::from_millis(4);
/// The time for which the table saves unused units.
const BURST: Duration = Duration::from_secs(1);
/// Bytes of an item that cost one write unit.
const UNIT_BYTES: usize = 1024;

/// Units and items that passed a limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// Write units of accepted writes.
    pub units: f64,
    /// Accepted items of batches.
    pub accepted: u64,
    /// Refused items of batches.
    pub refused: u64,
    /// Refused calls that are no batches.
    pub refused_calls: u64,
}

/// A limit of write units, which several connections to a table share.
#[derive(Debug)]
pub struct Limit {
    /// Write units a second.
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    units: f64,
    at: Instant,
    passed: Passed,
}

impl Limit {
    /// Returns a limit of `rate` write units a second, with a full bucket.
    pub fn new(rate: f64) -> Arc<Self> {
        let state = State { units: rate * BURST.as_secs_f64(), at: Instant::now(), passed: Passed::default() };
        Arc::new(Self { rate, state: Mutex::new(state) })
    }

    /// Returns the units and items that passed so far.
    pub fn passed(&self) -> Passed {
        self.state().passed
    }

    /// Returns the units that the bucket holds now.
    pub fn saved(&self) -> f64 {
        self.refilled().units
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refilled(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let now = Instant::now();
        state.units = (state.units + self.rate * (now - state.at).as_secs_f64()).min(self.rate * BURST.as_secs_f64());
        state.at = now;
        state
    }

    /// Takes the units of a whole call, or nothing.
    fn take_call(&self, units: f64) -> bool {
        let mut state = self.refilled();
        let enough = state.units >= units;
        if enough {
            state.units -= units;
            state.passed.units += units;
        } else {
            state.passed.refused_calls += 1;
        }
        enough
    }

    /// Takes the units of the first items of a batch, and returns the number of these items.
    fn take_items(&self, units: &[f64]) -> usize {
        let mut state = self.refilled();
        let mut accepted = 0;
        for &units in units {
            if state.units < units {
                break;
            }
            state.units -= units;
            state.passed.units += units;
            accepted += 1;
        }
        state.passed.accepted += accepted as u64;
        state.passed.refused += (units.len() - accepted) as u64;
        accepted
    }
}

/// An engine behind a limit.
#[derive(Clone)]
pub struct Limited {
    engine: Arc<dyn InProcess>,
    limit: Arc<Limit>,
}

impl fmt::Debug for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Limited {
    /// Puts `engine` behind `limit`.
    pub fn new(engine: Arc<dyn InProcess>, limit: Arc<Limit>) -> Arc<Self> {
        Arc::new(Self { engine, limit })
    }

    async fn answer(self, operation: String, body: Vec<u8>) -> EngineResult {
        sleep(LATENCY).await;
        let Self { engine, limit } = self;
        let is_write = !matches!(operation.as_str(), "GetItem" | "BatchGetItem" | "Query" | "TransactGetItems");
        let request: Value = if is_write { serde_json::from_slice(&body)? } else { Value::Null };
        let units = match operation.as_str() {
            "PutItem" => units(&request["Item"]),
            "UpdateItem" | "DeleteItem" => 1.0,
            "TransactWriteItems" => {
                let items = request["TransactItems"].as_array().into_iter().flatten();
                items.map(|item| 2.0 * units(&item["Put"]["Item"])).sum()
            }
            "BatchWriteItem" => return write_part(engine, limit, request).await,
            "BatchExecuteStatement" => return execute_part(engine, limit, request).await,
            _ => 0.0,
        };
        if units > 0.0 && !limit.take_call(units) {
            return Ok(throttled(&operation, &request));
        }
        engine.call(operation, body).await
    }
}

impl InProcess for Limited {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        self.clone().answer(operation, body).boxed()
    }
}

/// Writes the first requests of a batch, as many as the limit allows, and answers the others as unprocessed.
async fn write_part(engine: Arc<dyn InProcess>, limit: Arc<Limit>, mut request: Value) -> EngineResult {
    let tables = request["RequestItems"].as_object_mut().ok_or("a batch without items")?;
    let (table, writes) = tables.iter_mut().next().ok_or("a batch without a table")?;
    let (table, writes) = (table.clone(), writes.as_array_mut().ok_or("a batch without items")?);
    let units: Vec<f64> = writes.iter().map(|write| units(&write["PutRequest"]["Item"])).collect();
    let accepted = limit.take_items(&units);
    let rest = writes.split_off(accepted);
    let mut answer = json!({});
    if accepted > 0 {
        let answered = engine.call("BatchWriteItem".into(), request.to_string().into_bytes()).await?;
        if rest.is_empty() || answered.status != 200 {
            return Ok(answered);
        }
        answer = serde_json::from_str(&answered.body)?;
    }
    answer["UnprocessedItems"] = Value::Object(Map::from_iter([(table, Value::Array(rest))]));
    Ok(EngineAnswer { status: 200, body: answer.to_string() })
}

/// Executes the first statements of a batch, as many as the limit allows, and answers the others as throttled.
async fn execute_part(engine: Arc<dyn InProcess>, limit: Arc<Limit>, mut request: Value) -> EngineResult {
    let statements = request["Statements"].as_array_mut().ok_or("a batch without statements")?;
    let units: Vec<f64> = statements.iter().map(|statement| units(&statement["Parameters"])).collect();
    let accepted = limit.take_items(&units);
    let refused = statements.len() - accepted;
    statements.truncate(accepted);
    let mut answer = json!({"Responses": []});
    if accepted > 0 {
        let answered = engine.call("BatchExecuteStatement".into(), request.to_string().into_bytes()).await?;
        if refused == 0 || answered.status != 200 {
            return Ok(answered);
        }
        answer = serde_json::from_str(&answered.body)?;
    }
    let throttled = json!({"Error": {"Code": "ProvisionedThroughputExceeded", "Message": "exceeded"}});
    answer["Responses"].as_array_mut().ok_or("no responses")?.extend(vec![throttled; refused]);
    Ok(EngineAnswer { status: 200, body: answer.to_string() })
}

/// Returns the answer to a throttled call.
fn throttled(operation: &str, request: &Value) -> EngineAnswer {
    let items = request["TransactItems"].as_array().map_or(0, Vec::len);
    let body = if operation == "TransactWriteItems" {
        let reasons = vec![json!({"Code": "ThrottlingError", "Message": "exceeded"}); items];
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
            "CancellationReasons": reasons,
        })
    } else {
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "message": "The level of configured provisioned throughput for the table was exceeded",
        })
    };
    EngineAnswer { status: 400, body: body.to_string() }
}

/// Returns the write units of an item or of the parameters of a statement. An empty value costs one unit too.
fn units(item: &Value) -> f64 {
    bytes(item).div_ceil(UNIT_BYTES).max(1) as f64
}

/// Returns about as many bytes as DynamoDB counts for a value in its JSON form.
fn bytes(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                // Base64 has four characters for three bytes.
                ("B", Value::String(text)) => text.len() / 4 * 3,
                ("S", Value::String(text)) => text.len(),
                ("N", Value::String(text)) => text.len() / 2 + 1,
                (name, value) => name.len() + bytes(value),
            })
            .sum(),
        Value::Array(values) => values.iter().map(bytes).sum(),
        Value::String(text) => text.len(),
        _ => 1,
    }
}
