//! Whether what is answered is in the description of the API: asked of every answer that any test gets.

use std::sync::LazyLock;

use local::openapi::document;
use serde_json::Value;

use crate::{Reply, WorldError};

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// How well a segment of a path is met by one of a described path: best by its very text, then by a parameter with a
/// suffix, then by a parameter alone.
fn met(segment: &str, described: &str) -> Option<u8> {
    let suffix = described.strip_prefix('{').and_then(|parameter| parameter.split_once('}')).map(|(_, suffix)| suffix);
    match suffix {
        None => (segment == described).then_some(2),
        Some("") => Some(0),
        Some(suffix) => segment.ends_with(suffix).then_some(1),
    }
}

/// What is described for a path; none when no endpoint has it.
fn path_item(path: &str) -> Option<&'static Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let places = DOCUMENT["paths"].as_object()?.iter().filter_map(|(described, item)| {
        let described: Vec<&str> = described.split('/').collect();
        let places = segments.iter().zip(&described).map(|(segment, described)| met(segment, described));
        let places: Option<Vec<u8>> = (segments.len() == described.len()).then(|| places.collect()).flatten();
        Some((places?, item))
    });
    places.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, item)| item)
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
    // Failures are described once for all operations, under a name that lists their kinds.
    let name = answer["$ref"].as_str().and_then(|target| target.rsplit('/').next()).unwrap_or_default();
    match name.split('.').skip(1).any(|described| described == kind) {
        true => Ok(()),
        false => Err(undescribed(method, path, reply, name)),
    }
}

fn undescribed(method: &str, path: &str, reply: &Reply, described: &str) -> WorldError {
    format!("{method} {path} is not described to answer {} ({described}): {}", reply.status, reply.text).into()
}
