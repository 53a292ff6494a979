//! An engine without PartiQL, such as DynamoDB Local 1.11: each statement becomes one conditional call.

use std::fmt;
use std::io;

use axum::body::{Body, to_bytes};
use axum::http::uri::Authority;
use axum::http::{Method, Request, Uri, header};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use store::dynamodb::in_process::{EngineAnswer, EngineResult, InProcess};

/// An authorization that the engine accepts, because the engine checks no signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=0";

/// An engine without `BatchExecuteStatement`, at a host and port.
#[derive(Clone)]
pub(super) struct WithoutStatements {
    pub(super) host: Authority,
    pub(super) client: Client<HttpConnector, Body>,
}

impl fmt::Debug for WithoutStatements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithoutStatements").field(&self.host).finish()
    }
}

impl InProcess for WithoutStatements {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        let engine = self.clone();
        async move {
            match operation.as_str() {
                "BatchExecuteStatement" => engine.execute(&serde_json::from_slice(&body)?).await,
                _ => engine.send(&operation, body).await,
            }
        }
        .boxed()
    }
}

impl WithoutStatements {
    async fn send(&self, operation: &str, body: Vec<u8>) -> EngineResult {
        let uri = Uri::builder().scheme("http").authority(self.host.clone()).path_and_query("/").build()?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header(header::AUTHORIZATION, AUTHORIZATION)
            .body(Body::from(body))?;
        let (parts, body) = self.client.request(request).await?.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await?;
        Ok(EngineAnswer { status: parts.status.as_u16(), body: String::from_utf8(body.to_vec())? })
    }

    async fn execute(&self, batch: &Value) -> EngineResult {
        let (mut responses, mut units) = (Vec::new(), 0.0);
        for statement in batch["Statements"].as_array().into_iter().flatten() {
            let (operation, call, rejection) = conditional_call(statement).ok_or_else(|| unknown(statement))?;
            let answer = self.send(operation, call.to_string().into()).await?;
            let body: Value = serde_json::from_str(&answer.body)?;
            units += body["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap_or_default();
            responses.push(match answer.status {
                200 => json!({}),
                _ => json!({"Error": {"Code": error_code(&body, rejection), "Message": body["message"]}}),
            });
        }
        let body = json!({"Responses": responses, "ConsumedCapacity": [{"CapacityUnits": units}]});
        Ok(EngineAnswer { status: 200, body: body.to_string() })
    }
}

fn unknown(statement: &Value) -> io::Error {
    io::Error::other(format!("the statement has an unknown form: {statement}"))
}

/// Returns the code of a statement's error.
fn error_code<'a>(answer: &'a Value, rejection: &'a str) -> &'a str {
    match answer["__type"].as_str().and_then(|name| name.rsplit('#').next()) {
        Some("ConditionalCheckFailedException") => rejection,
        Some("TransactionConflictException") => "TransactionConflict",
        _ => "ValidationError",
    }
}

/// Returns the operation and the request that have the effect of a statement of the store, and the code of the error if
/// the condition fails.
fn conditional_call(statement: &Value) -> Option<(&'static str, Value, &'static str)> {
    let text = statement["Statement"].as_str()?;
    let mut values = statement["Parameters"].as_array()?.iter().cloned();
    // The names between quotes: the table, then the attributes.
    let quote = if text.starts_with("INSERT") { '\'' } else { '"' };
    let table = text.split('"').nth(1)?;
    let names = text.split(quote).skip(1).step_by(2).map(str::to_owned);
    if text.starts_with("INSERT") {
        let item: Map<String, Value> = names.zip(values).collect();
        let call = json!({
            "TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnConsumedCapacity": "TOTAL",
        });
        return Some(("PutItem", call, "DuplicateItem"));
    }
    let (mut set, mut remove, mut bound, mut aliases) = (Vec::new(), Vec::new(), Map::new(), Map::new());
    let clauses = text.split(" WHERE ").next()?;
    for (number, clause) in clauses.split(" SET ").skip(1).flat_map(|of| of.split(" REMOVE ")).enumerate() {
        let name = clause.split('"').nth(1)?;
        aliases.insert(format!("#n{number}"), json!(name));
        if clause.ends_with("=?") {
            set.push(format!("#n{number} = :v{number}"));
            bound.insert(format!(":v{number}"), values.next()?);
        } else {
            remove.push(format!("#n{number}"));
        }
    }
    let key = json!({"pk": values.next()?, "sk": values.next()?});
    bound.insert(":replaced".into(), values.next()?);
    let remove = if remove.is_empty() { String::new() } else { format!(" REMOVE {}", remove.join(", ")) };
    let call = json!({
        "TableName": table, "Key": key, "UpdateExpression": format!("SET {}{remove}", set.join(", ")),
        "ConditionExpression": "rev = :replaced", "ExpressionAttributeNames": aliases,
        "ExpressionAttributeValues": bound, "ReturnConsumedCapacity": "TOTAL",
    });
    Some(("UpdateItem", call, "ConditionalCheckFailed"))
}
