//! Cancelled jobs.

use serde_json::{Value, json};

use super::{ASYNC, accesses, after, counts, five, outcome, pages, queue, response, run, shown};
use crate::portal::{ADA_TOKEN, MIKE, MIKE_TOKEN, acme_with, contact, contact_id, job, private, shown_at};

#[tokio::test]
async fn cancelled_job_keeps_its_changes_and_can_be_undone() {
    let world = acme_with((1..=40).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    world.jobs().work(&world.queue.take().unwrap(), &jobs::Deadline::never()).await.unwrap();
    let done: u64 = (1..=40).filter(|id| contact_id(*id).shard(4) == 0).count().try_into().unwrap();
    let path = format!("jobs/{id}/cancel");
    let reply = world.post(&path, MIKE_TOKEN).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let stopping = response(&reply);
    assert_eq!((&stopping["id"], &stopping["state"]), (&json!(id), &json!("cancelled")));
    assert_eq!((&stopping["finished"], &stopping["updated"]), (&Value::Null, &json!(done)));
    // A cancel may be repeated until the job has stopped.
    assert_eq!(world.post(&path, ADA_TOKEN).await.unwrap().status, 200);
    world.set_clock(after(30));
    world.work().await.unwrap();
    let stopped = shown(&world, MIKE_TOKEN, id).await;
    assert_eq!((&stopped["state"], &stopped["finished"]), (&json!("cancelled"), &shown_at(after(30))));
    assert_eq!((counts(&stopped), &stopped["error"]), ([done, done, 0, 0, 0, 0], &Value::Null));
    // One of four shards had finished, so the progress is 25 % at most.
    assert!((20..=25).contains(&stopped["percent"].as_u64().unwrap()), "{stopped}");
    let locked = || async { accesses(&world, 1..=40).await.values().filter(|a| **a == private(&[MIKE])).count() };
    assert_eq!(locked().await as u64, done);
    assert_eq!(outcome(&world.post(&path, MIKE_TOKEN).await.unwrap()), "409 job-over");

    let changes = pages(&world, &format!("jobs/{id}/changes"), MIKE_TOKEN, 5).await;
    assert_eq!(changes.len() as u64, done);
    let undo = world.post(&format!("jobs/{id}/undo"), MIKE_TOKEN).await.unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, MIKE_TOKEN, job(&undo).unwrap()).await), [done, done, 0, 0, 0, 0]);
    assert_eq!(locked().await, 0);
}

#[tokio::test]
async fn job_cancelled_before_its_start_writes_nothing() {
    let world = acme_with(five()).await;
    let before = accesses(&world, 1..=5).await;
    for query in ["", "maxAffected=100"] {
        let reply = run(&world, ADA_TOKEN, query, &[MIKE], &[ASYNC]).await;
        let id = job(&reply).unwrap();
        // All messages are lost, but the cancel enqueues the shards again.
        world.queue.clear();
        assert_eq!(world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap().status, 200);
        world.work().await.unwrap();
        let job = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&job["state"], counts(&job)), (&json!("cancelled"), [0; 6]), "{job}");
        assert!(!job["finished"].is_null());
        assert_eq!(accesses(&world, 1..=5).await, before);
    }
}

#[tokio::test]
async fn ended_job_cannot_be_cancelled() {
    let world = acme_with(five()).await;
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let single = world.put("1/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap();
    for reply in [reply, single] {
        let id = job(&reply).unwrap();
        let before = shown(&world, ADA_TOKEN, id).await;
        assert_eq!(outcome(&world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap()), "409 job-over");
        assert_eq!(shown(&world, ADA_TOKEN, id).await, before);
    }
}
