//! Undo.

use models::access::{Access, ShareType};
use serde_json::{Value, json};

use super::{accesses, after, counts, five, outcome, queue, response, run, shown};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access_of, acme_with, contact, contact_with, job, private,
    shown_at,
};

#[tokio::test]
async fn undo_restores_unchanged_contacts_and_lists_the_others_as_conflicts() {
    let world = acme_with([
        contact(1, json!({})),
        contact_with(2, ShareType::Read, &[SAM]),
        contact_with(3, ShareType::None, &[ADA]),
        contact(4, json!({})),
    ])
    .await;
    let before = accesses(&world, 1..=4).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    // Another user sets the job's own target. The contact still counts as changed by others.
    for is_shared in [true, false] {
        let body = json!({"isShared": is_shared, "managerList": [MIKE]});
        assert_eq!(world.put("4/access", MIKE_TOKEN, &body).await.unwrap().status, 200);
    }
    world.set_clock(after(60));
    // The dry run counts what the undo will do, and writes nothing.
    let (now, jobs) = (accesses(&world, 1..=4).await, world.get("jobs", ADA_TOKEN).await.unwrap().text);
    let preview = world.post(&format!("jobs/{id}/undo?dryRun=true"), ADA_TOKEN).await.unwrap();
    let expected = json!({"matched": 4, "updated": 3, "unchanged": 0, "skipped": 0, "conflicts": 1});
    assert_eq!((preview.status.as_u16(), response(&preview)), (200, expected), "{}", preview.text);
    assert_eq!((preview.count("x-updated-count"), job(&preview)), (Some(3), None));
    assert_eq!(accesses(&world, 1..=4).await, now);
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().text, jobs);
    assert!(world.queue.waiting().is_empty());

    let reply = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, ""), "{}", reply.text);
    let undo = job(&reply).unwrap();
    assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{undo}"));
    let queued = response(&reply);
    assert_eq!((&queued["kind"], &queued["state"]), (&json!("undo"), &json!("queued")));
    assert_eq!((&queued["undoOf"], &queued["target"], &queued["filter"]), (&json!(id), &Value::Null, &Value::Null));
    assert_eq!(accesses(&world, 1..=1).await[&1], private(&[MIKE]));

    world.work().await.unwrap();
    let done = shown(&world, ADA_TOKEN, undo).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [4, 3, 0, 0, 1, 0]));
    let now = accesses(&world, 1..=4).await;
    for contact in 1..=3 {
        assert_eq!(now[&contact], before[&contact], "contact {contact}");
    }
    assert_eq!(now[&4], private(&[MIKE]));
    let changes = world.get(&format!("jobs/{undo}/changes"), ADA_TOKEN).await.unwrap().response();
    for change in changes.as_array().unwrap() {
        let contact = change["contactId"].as_i64().unwrap();
        assert_eq!(change["conflict"], json!(contact == 4), "{change}");
        if contact == 4 {
            assert_eq!((&change["before"], &change["after"]), (&Value::Null, &Value::Null));
        }
        if contact == 2 {
            assert_eq!((&change["before"]["shareType"], &change["after"]["shareType"]), (&json!(0), &json!(2)));
            assert_eq!(change["after"]["accessList"][0]["displayName"], "Sam");
        }
    }
    // The undone job is shown as before.
    assert_eq!(shown(&world, ADA_TOKEN, id).await["updated"], 4);
}

#[tokio::test]
async fn undo_can_be_undone() {
    let world = acme_with(five()).await;
    let id = queue(&world, ADA_TOKEN, &[SAM]).await;
    world.work().await.unwrap();
    let before = accesses(&world, 1..=5).await;
    let mut last = id;
    for (is_restored, seconds) in [(false, 1), (true, 2), (false, 3)] {
        world.set_clock(after(seconds));
        let reply = world.post(&format!("jobs/{last}/undo"), ADA_TOKEN).await.unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text);
        last = job(&reply).unwrap();
        world.work().await.unwrap();
        assert_eq!(counts(&shown(&world, ADA_TOKEN, last).await), [5, 5, 0, 0, 0, 0]);
        assert_eq!(accesses(&world, 1..=5).await == before, is_restored, "{seconds}");
    }
    assert_eq!(accesses(&world, 2..=2).await[&2], private(&[MIKE]));
    // An undone job has nothing left to restore: every contact was written again since.
    let reply = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, job(&reply).unwrap()).await), [5, 0, 0, 0, 5, 0]);
}

#[tokio::test]
async fn user_undoes_a_run_that_removed_its_own_access() {
    let world = acme_with(five()).await;
    let before = accesses(&world, 1..=5).await;
    let reply = run(&world, MIKE_TOKEN, "", &[], &[]).await;
    let id = job(&reply).unwrap();
    let denied = world.put("1/access", MIKE_TOKEN, &json!({"isShared": true})).await.unwrap();
    assert_eq!(outcome(&denied), "404 contact-not-found");
    assert_eq!(outcome(&world.post(&format!("jobs/{id}/undo"), SAM_TOKEN).await.unwrap()), "404 job-not-found");
    let undo = world.post(&format!("jobs/{id}/undo"), MIKE_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202, "{}", undo.text);
    world.work().await.unwrap();
    assert_eq!(accesses(&world, 1..=5).await, before);
    // An administrator may undo other users' jobs, in this case the undo itself.
    let undo = world.post(&format!("jobs/{}/undo", job(&undo).unwrap()), ADA_TOKEN).await.unwrap();
    assert_eq!((undo.status.as_u16(), &response(&undo)["createdBy"]), (202, &json!(ADA)));
}

#[tokio::test]
async fn unfinished_job_cannot_be_undone() {
    let world = acme_with((1..=40).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    let path = format!("jobs/{id}/undo");
    assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "409 job-not-over");
    world.jobs().work(&world.queue.take().unwrap(), &jobs::Deadline::never()).await.unwrap();
    assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "409 job-not-over");
    // A job that is still being cancelled cannot be undone either.
    assert_eq!(world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap().status, 200);
    assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "409 job-not-over");
    world.work().await.unwrap();
    assert_eq!(world.post(&path, ADA_TOKEN).await.unwrap().status, 202);
}

#[tokio::test]
async fn single_change_is_a_job_with_one_change_and_can_be_undone() {
    let world = acme_with([contact_with(1, ShareType::Read, &[SAM, MIKE])]).await;
    let reply = world.put("1/access", MIKE_TOKEN, &json!({"isShared": false, "managerList": [MIKE]})).await.unwrap();
    let id = job(&reply).unwrap();
    let shown_job = shown(&world, MIKE_TOKEN, id).await;
    assert_eq!(
        shown_job,
        json!({"id": id, "kind": "contact", "state": "done", "createdBy": MIKE, "created": shown_at(after(0)), "started": shown_at(after(0)),
            "finished": shown_at(after(0)), "filter": null, "target": {"isPrivate": true, "managerList": [MIKE]}, "rule": null,
            "undoOf": null, "note": null, "matched": 1, "updated": 1, "unchanged": 0, "skipped": 0, "conflicts": 0, "failed": 0,
            "percent": 100, "perSecond": 0.0, "estimatedEnd": null, "error": null})
    );
    assert_eq!(world.get("jobs", MIKE_TOKEN).await.unwrap().response(), json!([shown_job]));
    let path = format!("jobs/{id}/changes");
    let changes = world.get(&path, MIKE_TOKEN).await.unwrap();
    assert_eq!((changes.response().as_array().unwrap().len(), changes.count("x-next-index")), (1, None));
    let change = &changes.response()[0];
    assert_eq!((&change["contactId"], &change["displayName"]), (&json!(1), &json!("Contact 1")));
    let side = |side: &str| -> (Value, Vec<Value>) {
        let list = change[side]["accessList"].as_array().unwrap();
        (change[side]["shareType"].clone(), list.iter().map(|user| user["displayName"].clone()).collect())
    };
    // The stored list of a shared contact shows only the caller itself.
    assert_eq!(side("before"), (json!(2), vec![json!("Mike")]));
    assert_eq!(side("after"), (json!(0), vec![json!("Mike")]));
    assert_eq!(change["conflict"], false);
    for query in ["startIndex=1", "count=0"] {
        assert_eq!(world.get(&format!("{path}?{query}"), MIKE_TOKEN).await.unwrap().response(), json!([]));
    }

    let undo = world.post(&format!("jobs/{id}/undo"), MIKE_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202, "{}", undo.text);
    world.work().await.unwrap();
    let done = shown(&world, MIKE_TOKEN, job(&undo).unwrap()).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [1, 1, 0, 0, 0, 0]));
    assert_eq!(access_of(&world, 1).await.access, Access { share: ShareType::Read, managers: vec![SAM, MIKE] });
}

#[tokio::test]
async fn call_without_changes_makes_no_job_and_run_without_changes_makes_an_empty_job() {
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let reply = world.put("1/access", ADA_TOKEN, &json!({"isShared": false, "managerList": [MIKE]})).await.unwrap();
    assert_eq!((reply.status.as_u16(), job(&reply)), (200, None));
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response(), json!([]));
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let id = job(&reply).unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, id).await), [1, 0, 1, 0, 0, 0]);
    assert_eq!(world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap().response(), json!([]));
    let undo = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    world.work().await.unwrap();
    let done = shown(&world, ADA_TOKEN, job(&undo).unwrap()).await;
    assert_eq!((&done["state"], counts(&done), &done["percent"]), (&json!("done"), [0; 6], &json!(100)));
}
