//! The requests of a batch.

use serde_json::{Map, Value};

/// Returns a batch's requests for one table: `[…]` for writes, `{"Keys": […], …}` for reads.
pub(super) fn requests(of_table: &mut Value) -> Option<&mut Vec<Value>> {
    match of_table {
        Value::Array(writes) => Some(writes),
        Value::Object(reads) => reads.get_mut("Keys").and_then(Value::as_array_mut),
        _ => None,
    }
}

/// Removes the last `count` requests of a batch, and the tables left without requests.
pub(super) fn take_last(batch: &mut Value, mut count: usize) -> Map<String, Value> {
    let mut removed = Map::new();
    let Some(tables) = batch.as_object_mut() else { return removed };
    for (table, of_table) in tables.iter_mut().rev() {
        let mut removed_of_table = of_table.clone();
        let (Some(remaining), Some(last)) = (requests(of_table), requests(&mut removed_of_table)) else { continue };
        let at = remaining.len().saturating_sub(count);
        remaining.truncate(at);
        last.drain(..at);
        count -= last.len();
        if !last.is_empty() {
            removed.insert(table.clone(), removed_of_table);
        }
    }
    tables.retain(|_, of_table| requests(of_table).is_none_or(|remaining| !remaining.is_empty()));
    removed
}

/// Returns the number of requests of a batch, over all tables.
pub(super) fn count(batch: &Value) -> usize {
    let tables = batch.as_object().into_iter().flat_map(Map::values);
    tables.filter_map(|of_table| requests(&mut of_table.clone()).map(|requests| requests.len())).sum()
}
