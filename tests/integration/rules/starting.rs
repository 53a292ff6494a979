//! Due rules and the jobs that they start.

use jiff::SignedDuration;
use models::access::Access;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::keys::Key;
use tests::World;
use tests::faults::{Calls, Fault, Gate, When};

use super::run_events::envelope;
use super::{FIRST, at, counts, delete, jobs, nightly, rule, set, shown_at, three, wake, wake_at, wake_with, with};
use crate::portal::{ADA_TOKEN, MIKE, MIKE_TOKEN, ZOE_TOKEN, access_of, acme, contact, id, lines, private, zenith};
use crate::workers::proxied;

#[tokio::test]
async fn due_rule_starts_one_job_for_its_owner() {
    let world = three().await;
    let before = set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    assert_eq!(
        (&before["nextRun"], &before["lastRun"], &before["lastJob"]),
        (&shown_at(FIRST), &Value::Null, &Value::Null)
    );
    assert_eq!(wake_at(&world, "2026-01-01T23:59:59.9999999Z").await, (0, 0));
    assert_eq!(jobs(&world).await, [] as [Value; 0]);

    assert_eq!(wake_at(&world, "2026-01-02T00:00:10Z").await, (1, 0));
    let after = rule(&world, "nightly").await;
    let started = jobs(&world).await;
    assert_eq!(started.len(), 1);
    let job = &started[0];
    assert_eq!((&job["rule"], &job["createdBy"]), (&json!("nightly"), &json!(MIKE)));
    assert_eq!((&job["state"], &job["kind"]), (&json!("queued"), &json!("filter")));
    assert_eq!(job["target"], json!({"isPrivate": true, "managerList": [MIKE]}));
    assert_eq!((&after["lastJob"], &after["lastRun"]), (&job["id"], &shown_at("2026-01-02T00:00:10Z")));
    assert_eq!((&after["nextRun"], &after["lastError"]), (&shown_at("2026-01-03T00:00:00Z"), &Value::Null));
    assert_eq!(after["modified"], before["modified"]);
    // A second invocation starts nothing.
    assert_eq!(wake_at(&world, "2026-01-02T00:01:10Z").await, (0, 0));

    world.work().await.unwrap();
    let done = &jobs(&world).await[0];
    assert_eq!((&done["state"], counts(done)), (&json!("done"), [3, 3, 0, 0]));
    assert_eq!(access_of(&world, 2).await.access, private(&[MIKE]));
    // The job can be undone like any other job.
    let undo = world.post(&format!("jobs/{}/undo", done["id"].as_str().unwrap()), MIKE_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202);
    world.work().await.unwrap();
    assert_eq!(access_of(&world, 2).await.access, Access::UNRECORDED);

    assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (1, 0));
    assert_eq!(jobs(&world).await.len(), 3);
}

#[tokio::test]
async fn due_rules_of_all_portals_start() {
    let mut values = acme();
    values.push(contact(1, json!({})));
    values.extend(zenith());
    values.push(contact(1, json!({})));
    let world = World::with(&lines(values)).await.unwrap();
    set(&world, ADA_TOKEN, "one", &nightly()).await;
    set(&world, ADA_TOKEN, "two", &with(nightly(), "cron", json!("30 1 * * *"))).await;
    // This portal's time zone is UTC.
    let body = with(nightly(), "target", json!({"isPrivate": true}));
    assert_eq!(set(&world, ZOE_TOKEN, "one", &body).await["nextRun"], "2026-01-01T02:00:00.0000000+00:00");
    world.set_clock(at(FIRST));
    assert_eq!(wake_with(world.jobs(), envelope()).await, (3, 0));
    world.work().await.unwrap();
    assert_eq!(jobs(&world).await.len(), 2);
    let of_zenith = world.get("jobs", ZOE_TOKEN).await.unwrap().response();
    assert_eq!((of_zenith.as_array().unwrap().len(), &of_zenith[0]["updated"]), (1, &json!(1)));
}

#[tokio::test]
async fn running_rule_is_not_started_again() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    let first = rule(&world, "nightly").await;
    // No worker ran for a day: the shards are requeued, and the rule is not started again.
    assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (0, 4));
    let second = rule(&world, "nightly").await;
    assert_eq!((&second["lastJob"], &second["lastRun"]), (&first["lastJob"], &first["lastRun"]));
    assert_eq!(second["nextRun"], shown_at("2026-01-04T00:00:00Z"));
    world.work().await.unwrap();
    assert_eq!(wake_at(&world, "2026-01-04T00:00:00Z").await, (1, 0));
    assert_eq!(jobs(&world).await.len(), 2);
}

#[tokio::test]
async fn missed_runs_are_made_up_for_once() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, "2026-01-05T10:30:00Z").await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(wake_at(&world, "2026-01-05T10:31:00Z").await, (0, 0));
    let rule = rule(&world, "nightly").await;
    assert_eq!(
        (&rule["lastRun"], &rule["nextRun"]),
        (&shown_at("2026-01-05T10:30:00Z"), &shown_at("2026-01-06T00:00:00Z"))
    );
    assert_eq!(jobs(&world).await.len(), 1);
}

#[tokio::test]
async fn cron_times_are_wall_clock_times_of_the_zone() {
    let world = three().await;
    for (now, zone, cron, expected) in [
        ("2026-01-10T12:00:00Z", "Europe/Riga", "0 2 * * *", "2026-01-11T00:00:00Z"),
        ("2026-07-10T12:00:00Z", "Europe/Riga", "0 2 * * *", "2026-07-10T23:00:00Z"),
        ("2026-07-10T12:00:00Z", "UTC", "0 2 * * *", "2026-07-11T02:00:00Z"),
        ("2026-07-10T12:00:00Z", "America/New_York", "0 2 * * *", "2026-07-11T06:00:00Z"),
        // When the clock jumps from 03:00 to 04:00, 03:30 falls on the jump.
        ("2026-03-28T12:00:00Z", "Europe/Riga", "30 3 * * *", "2026-03-29T01:00:00Z"),
        // When 03:30 occurs twice, the first occurrence counts.
        ("2026-10-24T12:00:00Z", "Europe/Riga", "30 3 * * *", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:30:00Z", "Europe/Riga", "30 3 * * *", "2026-10-26T01:30:00Z"),
    ] {
        world.set_clock(at(now));
        let body = with(with(nightly(), "timeZone", json!(zone)), "cron", json!(cron));
        let rule = set(&world, ADA_TOKEN, "nightly", &body).await;
        assert_eq!((&rule["nextRun"], &rule["timeZone"]), (&shown_at(expected), &json!(zone)), "{now} {zone} {cron}");
    }
    // A rule without a zone uses the portal's zone.
    assert_eq!(set(&world, ADA_TOKEN, "other", &nightly()).await["timeZone"], "Europe/Riga");
    // From night to night, across the clock change.
    world.set_clock(at("2026-03-27T12:00:00Z"));
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!(delete(&world, ADA_TOKEN, "other").await.status, 204);
    for due in ["2026-03-28T00:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"] {
        world.set_clock(at(due) + SignedDuration::from_secs(-1));
        assert_eq!(wake(&world).await, (0, 0), "{due}");
        assert_eq!(wake_at(&world, due).await, (1, 0), "{due}");
        world.work().await.unwrap();
    }
}

#[tokio::test]
async fn due_time_too_close_to_the_previous_run_is_skipped() {
    for (cron, starts) in [
        ("* * * * *", &[0, 5, 10][..]),
        ("*/2 * * * *", &[0, 6, 12]),
        ("*/5 * * * *", &[0, 5, 10]),
        ("0,4,9 * * * *", &[0, 9]),
    ] {
        let world = three().await;
        world.set_clock(at("2025-12-31T23:30:30Z"));
        set(&world, ADA_TOKEN, "often", &with(nightly(), "cron", json!(cron))).await;
        let mut started = Vec::new();
        for minute in 0..=13 {
            // The schedule invokes the function some seconds after each minute.
            let (rules, _) = wake_at(&world, &format!("2026-01-01T00:{minute:02}:10Z")).await;
            if rules > 0 {
                started.push(minute);
            }
            world.work().await.unwrap();
        }
        assert_eq!(started, starts, "{cron}");
        // Setting the rule again does not bring its due time forward.
        let last = rule(&world, "often").await["lastRun"].clone();
        let again = set(&world, ADA_TOKEN, "often", &with(nightly(), "cron", json!("* * * * *"))).await;
        let next: Timestamp = again["nextRun"].as_str().unwrap().parse().unwrap();
        let last: Timestamp = last.as_str().unwrap().parse().unwrap();
        assert!(next.since(last) >= SignedDuration::from_secs(4 * 60 + 50), "{again}");
    }
}

#[tokio::test]
async fn skipped_rule_reports_that_its_last_run_is_unfinished() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    wake_at(&world, "2026-01-03T00:00:00Z").await;
    let skipped = rule(&world, "nightly").await;
    let why = skipped["lastError"].as_str().unwrap();
    assert!(why.contains("previous run") && why.contains(skipped["lastJob"].as_str().unwrap()), "{why}");
    world.work().await.unwrap();
    assert_eq!(wake_at(&world, "2026-01-04T00:00:00Z").await, (1, 0));
    assert_eq!(rule(&world, "nightly").await["lastError"], Value::Null);
}

#[tokio::test]
async fn slow_or_failing_portal_does_not_delay_rules_of_another() {
    for is_slow in [true, false] {
        let mut values = acme();
        values.extend(zenith());
        let world = World::with(&lines(values)).await.unwrap();
        set(&world, ADA_TOKEN, "nightly", &nightly()).await;
        let body = with(with(nightly(), "target", json!({"isPrivate": true})), "timeZone", json!("Europe/Riga"));
        set(&world, ZOE_TOKEN, "nightly", &body).await;
        world.set_clock(at(FIRST));
        let (proxy, proxied_jobs) = proxied(&world).await;
        let gate = Gate::new();
        let fault = if is_slow { Fault::Hold(When::Before, gate.clone()) } else { Fault::Refuse };
        let rule_of_acme = Key::Rule(id("acme"), "nightly".parse().unwrap()).encode();
        proxy.inject(Calls::matching(move |call| call.keys().contains(&rule_of_acme)).meet(fault));
        let (woken, ()) = tokio::join!(wake_with(&proxied_jobs, json!({})), async {
            if is_slow {
                gate.reached().await;
            }
            let mut of_zenith = Value::Null;
            while of_zenith.as_array().is_none_or(Vec::is_empty) {
                of_zenith = world.get("jobs", ZOE_TOKEN).await.unwrap().response();
                tokio::task::yield_now().await;
            }
            assert_eq!(jobs(&world).await.len(), 0, "slow: {is_slow}");
            gate.open();
        });
        assert_eq!(woken.0, if is_slow { 2 } else { 1 });
    }
}
