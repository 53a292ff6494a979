//! Starting and showing previews.

use axum::body::Body;
use jiff::SignedDuration;
use lambda_http::RequestExt as _;
use lambda_http::http::Request;
use models::access::ShareType;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use tests::{NEW_YEAR_2026, Reply, TestBus, World};

use super::{ASYNC, apply, ask, changes, counts, lock, outcome, previewed, queued, shown};
use crate::job_faults::Bed;
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access, acme_with, contact, contact_with, job, lines,
    of_every_access, portal, shown_at,
};

#[tokio::test]
async fn preview_shows_the_run_and_writes_no_contact() {
    let world = acme_with(of_every_access()).await;
    let before = access(&world, "acme", 1..=6).await;
    let reply = ask(&world, ADA_TOKEN, "", &lock(&[MIKE])).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, "respond-async"), "{}", reply.text);
    let id = job(&reply).unwrap();
    assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{id}"));
    let started = reply.response();
    let expires = shown_at(Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_hours(24));
    assert_eq!(
        (&started["kind"], &started["state"], &started["expires"]),
        (&json!("preview"), &json!("queued"), &expires)
    );
    assert_eq!(
        (&started["gains"], &started["loses"], &started["losesAny"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );

    assert_eq!(world.work().await.unwrap(), 4);
    let done = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&done["state"], &done["percent"], &done["error"]), (&json!("done"), &json!(100), &Value::Null));
    assert_eq!(counts(&done), [6, 5, 1, 0, 0, 0]);
    assert_eq!(done["target"], json!({"isPrivate": true, "managerList": [MIKE]}));
    // Contacts 1, 4 and 5 are shared, and only Mike keeps them. Contacts 3 and 6 are private to administrators.
    let user = |id, name: &str, contacts: u64| json!({"id": id, "displayName": name, "contacts": contacts});
    assert_eq!(done["gains"], json!({"users": 1, "caller": 0, "largest": [user(MIKE, "Mike", 2)]}));
    assert_eq!(done["loses"], json!({"users": 1, "caller": 0, "largest": [user(SAM, "Sam", 3)]}));
    assert_eq!((&done["losesAny"], &done["expires"]), (&json!(3), &expires));
    assert_eq!((&done["becomePrivate"], &done["becomeShared"]), (&json!(3), &json!(0)));
    // A list shows the preview without its effect.
    let listed = world.get("jobs", ADA_TOKEN).await.unwrap().response()[0].clone();
    assert_eq!((&listed["id"], &listed["kind"]), (&json!(id), &json!("preview")));
    assert_eq!((counts(&listed), &listed["expires"], &listed["gains"]), (counts(&done), &expires, &Value::Null));

    let changes = changes(&world, ADA_TOKEN, id).await;
    assert_eq!(changes.keys().copied().collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    assert_eq!((&changes[&4]["before"]["shareType"], &changes[&4]["after"]["shareType"]), (&json!(2), &json!(0)));
    assert_eq!(changes[&4]["after"]["accessList"][0]["displayName"], "Mike");
    assert_eq!(access(&world, "acme", 1..=6).await, before);
}

#[tokio::test]
async fn preview_of_an_ordinary_user_covers_only_contacts_that_the_user_may_edit() {
    let world = acme_with(of_every_access()).await;
    let id = previewed(&world, MIKE_TOKEN, &lock(&[])).await;
    let done = shown(&world, MIKE_TOKEN, id).await;
    // Mike sees contacts 1, 2, 4 and 5, and edits all of them but contact 4.
    assert_eq!(counts(&done), [4, 3, 0, 1, 0, 0]);
    assert_eq!(done["gains"], json!({"users": 0, "caller": 0, "largest": []}));
    assert_eq!(
        (&done["loses"]["users"], &done["loses"]["caller"], &done["losesAny"]),
        (&json!(2), &json!(3), &json!(3))
    );
    assert_eq!(done["loses"]["largest"][0], json!({"id": MIKE, "displayName": "Mike", "contacts": 3}));
    assert_eq!(outcome(&world.get(&format!("jobs/{id}"), SAM_TOKEN).await.unwrap()), "404 job-not-found");
    assert_eq!(shown(&world, ADA_TOKEN, id).await["loses"], done["loses"]);
}

#[tokio::test]
async fn dry_run_over_its_deadline_becomes_a_preview() {
    let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
    let reply = late(&world).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, ""), "{}", reply.text);
    let id = job(&reply).unwrap();
    assert_eq!(reply.response()["kind"], "preview");
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, id).await), [5, 5, 0, 0, 0, 0]);
    assert!(access(&world, "acme", 1..=5).await.is_empty());
}

/// Sends a dry run whose deadline has passed.
async fn late(world: &World) -> Reply {
    let request = Request::put("/api/2.0/crm/contact/filter/access?dryRun=true")
        .header("authorization", ADA_TOKEN)
        .header("content-type", "application/json")
        .body(Body::from(lock(&[MIKE]).to_string()));
    // The context's deadline is long past.
    world.request(request.unwrap().with_lambda_context(lambda_http::Context::default())).await.unwrap()
}

#[tokio::test]
async fn preview_with_more_changes_than_its_limit_fails() {
    for (limit, state) in [(4, "failed"), (5, "done")] {
        let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
        let id = job(&ask(&world, ADA_TOKEN, &format!("&maxAffected={limit}"), &lock(&[])).await).unwrap();
        world.work().await.unwrap();
        let over = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&over["state"], &over["updated"]), (&json!(state), &json!(5)), "{over}");
        let error = over["error"].as_str().unwrap_or_default();
        assert_eq!(error.contains("5 contacts would be changed, and maxAffected allows 4"), limit == 4, "{error}");
        let reply = apply(&world, ADA_TOKEN, id).await;
        assert_eq!(reply.status == 202, limit == 5, "{}", reply.text);
    }
}

#[tokio::test]
async fn preview_can_be_cancelled_and_not_undone() {
    let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
    let id = queued(&world, ADA_TOKEN, &lock(&[])).await;
    assert_eq!(outcome(&apply(&world, ADA_TOKEN, id).await), "409 preview-not-finished");
    assert_eq!(world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap().status, 200);
    world.work().await.unwrap();
    let over = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&over["state"], &over["gains"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(outcome(&apply(&world, ADA_TOKEN, id).await), "409 preview-not-finished");
    for query in ["", "?dryRun=true"] {
        let undo = world.post(&format!("jobs/{id}/undo{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(outcome(&undo), "409 nothing-to-undo");
    }
}

#[tokio::test]
async fn preview_of_a_removed_user_fails_and_shows_no_effect() {
    let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
    let id = queued(&world, MIKE_TOKEN, &lock(&[])).await;
    let removal = [portal("acme", "Europe/Riga", 4), json!({"delete": {"user": MIKE}})];
    world.import(&lines(removal)).await.unwrap();
    world.work().await.unwrap();
    let over = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&over["state"], &over["gains"]), (&json!("failed"), &Value::Null));
    assert!(over["error"].as_str().unwrap().contains("No contact was changed"), "{over}");
}

#[tokio::test]
async fn preview_publishes_no_event() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await.publishing_on(&bus);
    let jobs = bed.world.jobs();
    let id = bed.preview().await;
    bed.world.work().await.unwrap();
    assert!(!bed.is_open(id).await && bus.published().is_empty());
    let preview = bed.job(id).await;
    let run = jobs.apply_preview(&bed.portal, &preview, jobs.new_id(), None).await.unwrap().unwrap();
    bed.world.work().await.unwrap();
    assert_eq!(bus.published().iter().map(|event| event.job_id).collect::<Vec<_>>(), [run.id]);
}

#[tokio::test]
async fn repeated_call_with_an_idempotency_key_makes_one_preview() {
    let world = acme_with([contact_with(1, ShareType::None, &[ADA])]).await;
    let headers = [ASYNC, ("idempotency-key", "k")];
    let path = "filter/access?dryRun=true";
    let first = world.put_with(path, ADA_TOKEN, &lock(&[]).to_string(), &headers).await.unwrap();
    let again = world.put_with(path, ADA_TOKEN, &lock(&[]).to_string(), &headers).await.unwrap();
    assert_eq!((job(&first), &first.text), (job(&again), &again.text));
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response().as_array().map(Vec::len), Some(1));
}
