//! Rules that change while they start.

use std::time::Duration;

use models::access::Access;
use serde_json::json;
use tests::faults::{Calls, Fault, Gate, Operation, When};

use super::{
    FIRST, at, counts, delete, jobs, nightly, outcome, put, rule, set, shown_at, three, wake_at, wake_with, with,
};
use crate::portal::{ADA_TOKEN, SAM, access_of, private};
use crate::workers::proxied;

#[tokio::test]
async fn concurrent_invocations_start_one_job() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    world.set_clock(at(FIRST));
    // Each process is held until both have read the rule.
    let (proxy, proxied_jobs) = proxied(&world).await;
    let gate = Gate::new();
    proxy.inject(Calls::of(Operation::TransactWriteItems).meet(Fault::Hold(When::Before, gate.clone())));
    let (one, two, ()) =
        tokio::join!(wake_with(&proxied_jobs, json!({})), wake_with(&proxied_jobs, json!({})), async {
            gate.reached_by(2).await;
            gate.open();
        });
    assert_eq!((one.0 + two.0, jobs(&world).await.len()), (1, 1));
    assert_eq!(world.queue.waiting().len(), 4);
    world.work().await.unwrap();
    assert_eq!(counts(&jobs(&world).await[0]), [3, 3, 0, 0]);
    assert_eq!(rule(&world, "nightly").await["lastJob"], jobs(&world).await[0]["id"]);
}

#[tokio::test]
async fn changed_rule_does_not_start_in_its_old_form() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    world.set_clock(at("2026-01-01T12:00:00Z"));
    set(&world, ADA_TOKEN, "nightly", &with(nightly(), "cron", json!("0 5 * * *"))).await;
    assert_eq!(wake_at(&world, "2026-01-02T02:59:59Z").await, (0, 0));
    assert_eq!(wake_at(&world, "2026-01-02T03:00:00Z").await, (1, 0));
}

#[tokio::test]
async fn rule_changed_or_removed_during_its_start_does_not_start_in_its_old_form() {
    for removed in [false, true] {
        let world = three().await;
        set(&world, ADA_TOKEN, "nightly", &nightly()).await;
        world.set_clock(at(FIRST));
        let (proxy, proxied_jobs) = proxied(&world).await;
        let gate = Gate::new();
        proxy.inject(Calls::of(Operation::TransactWriteItems).meet(Fault::Hold(When::Before, gate.clone())));
        let ((started, _), ()) = tokio::join!(wake_with(&proxied_jobs, json!({})), async {
            gate.reached().await;
            if removed {
                assert_eq!(delete(&world, ADA_TOKEN, "nightly").await.status, 204);
            } else {
                let other = with(nightly(), "target", json!({"isPrivate": true, "managerList": [SAM]}));
                set(&world, ADA_TOKEN, "nightly", &other).await;
            }
            gate.open();
        });
        assert_eq!((started, jobs(&world).await.len()), (0, 0), "removed {removed}");
        assert_eq!(world.queue.waiting(), []);
        // A rule changed at its due time is next due a day later, in its new form.
        assert_eq!(wake_at(&world, "2026-01-02T12:00:00Z").await, (0, 0));
        let expected = usize::from(!removed);
        assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (expected, 0));
        world.work().await.unwrap();
        let access = if removed { Access::UNRECORDED } else { private(&[SAM]) };
        assert_eq!(access_of(&world, 1).await.access, access);
    }
}

#[tokio::test]
async fn rule_started_while_being_set_keeps_its_last_run() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    world.set_clock(at(FIRST));
    let (proxy, proxied_jobs) = proxied(&world).await;
    let gate = Gate::new();
    proxy.inject(Calls::of(Operation::TransactWriteItems).meet(Fault::Hold(When::Before, gate.clone())));
    let started = proxied_jobs.clone();
    let direct = world.jobs().clone();
    let world = world.serving(api::App::new(proxied_jobs, Duration::ZERO));
    let other = with(nightly(), "cron", json!("0 5 * * *"));
    let (reply, ()) = tokio::join!(put(&world, ADA_TOKEN, "nightly", &other), async {
        gate.reached().await;
        assert_eq!(wake_with(&direct, json!({})).await, (1, 0));
        gate.open();
    });
    assert_eq!(outcome(&reply), "409 rule-contended", "{}", reply.text);
    assert_eq!(reply.header("retry-after"), "1");
    let job = &jobs(&world).await[0];
    assert_eq!(rule(&world, "nightly").await["lastJob"], job["id"]);
    // The retry sets the rule.
    let again = set(&world, ADA_TOKEN, "nightly", &other).await;
    assert_eq!((&again["lastJob"], &again["nextRun"]), (&job["id"], &shown_at("2026-01-02T03:00:00Z")));
    // The previous run has not ended, so no second run starts.
    world.set_clock(at("2026-01-02T03:00:00Z"));
    assert_eq!(wake_with(&started, json!({})).await, (0, 4));
}
