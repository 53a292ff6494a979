//! The requests of a batch.

use serde_json::{Map, Value};

use super::{Call, Operation};

/// Returns a batch's requests for one table: `[…]` for writes, `{"Keys": […], …}` for reads.
pub(super) fn requests(of_table: &mut Value) -> Option<&mut Vec<Value>> {
    match of_table {
        Value::Array(writes) => Some(writes),
        Value::Object(reads) => reads.get_mut("Keys").and_then(Value::as_array_mut),
        _ => None,
    }
}

/// Removes the requests that are `taken`, in the order of the batch, and the tables left without requests.
pub(super) fn take(batch: &mut Value, taken: &[bool]) -> Map<String, Value> {
    let mut removed = Map::new();
    let Some(tables) = batch.as_object_mut() else { return removed };
    let mut is_taken = taken.iter().copied();
    for (table, of_table) in tables.iter_mut() {
        let mut removed_of_table = of_table.clone();
        let (Some(remaining), Some(others)) = (requests(of_table), requests(&mut removed_of_table)) else { continue };
        let flags: Vec<bool> = remaining.iter().map(|_| is_taken.next() == Some(true)).collect();
        let mut flag = flags.iter();
        remaining.retain(|_| flag.next() == Some(&false));
        let mut flag = flags.iter();
        others.retain(|_| flag.next() == Some(&true));
        if !others.is_empty() {
            removed.insert(table.clone(), removed_of_table);
        }
    }
    tables.retain(|_, of_table| requests(of_table).is_none_or(|remaining| !remaining.is_empty()));
    removed
}

/// Returns the number of requests of a batch, over all tables; 0 for another call.
pub(super) fn count(call: &Call) -> usize {
    if call.operation == Operation::BatchExecuteStatement {
        return call.body["Statements"].as_array().map_or(0, Vec::len);
    }
    let tables = call.body["RequestItems"].as_object().into_iter().flat_map(Map::values);
    tables.filter_map(|of_table| requests(&mut of_table.clone()).map(|requests| requests.len())).sum()
}
