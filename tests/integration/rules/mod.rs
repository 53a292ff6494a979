//! Standing rules and their scheduler: `/api/2.0/crm/access/rules` and the function `run-rules`.

mod limits;
mod people;
mod races;
mod run_events;
mod setting;
mod starting;
mod stored;

use models::values::timestamp::Timestamp;
use run_rules::Done;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tests::{Reply, World};
use tokio::time::Instant;

use crate::portal::{ADA_TOKEN, MIKE, acme_with, contact};

pub(crate) use self::{put as put_rule, rule as shown_rule, set as set_rule, wake_at as wake_rules_at};
pub(crate) use people::dismiss;
pub(crate) use run_events::{run_of, start};

/// The first 02:00 in Riga after the world's initial time, which is in winter.
const FIRST: &str = "2026-01-02T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Formats a time as answers show it.
fn shown_at(text: &str) -> Value {
    crate::portal::shown_at(at(text))
}

/// A rule that makes every contact private to Mike at 02:00.
fn nightly() -> Value {
    json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

pub(crate) async fn put(world: &World, token: &str, name: &str, body: &Value) -> Reply {
    world.access_with("PUT", &format!("rules/{name}"), token, &body.to_string(), &[]).await.unwrap()
}

/// Sets a rule. Returns the rule in the answer.
pub(crate) async fn set(world: &World, token: &str, name: &str, body: &Value) -> Value {
    let reply = put(world, token, name, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["response"].clone()
}

async fn delete(world: &World, token: &str, name: &str) -> Reply {
    world.access_with("DELETE", &format!("rules/{name}"), token, "", &[]).await.unwrap()
}

pub(crate) async fn rule(world: &World, name: &str) -> Value {
    let reply = world.get(&format!("rules/{name}"), ADA_TOKEN).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["response"].clone()
}

fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Invokes the function. Returns the number of started rules and of requeued shards.
async fn wake(world: &World) -> (usize, usize) {
    wake_with(world.jobs(), json!({})).await
}

/// A deadline that no invocation reaches.
fn later() -> Instant {
    Instant::now() + std::time::Duration::from_secs(3600)
}

async fn wake_with(jobs: &jobs::Jobs, event: Value) -> (usize, usize) {
    match run_rules::handle(jobs, to_raw_value(&event).unwrap(), later()).await.unwrap() {
        Done::Woken { rules_started, shards_resumed } => (rules_started, shards_resumed),
        started @ Done::Started { .. } => panic!("{started:?}"),
    }
}

pub(crate) async fn wake_at(world: &World, time: &str) -> (usize, usize) {
    world.set_clock(at(time));
    // By that time every read sees earlier writes.
    world.catch_up().await.unwrap();
    wake(world).await
}

async fn jobs(world: &World) -> Vec<Value> {
    world.get("jobs?count=1000", ADA_TOKEN).await.unwrap().response().as_array().unwrap().clone()
}

fn counts(job: &Value) -> [u64; 4] {
    ["matched", "updated", "unchanged", "skipped"].map(|name| job[name].as_u64().unwrap())
}

fn names(list: &Reply) -> Vec<String> {
    list.response().as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

async fn three() -> World {
    acme_with((1..=3).map(|id| contact(id, json!({})))).await
}
