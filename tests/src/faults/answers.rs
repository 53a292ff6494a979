//! DynamoDB's answers: failures that the proxy gives in place of the engine, and empty pages.

use axum::body::Bytes;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use store::keys::{Index, PK, SK};

use super::{Call, Capacity, Operation};

/// Returns the answer of a server with an internal error.
pub(super) fn internal_error() -> Response<Bytes> {
    const MESSAGE: &str = "The request processing has failed because of an unknown error";
    failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", MESSAGE)
}

/// Returns the answer of a server that is unavailable.
pub(super) fn unavailable() -> Response<Bytes> {
    failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "The service is temporarily unavailable")
}

/// Returns the answer to a call that is refused for good.
pub(super) fn refused() -> Response<Bytes> {
    failure(StatusCode::BAD_REQUEST, "ValidationException", "One or more parameter values were invalid")
}

/// Returns the answer to a throttled call.
pub(super) fn throttled(call: &Call, capacity: Capacity) -> Response<Bytes> {
    const REASON: &str = "ProvisionedThroughputExceeded";
    const CODE: &str = "ProvisionedThroughputExceededException";
    match capacity {
        Capacity::Table => {
            let message = "The level of configured provisioned throughput for the table was exceeded";
            cancelled_or_failed(call, REASON, CODE, message)
        }
        Capacity::Index => {
            let message = "The level of configured provisioned throughput for one or more global secondary indexes of \
                           the table was exceeded";
            cancelled_or_failed(call, REASON, CODE, message)
        }
        Capacity::Account => {
            let message = "Throughput exceeds the current throughput limit for your account";
            cancelled_or_failed(call, "ThrottlingError", "RequestLimitExceeded", message)
        }
    }
}

/// Returns the result of a throttled statement.
pub(super) fn throttled_statement() -> Value {
    json!({"Error": {"Code": "ProvisionedThroughputExceeded", "Message": "The level of configured provisioned throughput \
        for the table was exceeded"}})
}

/// Returns the answer to a call in conflict with a transaction.
pub(super) fn in_conflict(call: &Call) -> Response<Bytes> {
    const MESSAGE: &str = "Transaction is ongoing for the item";
    cancelled_or_failed(call, "TransactionConflict", "TransactionConflictException", MESSAGE)
}

/// Returns a cancellation for `reason` if the call is a transaction, and otherwise the error `code`.
fn cancelled_or_failed(call: &Call, reason: &str, code: &str, message: &str) -> Response<Bytes> {
    cancelled(call, reason, message).unwrap_or_else(|| failure(StatusCode::BAD_REQUEST, code, message))
}

/// Builds the answer to a transaction cancelled by its first item; none when the call is no transaction.
fn cancelled(call: &Call, code: &str, message: &str) -> Option<Response<Bytes>> {
    let items = call.body["TransactItems"].as_array()?.len();
    let mut reasons = vec![json!({"Code": "None"}); items];
    *reasons.first_mut()? = json!({"Code": code, "Message": message});
    let codes = vec!["None"; items - 1].into_iter().fold(code.to_owned(), |codes, none| codes + ", " + none);
    let answer = json!({
        "__type": qualified("TransactionCanceledException"),
        "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"),
        "CancellationReasons": reasons,
    });
    Some(reply(StatusCode::BAD_REQUEST, &answer))
}

fn failure(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    reply(status, &json!({"__type": qualified(code), "message": message}))
}

fn qualified(code: &str) -> String {
    format!("com.amazonaws.dynamodb.v20120810#{code}")
}

/// Returns an answer with a JSON body.
pub(super) fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    with_body(status, Bytes::from(body.to_string()))
}

/// Returns an answer with the text of a JSON body.
pub(super) fn with_body(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    answer
}

/// Turns the answer to a query into an empty page that ends right before the first item. Leaves an answer unchanged if
/// it has no items or not their keys.
pub(super) fn empty_page(call: &Call, answer: Response<Bytes>) -> Option<Response<Bytes>> {
    let mut page: Value = serde_json::from_slice(answer.body()).ok()?;
    let first = page["Items"][0].clone();
    if call.operation != Operation::Query || first.is_null() {
        return Some(answer);
    }
    let mut last = Map::new();
    for (name, value) in first.as_object()? {
        if [PK, SK].contains(&name.as_str()) || name.ends_with("_pk") || name.ends_with("_sk") {
            last.insert(name.clone(), value.clone());
        }
    }
    let sort_key = Index::ALL.into_iter().find(|index| call.body["IndexName"] == index.name()).map_or(SK, Index::sk);
    let Some(text) = first[sort_key]["S"].as_str() else { return Some(answer) };
    // A position ends with a numeric identifier, so its neighbour must be numeric too.
    let before = match (text.rsplit_once('#'), call.body["ScanIndexForward"] == false) {
        (Some((created, id)), backwards) if sort_key != SK => {
            let id = id.parse::<i64>().ok()?;
            format!("{created}#{:010}", if backwards { id + 1 } else { id - 1 })
        }
        (_, true) => format!("{text}~"),
        (_, false) => text.get(..text.len() - 1)?.to_owned(),
    };
    last.insert(sort_key.to_owned(), json!({"S": before}));
    page["Items"] = json!([]);
    page["Count"] = json!(0);
    page["LastEvaluatedKey"] = last.into();
    Some(reply(StatusCode::OK, &page))
}
