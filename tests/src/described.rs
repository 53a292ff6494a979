//! Whether what is answered is in the description of the API: asked of every answer that any test gets.

use std::sync::LazyLock;

use local::openapi::document;
use models::answer::Suffix;
use serde_json::Value;

use crate::{Reply, WorldError};

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// What is described for a path; none when no endpoint has the path. The description has paths without their suffixes.
fn path_item(path: &str) -> Option<&'static Value> {
    let described = |path: &str| {
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let is_met = |segment: &str, described: &str| described.starts_with('{') || segment == described;
        let items = DOCUMENT["paths"].as_object()?.iter().filter(|(described, _)| {
            let described: Vec<&str> = described.split('/').collect();
            segments.len() == described.len() && segments.iter().zip(&described).all(|(own, other)| is_met(own, other))
        });
        // A segment that is met by its very text counts more than a parameter.
        items.min_by_key(|(described, _)| described.matches('{').count()).map(|(_, item)| item)
    };
    let is_exact = DOCUMENT["paths"].get(path).is_some();
    described(if is_exact { path } else { Suffix::split(path).0 })
}

/// Holds an answer to the description: its status is one that the operation has, and its kind of failure one of those
/// with that status.
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
    // Failures are described once for all operations. An operation that has not all kinds of a status names its own.
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
