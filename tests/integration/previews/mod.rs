//! Previews of runs by filter and over named contacts, and the runs that make the previewed changes.

mod applying;
mod cost;
mod effects;
mod limits;
mod named;
mod starting;

use std::collections::BTreeMap;

use models::job::JobId;
use models::values::id::UserId;
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::job;

const ASYNC: (&str, &str) = ("prefer", "respond-async");

/// Returns the status and type of an error.
fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Requests a preview of a run by filter.
async fn ask(world: &World, token: &str, query: &str, body: &Value) -> Reply {
    let path = format!("filter/access?dryRun=true{query}");
    world.put_with(&path, token, &body.to_string(), &[ASYNC]).await.unwrap()
}

/// Returns the body that makes every contact private to these managers.
fn lock(managers: &[UserId]) -> Value {
    json!({"isPrivate": true, "managerList": managers})
}

/// Queues a preview.
async fn queued(world: &World, token: &str, body: &Value) -> JobId {
    let reply = ask(world, token, "", body).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

/// Makes a preview, which must finish.
async fn previewed(world: &World, token: &str, body: &Value) -> JobId {
    let id = queued(world, token, body).await;
    world.work().await.unwrap();
    assert_eq!(shown(world, token, id).await["state"], "done");
    id
}

async fn apply(world: &World, token: &str, preview: JobId) -> Reply {
    world.post(&format!("jobs/{preview}/apply"), token).await.unwrap()
}

/// Applies a preview, and runs the job to its end. Returns the run.
async fn applied(world: &World, token: &str, preview: JobId) -> JobId {
    let reply = apply(world, token, preview).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    world.work().await.unwrap();
    job(&reply).unwrap()
}

async fn shown(world: &World, token: &str, job: JobId) -> Value {
    let reply = world.get(&format!("jobs/{job}"), token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.response()
}

/// Returns matched, updated, unchanged, skipped, conflicts, failed.
fn counts(job: &Value) -> [u64; 6] {
    ["matched", "updated", "unchanged", "skipped", "conflicts", "failed"].map(|name| job[name].as_u64().unwrap())
}

/// Returns the changes of a job, by contact.
async fn changes(world: &World, token: &str, job: JobId) -> BTreeMap<i64, Value> {
    let reply = world.get(&format!("jobs/{job}/changes?count=1000"), token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let changes = reply.response().as_array().unwrap().clone();
    let count = changes.len();
    let by_contact: BTreeMap<i64, Value> =
        changes.into_iter().map(|change| (change["contactId"].as_i64().unwrap(), change)).collect();
    assert_eq!(by_contact.len(), count);
    by_contact
}
