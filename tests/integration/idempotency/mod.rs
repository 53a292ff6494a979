//! `Idempotency-Key`: a repeated call gets the first answer and changes nothing again.

mod interrupted;
mod keys;
mod later_changes;
mod replays;

use axum::body::Body;
use jiff::SignedDuration;
use lambda_http::http::Request;
use models::access::ShareType;
use models::values::id::UserId;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use tests::{NEW_YEAR_2026, Reply, World};

use crate::portal::{ADA, ADA_TOKEN, MIKE, access, acme_with, contact, contact_with};

const KEY: &str = "0197e1d2-8a5e-7c3b-9d41-2f6a5b8c7d90";

/// A call: method, path below `/api/2.0/crm/`, body, headers.
#[derive(Clone, Debug)]
struct Call {
    method: &'static str,
    path: String,
    body: Value,
    headers: Vec<(&'static str, &'static str)>,
}

fn call(method: &'static str, path: impl Into<String>, body: Value) -> Call {
    Call { method, path: path.into(), body, headers: Vec::new() }
}

fn single(managers: &[UserId]) -> Call {
    call("PUT", "contact/1/access", json!({"isShared": false, "managerList": managers}))
}

fn filter(query: &str, managers: &[UserId]) -> Call {
    call("PUT", format!("contact/filter/access{query}"), json!({"isPrivate": true, "managerList": managers}))
}

fn later(query: &str, managers: &[UserId]) -> Call {
    Call { headers: vec![("prefer", "respond-async")], ..filter(query, managers) }
}

fn rule(name: &str, cron: &str) -> Call {
    let body = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": cron});
    call("PUT", format!("access/rules/{name}"), body)
}

async fn send_with(world: &World, token: &str, keys: &[&str], call: &Call) -> Reply {
    let mut request = Request::builder()
        .method(call.method)
        .uri(format!("/api/2.0/crm/{}", call.path))
        .header("authorization", token);
    let body = if call.body.is_null() { String::new() } else { call.body.to_string() };
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(*name, *value);
    }
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    world.request(request.body(Body::from(body)).unwrap()).await.unwrap()
}

/// Sends a call as the administrator, with `KEY`.
async fn send(world: &World, call: &Call) -> Reply {
    send_with(world, ADA_TOKEN, &[KEY], call).await
}

/// Returns the parts of an answer that a replay must repeat.
fn essence(reply: &Reply) -> (u16, &str, Vec<&str>) {
    const HEADERS: [&str; 9] = [
        "x-job-id",
        "x-matched-count",
        "x-updated-count",
        "x-unchanged-count",
        "x-skipped-count",
        "x-next-index",
        "location",
        "etag",
        "content-type",
    ];
    (reply.status.as_u16(), &reply.text, HEADERS.iter().map(|name| reply.header(name)).collect())
}

fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

async fn jobs(world: &World) -> usize {
    world.get("jobs?count=1000", ADA_TOKEN).await.unwrap().response().as_array().unwrap().len()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(seconds)
}

/// Creates five contacts. Everyone may see contact 4, only administrators contact 5.
async fn five() -> World {
    acme_with([
        contact(1, json!({})),
        contact(2, json!({})),
        contact_with(3, ShareType::None, &[MIKE]),
        contact_with(4, ShareType::Read, &[]),
        contact_with(5, ShareType::None, &[ADA]),
    ])
    .await
}

/// Sends a call twice with one key. Checks that the second call changes nothing and gets the same answer.
async fn twice(world: &World, token: &str, call: &Call) -> (Reply, Reply) {
    let first = send_with(world, token, &[KEY], call).await;
    assert!(first.status.is_success(), "{call:?}: {}", first.text);
    let (state, count) = (access(world, "acme", 1..=5).await, jobs(world).await);
    let (waiting, writes) = (world.queue.waiting(), world.trips.spent().writes);
    let second = send_with(world, token, &[KEY], call).await;
    assert_eq!(essence(&second), essence(&first), "{call:?}");
    assert_eq!(world.trips.spent().writes, writes, "{call:?}");
    assert_eq!((access(world, "acme", 1..=5).await, jobs(world).await), (state, count), "{call:?}");
    assert_eq!(world.queue.waiting(), waiting, "{call:?}");
    (first, second)
}
