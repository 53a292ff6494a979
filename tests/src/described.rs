//! Checks every answer of every test against the OpenAPI document.

use std::sync::LazyLock;

use models::answer::Suffix;
use serde_json::Value;

use crate::{Reply, WorldError};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(local::endpoints()));

/// Returns the path item of a path; none when no endpoint has the path. The document lists paths without suffixes.
fn path_item(path: &str) -> Option<&'static Value> {
    let described = |path: &str| {
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let is_met = |segment: &str, described: &str| described.starts_with('{') || segment == described;
        let items = DOCUMENT["paths"].as_object()?.iter().filter(|(described, _)| {
            let described: Vec<&str> = described.split('/').collect();
            segments.len() == described.len() && segments.iter().zip(&described).all(|(own, other)| is_met(own, other))
        });
        // A literal segment wins over a parameter.
        items.min_by_key(|(described, _)| described.matches('{').count()).map(|(_, item)| item)
    };
    let is_exact = DOCUMENT["paths"].get(path).is_some();
    described(if is_exact { path } else { Suffix::split(path).0 })
}

/// Checks that the operation documents the reply's status, and the failure's kind under that status.
pub(crate) fn check(method: &str, path: &str, reply: &Reply) -> Result<(), WorldError> {
    let Some(operation) = path_item(path).and_then(|item| item.get(method.to_ascii_lowercase())) else { return Ok(()) };
    let status = reply.status.as_u16();
    let answer = operation["responses"]
        .get(status.to_string())
        .ok_or_else(|| undescribed(method, path, reply, "no such status"))?;
    let kind = reply.failure();
    if status < 400 || kind.is_empty() {
        return Ok(());
    }
    // All operations share the descriptions of failures. An operation lists its own when it lacks some kinds of a
    // status.
    let shared = answer["$ref"].as_str().and_then(|target| DOCUMENT.pointer(target.trim_start_matches('#')));
    let text = answer.get("description").or_else(|| shared?.get("description")).and_then(Value::as_str);
    let text = text.unwrap_or_default();
    match text.contains(&format!("`{kind}`")) {
        true => Ok(()),
        false => Err(undescribed(method, path, reply, text)),
    }
}

fn undescribed(method: &str, path: &str, reply: &Reply, described: &str) -> WorldError {
    format!("{method} {path} is not described to answer {} ({described}): {}", reply.status, reply.text).into()
}
