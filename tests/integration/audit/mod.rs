//! The audit of access: notes, filtered lists of jobs, the history of a contact, daily counts and snapshots.

mod chain;
mod daily;
mod history;
mod job_filters;
mod notes;
mod schedule;
mod snapshots;
mod why;

use models::job::JobId;
use models::values::id::UserId;
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::job;

/// Returns the status and type of an error.
fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Answers a `GET` below `/api/2.0/crm/access/`.
async fn shown(world: &World, path: &str, token: &str) -> Value {
    let reply = world.get(path, token).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.response()
}

/// Answers a `GET` below `/api/2.0/crm/contact/`.
async fn contact_shown(world: &World, path: &str, token: &str) -> Value {
    let reply = world.contact(path, token).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.response()
}

/// Sets the access of a contact. Returns the job.
async fn set(world: &World, token: &str, contact: i64, shared: bool, managers: &[UserId]) -> JobId {
    let body = json!({"isShared": shared, "managerList": managers});
    let reply = world.put(&format!("{contact}/access"), token, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    job(&reply).unwrap()
}

/// Sets the access of every contact that the caller may edit. Returns the job.
async fn set_all(world: &World, token: &str, managers: &[UserId]) -> JobId {
    let body = json!({"isPrivate": true, "managerList": managers});
    let reply = world.put("filter/access", token, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    job(&reply).unwrap()
}

/// Undoes a job. Returns the undo.
async fn undo(world: &World, token: &str, job_id: JobId) -> JobId {
    let reply = world.post(&format!("jobs/{job_id}/undo"), token).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    world.work().await.unwrap();
    job(&reply).unwrap()
}
