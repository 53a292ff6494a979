//! Events that start a run without a rule.

use models::job::JobId;
use run_rules::Done;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tests::World;

use super::people::of_each;
use super::{FIRST, at, counts, jobs, later, nightly, set, three, wake_with, with};
use crate::portal::{ADA_TOKEN, MIKE, NOBODY, access_of, private};

/// The event of a run, as an external scheduler sends it.
pub(crate) fn run_of(portal: &str) -> Value {
    json!({"portal": portal, "filter": {}, "access": {"isPrivate": true, "managerList": [MIKE]}})
}

/// The event that EventBridge sends for a schedule without an input.
pub(crate) fn envelope() -> Value {
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2015-10-08T16:53:06Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/my-scheduled-rule"],
        "detail": {},
    })
}

#[tokio::test]
async fn only_a_complete_schedule_event_triggers_due_rules() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    world.set_clock(at(FIRST));
    assert_eq!(wake_with(world.jobs(), envelope()).await, (1, 0));
    let of_scheduler = with(with(envelope(), "source", json!("aws.scheduler")), "detail", json!("{}"));
    assert_eq!(wake_with(world.jobs(), of_scheduler).await, (0, 0));
    let mut others: Vec<Value> = envelope()
        .as_object()
        .unwrap()
        .keys()
        .map(|name| {
            let mut without = envelope();
            without.as_object_mut().unwrap().remove(name);
            without
        })
        .collect();
    others.extend([
        with(envelope(), "portal", json!("acme")),
        with(envelope(), "detail", json!({"portal": "acme"})),
        with(envelope(), "source", json!("me")),
        with(envelope(), "detail-type", json!("Other")),
        with(envelope(), "resources", json!([1])),
        with(envelope(), "account", json!(123_456_789_012_u64)),
    ]);
    for event in others {
        let error = start(&world, event.clone()).await.unwrap_err();
        assert!(error.contains("is not a field"), "{event}: {error}");
    }
}

/// Passes a run to the function. Returns the job or the error.
pub(crate) async fn start(world: &World, event: Value) -> Result<JobId, String> {
    start_text(world, &event.to_string()).await
}

async fn start_text(world: &World, event: &str) -> Result<JobId, String> {
    match run_rules::handle(world.jobs(), RawValue::from_string(event.into()).unwrap(), later()).await {
        Ok(Done::Started { job_id }) => Ok(job_id),
        Ok(woken @ Done::Woken { .. }) => panic!("{woken:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn run_event_starts_a_job_with_administrator_rights() {
    let world = of_each().await;
    let job = start(&world, run_of("acme")).await.unwrap();
    assert_eq!(world.queue.waiting().len(), 4);
    world.work().await.unwrap();
    let shown = &jobs(&world).await[0];
    assert_eq!((&shown["id"], &shown["state"], counts(shown)), (&json!(job), &json!("done"), [3, 3, 0, 0]));
    assert_eq!((shown.get("createdBy"), &shown["rule"]), (None, &Value::Null));
    assert_eq!(access_of(&world, 3).await.access, private(&[MIKE]));
    let done = serde_json::to_value(Done::Started { job_id: job }).unwrap();
    assert_eq!(done, json!({"jobId": job}));
    let done = serde_json::to_value(Done::Woken { rules_started: 1, shards_resumed: 2 }).unwrap();
    assert_eq!(done, json!({"rulesStarted": 1, "shardsResumed": 2}));
}

#[tokio::test]
async fn invalid_run_event_fails_and_changes_nothing() {
    let world = of_each().await;
    let writes = world.trips.spent().writes;
    for (event, expected) in [
        (run_of("nowhere"), "nowhere"),
        (run_of("No Portal"), "portal"),
        (with(run_of("acme"), "filter", json!({"tag": ["vip"]})), "tags"),
        (with(run_of("acme"), "fliter", json!({})), "filter"),
        (with(run_of("acme"), "access", json!({"isPrivate": true, "managerList": [NOBODY]})), &NOBODY.to_string()),
        (with(run_of("acme"), "access", json!({})), "isPrivate"),
        (with(run_of("acme"), "maxAffected", json!(-1)), "maxAffected"),
        (with(run_of("acme"), "idempotencyKey", json!("a b")), "idempotencyKey"),
        (json!({"portal": "acme"}), "filter"),
        (json!({"filter": {}, "access": {"isPrivate": true}}), "portal"),
        (with(run_of("acme"), "source", json!("me")), "source is not a field"),
        (with(run_of("acme"), "filter", json!({"filterValue": " \u{200b} "})), "filter.filterValue must not be blank"),
        (with(run_of("acme"), "filter", json!({"tags": null})), "leave the filter fields out"),
        (with(run_of("acme"), "filter", json!(null)), "filter is required"),
        (json!({"source": "aws.events"}), "source is not a field"),
        (json!(null), "null"),
        (json!([]), "array"),
        (json!("{}"), "string"),
        (json!(0), "number"),
    ] {
        let error = start(&world, event.clone()).await.unwrap_err();
        assert!(error.contains(expected), "{event}: {error}");
    }
    // A duplicate name does not replace the first.
    for (twice, expected) in [
        (
            r#"{"portal":"acme","filter":{"tags":["vip"]},"filter":{},"access":{"isPrivate":true}}"#,
            "filter is given more",
        ),
        (
            r#"{"portal":"acme","filter":{"tags":["vip"],"tags":["a"]},"access":{"isPrivate":true}}"#,
            "filter.tags is given",
        ),
    ] {
        let error = start_text(&world, twice).await.unwrap_err();
        assert!(error.contains(expected), "{twice}: {error}");
    }
    assert_eq!((world.trips.spent().writes, jobs(&world).await.len()), (writes, 0));
    assert_eq!(world.queue.waiting(), []);
}

#[tokio::test]
async fn repeated_run_event_with_one_key_starts_one_job() {
    let world = of_each().await;
    let event = with(run_of("acme"), "idempotencyKey", json!("2026-01-01"));
    let first = start(&world, event.clone()).await.unwrap();
    assert_eq!(start(&world, event.clone()).await.unwrap(), first);
    world.work().await.unwrap();
    world.set_clock(at("2026-01-01T23:59:59Z"));
    assert_eq!(start(&world, event.clone()).await.unwrap(), first);
    let other = with(event.clone(), "access", json!({"isPrivate": false}));
    assert!(start(&world, other).await.unwrap_err().contains("idempotency key"));
    assert_eq!((jobs(&world).await.len(), world.queue.waiting().len()), (1, 0));
    // The key expires after a day. A different key makes another run.
    assert_ne!(start(&world, with(event.clone(), "idempotencyKey", json!("other"))).await.unwrap(), first);
    world.set_clock(at(FIRST));
    assert_ne!(start(&world, event).await.unwrap(), first);
    assert_eq!(jobs(&world).await.len(), 3);
}

#[tokio::test]
async fn run_event_with_a_limit_counts_before_it_writes() {
    for (limit, state, updated) in [(2, "failed", 0), (3, "done", 3)] {
        let world = of_each().await;
        start(&world, with(run_of("acme"), "maxAffected", json!(limit))).await.unwrap();
        world.work().await.unwrap();
        let job = &jobs(&world).await[0];
        assert_eq!((&job["state"], &job["updated"]), (&json!(state), &json!(updated)), "{job}");
        assert_eq!(job["error"].is_null(), state == "done");
        assert_eq!(access_of(&world, 1).await.access == private(&[MIKE]), state == "done");
    }
}
