//! The calls that faults act on.

use serde_json::{Map, Value};
use store::keys::{PK, SK};

/// The operation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads one item.
    GetItem,
    /// Reads a range of items.
    Query,
    /// Reads items in a batch.
    BatchGetItem,
    /// Reads items in one transaction.
    TransactGetItems,
    /// Writes one item.
    PutItem,
    /// Changes one item.
    UpdateItem,
    /// Deletes one item.
    DeleteItem,
    /// Writes items in a batch.
    BatchWriteItem,
    /// Executes PartiQL statements in a batch.
    BatchExecuteStatement,
    /// Writes items in one transaction.
    TransactWriteItems,
    /// Creates, changes or deletes a table.
    DefineTable,
    /// Any other operation of DynamoDB.
    Other,
    /// Publishes an event.
    PutEvents,
    /// Reads the clock.
    ReadClock,
}

impl Operation {
    /// Returns the operation that `X-Amz-Target` names.
    pub(super) fn of_target(target: &str) -> Self {
        match target.rsplit('.').next().unwrap_or_default() {
            "GetItem" => Self::GetItem,
            "Query" => Self::Query,
            "BatchGetItem" => Self::BatchGetItem,
            "TransactGetItems" => Self::TransactGetItems,
            "PutItem" => Self::PutItem,
            "UpdateItem" => Self::UpdateItem,
            "DeleteItem" => Self::DeleteItem,
            "BatchWriteItem" => Self::BatchWriteItem,
            "BatchExecuteStatement" => Self::BatchExecuteStatement,
            "TransactWriteItems" => Self::TransactWriteItems,
            "CreateTable" | "UpdateTable" | "UpdateTimeToLive" | "DeleteTable" => Self::DefineTable,
            _ => Self::Other,
        }
    }
}

/// A received call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// The request as JSON: DynamoDB's request, the published event, or null.
    pub body: Value,
    /// The number of the call since the last plan, starting at 1.
    pub number: u64,
}

impl Call {
    /// Creates a call that has no number yet.
    pub fn new(operation: Operation, body: Value) -> Self {
        Self { operation, body, number: 0 }
    }

    /// Returns whether the call writes items.
    pub fn writes(&self) -> bool {
        use Operation::{BatchExecuteStatement, BatchWriteItem, DeleteItem, PutItem, TransactWriteItems, UpdateItem};
        matches!(
            self.operation,
            PutItem | UpdateItem | DeleteItem | BatchWriteItem | BatchExecuteStatement | TransactWriteItems
        )
    }

    /// Returns whether the call queries an index.
    pub fn queries_index(&self) -> bool {
        self.operation == Operation::Query && self.body["IndexName"].is_string()
    }

    /// Returns whether the call is an eventually consistent read.
    pub fn may_read_late(&self) -> bool {
        let is_consistent = |of: &Value| of["ConsistentRead"] == true;
        match self.operation {
            Operation::GetItem | Operation::Query => !is_consistent(&self.body),
            Operation::BatchGetItem => {
                let mut tables = self.body["RequestItems"].as_object().into_iter().flat_map(Map::values);
                !tables.all(is_consistent)
            }
            _ => false,
        }
    }

    /// Returns the partition and sort keys of the call's items, in order; none for a query.
    pub fn keys(&self) -> Vec<(String, String)> {
        if self.operation == Operation::BatchExecuteStatement {
            return self.body["Statements"].as_array().into_iter().flatten().filter_map(statement_key).collect();
        }
        let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
        self.items().into_iter().filter_map(|item| Some((text(item, PK)?, text(item, SK)?))).collect()
    }

    /// Returns the items that the call puts and the keys that it names.
    fn items(&self) -> Vec<&Value> {
        let tables = || self.body["RequestItems"].as_object().into_iter().flat_map(Map::values);
        match self.operation {
            Operation::PutItem => vec![&self.body["Item"]],
            Operation::GetItem | Operation::UpdateItem | Operation::DeleteItem => vec![&self.body["Key"]],
            Operation::BatchGetItem => tables().filter_map(|table| table["Keys"].as_array()).flatten().collect(),
            Operation::BatchWriteItem => members(tables().filter_map(Value::as_array).flatten()),
            Operation::TransactWriteItems | Operation::TransactGetItems => {
                members(self.body["TransactItems"].as_array().into_iter().flatten())
            }
            _ => Vec::new(),
        }
    }
}

/// Returns the key of the item that a statement of the store writes. An INSERT names the key first, and an UPDATE names
/// the key before its condition on the revision.
fn statement_key(statement: &Value) -> Option<(String, String)> {
    let values = statement["Parameters"].as_array()?;
    let is_insert = statement["Statement"].as_str()?.starts_with("INSERT");
    let first = if is_insert { 0 } else { values.len().checked_sub(3)? };
    let text = |index: usize| values.get(index)?["S"].as_str().map(str::to_owned);
    Some((text(first)?, text(first + 1)?))
}

/// Returns the items and keys of requests such as `{"PutRequest": {"Item": …}}` and `{"Update": {"Key": …}}`.
fn members<'a>(requests: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let requests = requests.filter_map(Value::as_object).flat_map(Map::values);
    requests.filter_map(|request| request.get("Item").or_else(|| request.get("Key"))).collect()
}
