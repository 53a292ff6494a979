//! `/api/2.0/crm/access/jobs`: asynchronous runs, and showing, listing, undoing and cancelling jobs.

mod asynchronous;
mod cancel;
mod changes;
mod lists;
mod progress;
mod shown_jobs;
mod undo;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use models::access::{Access, ShareType};
use models::job::JobId;
use models::values::id::UserId;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use tests::{NEW_YEAR_2026, Reply, World};

use crate::portal::{MIKE, access, contact, contact_with, job};

/// The members of a job, in the order of answers.
const MEMBERS: [&str; 22] = [
    "id",
    "kind",
    "state",
    "createdBy",
    "created",
    "started",
    "finished",
    "filter",
    "target",
    "rule",
    "undoOf",
    "note",
    "matched",
    "updated",
    "unchanged",
    "skipped",
    "conflicts",
    "failed",
    "percent",
    "perSecond",
    "estimatedEnd",
    "error",
];

const ASYNC: (&str, &str) = ("prefer", "respond-async");

async fn run(world: &World, token: &str, query: &str, managers: &[UserId], headers: &[(&str, &str)]) -> Reply {
    let body = json!({"isPrivate": true, "managerList": managers}).to_string();
    world.put_with(&format!("filter/access?{query}"), token, &body, headers).await.unwrap()
}

/// Queues a job that makes private every contact that the caller may edit.
async fn queue(world: &World, token: &str, managers: &[UserId]) -> JobId {
    let reply = run(world, token, "", managers, &[ASYNC]).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

/// Returns the object in the envelope.
fn response(reply: &Reply) -> Value {
    let json = reply.json();
    assert_eq!(json["status"], 0, "{}", reply.text);
    json["response"].clone()
}

async fn shown(world: &World, token: &str, job: JobId) -> Value {
    let reply = world.get(&format!("jobs/{job}"), token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    response(&reply)
}

/// Returns the status and type of an error.
fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Returns matched, updated, unchanged, skipped, conflicts, failed.
fn counts(job: &Value) -> [u64; 6] {
    ["matched", "updated", "unchanged", "skipped", "conflicts", "failed"].map(|name| job[name].as_u64().unwrap())
}

fn ids(list: &Value) -> Vec<String> {
    let list = list.get("response").unwrap_or(list);
    list.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(seconds)
}

/// Returns the items of all pages of a list, following `X-Next-Index`.
async fn pages(world: &World, path: &str, token: &str, size: usize) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        assert_eq!(start, all.len() as u64, "{path}");
        let reply = world.get(&format!("{path}?count={size}&startIndex={start}"), token).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        let page = reply.response().as_array().unwrap().clone();
        next = reply.count("x-next-index");
        assert!(next.is_none() || page.len() == size, "{path}: {} of {size}", page.len());
        all.extend(page);
    }
    all
}

/// Returns the access of contacts, without revisions.
async fn accesses(world: &World, ids: std::ops::RangeInclusive<i64>) -> BTreeMap<i32, Access> {
    let mut all: BTreeMap<i32, Access> =
        ids.clone().map(|id| (i32::try_from(id).unwrap(), Access::UNRECORDED)).collect();
    all.extend(access(world, "acme", ids).await.into_iter().map(|(id, state)| (id, state.access)));
    all
}

/// Returns contacts 1 to 5. Contact 2 already matches the target of the runs.
fn five() -> Vec<Value> {
    (1..=5)
        .map(|id| if id == 2 { contact_with(id, ShareType::None, &[MIKE]) } else { contact(id, json!({})) })
        .collect()
}
