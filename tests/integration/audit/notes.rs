//! Notes of jobs and rules, and the limits of rules.

use serde_json::{Value, json};
use tests::World;

use super::{outcome, shown};
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, access_of, acme_with, contact, job, private};
use crate::rules::{put_rule, set_rule, shown_rule, wake_rules_at};

async fn three() -> World {
    acme_with((1..=3).map(|id| contact(id, json!({})))).await
}

async fn note_of(world: &World, job: &str) -> Value {
    shown(world, &format!("jobs/{job}"), ADA_TOKEN).await["note"].clone()
}

#[tokio::test]
async fn every_change_and_undo_shows_its_note() {
    let world = three().await;
    let body = json!({"isShared": false, "managerList": [ADA]});
    let named = json!({"contactid": [2], "isShared": false});
    let by_filter = json!({"isPrivate": true, "managerList": [MIKE]});
    for (path, body, note) in [
        ("1/access?note=%20asked%20for%20by%20Nancy%20%20", &body, json!("asked for by Nancy")),
        ("access?note=quarterly", &named, json!("quarterly")),
        ("filter/access?NOTE=Zo%C3%AB%20%22left%22", &by_filter, json!("Zoë \"left\"")),
        ("1/access?note=%20", &body, Value::Null),
    ] {
        let reply = world.put(path, ADA_TOKEN, body).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert_eq!(note_of(&world, reply.header("x-job-id")).await, note, "{path}");
    }
    let listed = shown(&world, "jobs?kind=contacts", ADA_TOKEN).await;
    let id = listed[0]["id"].as_str().unwrap();
    let undo = world.post(&format!("jobs/{id}/undo?note=too%20early"), ADA_TOKEN).await.unwrap();
    assert_eq!((undo.status.as_u16(), &undo.response()["note"]), (202, &json!("too early")));
    world.work().await.unwrap();
    assert_eq!(note_of(&world, undo.header("x-job-id")).await, "too early");
}

#[tokio::test]
async fn note_has_at_most_200_characters_and_belongs_to_the_call() {
    let world = three().await;
    let body = json!({"isShared": false, "managerList": [ADA]});
    let put = |characters: usize| format!("1/access?note={}", "%C3%A4".repeat(characters));
    let refused = world.put(&put(201), ADA_TOKEN, &body).await.unwrap();
    assert_eq!(outcome(&refused), "400 invalid-request");
    assert!(refused.text.contains("has 201 characters; at most 200 are allowed"), "{}", refused.text);
    assert_eq!(access_of(&world, 1).await.revision, None);
    assert_eq!(world.put(&put(200), ADA_TOKEN, &body).await.unwrap().status, 200);
    // The note is a part of the call's fingerprint.
    let key = [("idempotency-key", "note-1")];
    let body = json!({"isShared": false}).to_string();
    let first = world.put_with("2/access?note=a", ADA_TOKEN, &body, &key).await.unwrap();
    let again = world.put_with("2/access?note=a", ADA_TOKEN, &body, &key).await.unwrap();
    assert_eq!((again.status.as_u16(), &again.text), (200, &first.text));
    let other = world.put_with("2/access?note=b", ADA_TOKEN, &body, &key).await.unwrap();
    assert_eq!(outcome(&other), "422 idempotency-key-reused");
    assert_eq!(note_of(&world, &job(&first).unwrap().to_string()).await, "a");
}

#[tokio::test]
async fn run_of_a_rule_above_its_limit_writes_nothing_and_the_rule_says_so() {
    let world = three().await;
    let body = json!({
        "filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *", "maxAffected": 2,
        "note": " every night ",
    });
    let rule = set_rule(&world, MIKE_TOKEN, "nightly", &body).await;
    assert_eq!((&rule["maxAffected"], &rule["note"]), (&json!(2), &json!("every night")));
    wake_rules_at(&world, "2026-01-02T00:00:00Z").await;
    world.work().await.unwrap();
    let failed = &shown(&world, "jobs", ADA_TOKEN).await[0];
    assert_eq!((&failed["state"], &failed["updated"], &failed["note"]), (&json!("failed"), &json!(0), &rule["note"]));
    let after = shown_rule(&world, "nightly").await;
    let error = after["lastError"].as_str().unwrap();
    assert!(error.contains("3 contacts would be changed") && error.contains("maxAffected allows 2"), "{error}");
    assert_eq!(error, failed["error"].as_str().unwrap());
    assert_eq!(access_of(&world, 1).await.revision, None);
    // The next run within the limit clears the error.
    let mut body = body;
    body["maxAffected"] = json!(3);
    assert_eq!(set_rule(&world, MIKE_TOKEN, "nightly", &body).await["lastError"], Value::Null);
    wake_rules_at(&world, "2026-01-03T00:00:00Z").await;
    world.work().await.unwrap();
    assert_eq!(access_of(&world, 3).await.access, private(&[MIKE]));
    assert_eq!(shown_rule(&world, "nightly").await["lastError"], Value::Null);
}

#[tokio::test]
async fn failure_of_an_earlier_job_does_not_reach_a_rule_that_was_set_again() {
    let world = three().await;
    let mut body = json!({"filter": {}, "target": {"isPrivate": true}, "cron": "0 2 * * *", "maxAffected": 0});
    set_rule(&world, ADA_TOKEN, "nightly", &body).await;
    wake_rules_at(&world, "2026-01-02T00:00:00Z").await;
    world.set_clock("2026-01-02T00:00:05Z".parse().unwrap());
    body["maxAffected"] = json!(10);
    set_rule(&world, ADA_TOKEN, "nightly", &body).await;
    world.work().await.unwrap();
    assert_eq!(shown(&world, "jobs", ADA_TOKEN).await[0]["state"], "failed");
    assert_eq!(shown_rule(&world, "nightly").await["lastError"], Value::Null);
}

#[tokio::test]
async fn annotation_keeps_the_owner_of_a_rule_and_another_limit_does_not() {
    let world = three().await;
    let mut body = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"});
    set_rule(&world, MIKE_TOKEN, "nightly", &body).await;
    body["note"] = json!("checked by Ada");
    let annotated = set_rule(&world, ADA_TOKEN, "nightly", &body).await;
    assert_eq!((&annotated["createdBy"], &annotated["note"]), (&json!(MIKE), &json!("checked by Ada")));
    body["maxAffected"] = json!(10);
    assert_eq!(set_rule(&world, ADA_TOKEN, "nightly", &body).await["createdBy"], json!(ADA));
    for (name, value) in [("note", json!("x".repeat(201))), ("maxAffected", json!(-1)), ("note", json!(5))] {
        let mut wrong = body.clone();
        wrong[name] = value;
        let reply = put_rule(&world, ADA_TOKEN, "nightly", &wrong).await;
        assert_eq!(
            (outcome(&reply).as_str(), reply.json()["error"]["details"][0]["field"].as_str()),
            ("400 invalid-request", Some(name))
        );
    }
}
