//! Standing rules and their scheduler: `/api/2.0/crm/access/rules` and the function `run-rules`.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use models::access::{Access, ShareType};
use models::job::JobId;
use models::limits::{MAX_RULES_OF_PORTAL, MAX_RULES_OF_USER};
use models::rule::{Rule, RuleName};
use models::values::id::UserId;
use models::values::timestamp::Timestamp;
use run_rules::Done;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};
use tests::proxy::{Gate, Verdict};
use tests::{Reply, World};
use tokio::time::Instant;

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, READER_TOKEN, SAM, SAM_TOKEN, ZOE_TOKEN, access_of, acme, acme_with,
    contact, contact_with, id, lines, portal, private, user, zenith,
};
use crate::workers::proxied;

/// 02:00 in Riga in winter, the first after the world's initial time.
const FIRST: &str = "2026-01-02T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Formats a time as answers show it.
fn shown_at(text: &str) -> Value {
    crate::portal::shown_at(at(text))
}

/// A rule that makes every contact private to Mike at 02:00.
fn nightly() -> Value {
    json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

async fn put(world: &World, token: &str, name: &str, body: &Value) -> Reply {
    world.access_with("PUT", &format!("rules/{name}"), token, &body.to_string(), &[]).await.unwrap()
}

/// Sets a rule. Returns the rule in the answer.
async fn set(world: &World, token: &str, name: &str, body: &Value) -> Value {
    let reply = put(world, token, name, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["response"].clone()
}

async fn delete(world: &World, token: &str, name: &str) -> Reply {
    world.access_with("DELETE", &format!("rules/{name}"), token, "", &[]).await.unwrap()
}

async fn rule(world: &World, name: &str) -> Value {
    let reply = world.get(&format!("rules/{name}"), ADA_TOKEN).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["response"].clone()
}

fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Invokes the function. Returns the number of started rules and of requeued shards.
async fn wake(world: &World) -> (usize, usize) {
    wake_with(world.jobs(), json!({})).await
}

/// A deadline that no invocation reaches.
fn later() -> Instant {
    Instant::now() + std::time::Duration::from_secs(3600)
}

async fn wake_with(jobs: &jobs::Jobs, event: Value) -> (usize, usize) {
    match run_rules::handle(jobs, to_raw_value(&event).unwrap(), later()).await.unwrap() {
        Done::Woken { rules_started, shards_resumed } => (rules_started, shards_resumed),
        started @ Done::Started { .. } => panic!("{started:?}"),
    }
}

async fn wake_at(world: &World, time: &str) -> (usize, usize) {
    world.set_clock(at(time));
    // By that time every read sees earlier writes.
    world.catch_up().await.unwrap();
    wake(world).await
}

async fn jobs(world: &World) -> Vec<Value> {
    world.get("jobs?count=1000", ADA_TOKEN).await.unwrap().response().as_array().unwrap().clone()
}

fn counts(job: &Value) -> [u64; 4] {
    ["matched", "updated", "unchanged", "skipped"].map(|name| job[name].as_u64().unwrap())
}

fn names(list: &Reply) -> Vec<String> {
    list.response().as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

async fn three() -> World {
    acme_with((1..=3).map(|id| contact(id, json!({})))).await
}

#[tokio::test]
async fn rule_is_set_shown_listed_and_removed() {
    let world = three().await;
    for name in ["b", "B", "a.1", "c-2_x"] {
        set(&world, ADA_TOKEN, name, &nightly()).await;
    }
    let list = world.get("rules", ADA_TOKEN).await.unwrap();
    assert_eq!(
        (names(&list), list.count("x-next-index")),
        (["B", "a.1", "b", "c-2_x"].map(str::to_owned).to_vec(), None)
    );
    assert_eq!(list.response()[2], rule(&world, "b").await);
    for (query, expected, next) in [
        ("count=2", &["B", "a.1"][..], Some(2)),
        ("count=2&startIndex=2", &["b", "c-2_x"], None),
        ("startIndex=3", &["c-2_x"], None),
        ("startIndex=4", &[], None),
        ("count=0", &[], None),
    ] {
        let page = world.get(&format!("rules?{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(
            (names(&page), page.count("x-next-index")),
            (expected.iter().map(|n| (*n).to_owned()).collect(), next)
        );
    }
    let removed = delete(&world, ADA_TOKEN, "b").await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str(), removed.header("content-type")), (204, "", ""));
    assert_eq!(outcome(&world.get("rules/b", ADA_TOKEN).await.unwrap()), "404 rule-not-found");
    assert_eq!(outcome(&delete(&world, ADA_TOKEN, "b").await), "404 rule-not-found");
    assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["B", "a.1", "c-2_x"]);
}

#[tokio::test]
async fn rule_has_one_shape_in_json_and_xml() {
    let world = three().await;
    let body = json!({"filter": {"tags": [" VIP "], "contactStage": 2, "contactType": [1, 3], "fromDate": "2020-12-08",
        "contactListView": "company", "filterValue": "Anna  RIGA"}, "target": {"isPrivate": true,
        "managerList": [MIKE, SAM]}, "cron": "30  2 * * mon-fri", "timeZone": "europe/berlin"});
    let path = "rules/nightly-vip";
    let set = world.access_with("PUT", path, ADA_TOKEN, &body.to_string(), &[("accept", "text/xml")]).await.unwrap();
    let json = world.get(path, ADA_TOKEN).await.unwrap();
    let xml = world.access_with("GET", path, ADA_TOKEN, "", &[("accept", "text/xml")]).await.unwrap();
    assert_eq!(set.text, xml.text);
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([json.response()]));
    let text = format!("{}\n{}\n", json.text, xml.text);
    crate::check_file("standing-rule", &text.replace("><", ">\n<").replace(",\"", ",\n\""));
}

#[tokio::test]
async fn replaced_rule_keeps_its_creation_time_and_last_run() {
    let world = three().await;
    let first = set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    let ran = rule(&world, "nightly").await;
    world.set_clock(at("2026-01-02T12:00:00Z"));
    let again = set(&world, ADA_TOKEN, "nightly", &with(nightly(), "cron", json!("0 5 * * *"))).await;
    assert_eq!((&again["created"], &again["modified"]), (&first["created"], &shown_at("2026-01-02T12:00:00Z")));
    assert_eq!((&again["lastRun"], &again["lastJob"]), (&ran["lastRun"], &ran["lastJob"]));
    // The rule runs with the rights of the user who set it last, and shows that user.
    assert_eq!((&again["createdBy"], &again["nextRun"]), (&json!(ADA), &shown_at("2026-01-03T03:00:00Z")));
}

#[tokio::test]
async fn user_sees_its_own_rules_and_administrator_all() {
    let mut values = acme();
    values.extend(zenith());
    let world = World::with(&lines(values)).await.unwrap();
    set(&world, ADA_TOKEN, "of-ada", &nightly()).await;
    set(&world, MIKE_TOKEN, "of-mike", &nightly()).await;
    for (token, expected) in [
        (ADA_TOKEN, &["of-ada", "of-mike"][..]),
        (READER_TOKEN, &["of-ada", "of-mike"]),
        (MIKE_TOKEN, &["of-mike"]),
        (SAM_TOKEN, &[]),
        (ZOE_TOKEN, &[]),
    ] {
        assert_eq!(names(&world.get("rules", token).await.unwrap()), expected);
        for name in ["of-ada", "of-mike"] {
            let shown = world.get(&format!("rules/{name}"), token).await.unwrap();
            let expected = if expected.contains(&name) { "200 " } else { "404 rule-not-found" };
            assert_eq!(outcome(&shown), expected, "{name}");
        }
    }
    for (token, name) in [(MIKE_TOKEN, "of-ada"), (SAM_TOKEN, "of-ada"), (SAM_TOKEN, "of-mike")] {
        let before = rule(&world, name).await;
        let body = with(nightly(), "cron", json!("0 4 * * *"));
        assert_eq!(outcome(&put(&world, token, name, &body).await), "403 rule-forbidden");
        assert_eq!(outcome(&delete(&world, token, name).await), "404 rule-not-found");
        assert_eq!(rule(&world, name).await, before);
    }
    assert_eq!(outcome(&put(&world, READER_TOKEN, "of-ada", &nightly()).await), "403 scope-missing");
    assert_eq!(outcome(&delete(&world, READER_TOKEN, "of-ada").await), "403 scope-missing");
    // Rule names are separate for each portal.
    set(&world, ZOE_TOKEN, "of-ada", &with(nightly(), "target", json!({"isPrivate": true}))).await;
    assert_eq!(delete(&world, ZOE_TOKEN, "of-ada").await.status, 204);
    assert_eq!(delete(&world, MIKE_TOKEN, "of-mike").await.status, 204);
    assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["of-ada"]);
}

#[tokio::test]
async fn invalid_rule_is_refused_with_the_field_and_not_set() {
    let world = three().await;
    let without = |name: &str| {
        let mut body = nightly();
        body.as_object_mut().unwrap().remove(name);
        body
    };
    for (body, kind, field) in [
        (
            with(nightly(), "target", json!({"isPrivate": true, "managerList": [MIKE, NOBODY]})),
            "unknown-manager",
            "managerList",
        ),
        (without("filter"), "invalid-request", "filter"),
        (without("target"), "invalid-request", "target"),
        (without("cron"), "invalid-request", "cron"),
        (with(nightly(), "target", json!({})), "invalid-request", "target.isPrivate"),
        (with(nightly(), "filter", json!({"tag": ["a"]})), "invalid-request", "filter.tag"),
        (with(nightly(), "cron", json!("0 2 * *")), "invalid-request", "cron"),
        (with(nightly(), "cron", json!("0 25 * * *")), "invalid-request", "cron"),
        (with(nightly(), "timeZone", json!("Europe/Rigga")), "invalid-request", "timeZone"),
        (with(nightly(), "enabled", json!("yes")), "invalid-request", "enabled"),
        (with(nightly(), "enable", json!(true)), "invalid-request", "enable"),
    ] {
        let reply = put(&world, ADA_TOKEN, "nightly", &body).await;
        assert_eq!(outcome(&reply), format!("400 {kind}"), "{body}: {}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{}", reply.text);
    }
    for name in ["a%20b", "..", "%C4%81", &"x".repeat(65)] {
        let reply = put(&world, ADA_TOKEN, name, &nightly()).await;
        assert_eq!(outcome(&reply), "400 invalid-request", "{name}: {}", reply.text);
    }
    assert_eq!(outcome(&put(&world, ADA_TOKEN, "nightly?dryRun=true", &nightly()).await), "400 invalid-request");
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([]));
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
}

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
async fn concurrent_invocations_start_one_job() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    world.set_clock(at(FIRST));
    // Each process is held until both have read the rule.
    let (proxy, behind) = proxied(&world).await;
    let gate = Gate::new();
    let held = gate.clone();
    proxy.set(move |call| match call.operation == "TransactWriteItems" {
        true => Verdict::Hold(held.clone()),
        false => Verdict::Pass,
    });
    let (one, two, ()) = tokio::join!(wake_with(&behind, json!({})), wake_with(&behind, json!({})), async {
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
async fn disabled_rule_never_runs() {
    let world = three().await;
    let off = with(nightly(), "enabled", json!(false));
    let shown = set(&world, ADA_TOKEN, "never", &off).await;
    assert_eq!((&shown["enabled"], &shown["nextRun"]), (&json!(false), &Value::Null));
    set(&world, ADA_TOKEN, "once-on", &nightly()).await;
    set(&world, ADA_TOKEN, "once-on", &off).await;
    set(&world, ADA_TOKEN, "removed", &nightly()).await;
    assert_eq!(delete(&world, ADA_TOKEN, "removed").await.status, 204);
    assert_eq!(wake_at(&world, "2026-02-01T00:00:00Z").await, (0, 0));
    assert_eq!(jobs(&world).await.len(), 0);
    // Enabling a rule does not make up for runs missed while it was disabled.
    assert_eq!(set(&world, ADA_TOKEN, "never", &nightly()).await["nextRun"], shown_at("2026-02-02T00:00:00Z"));
    assert_eq!(wake(&world).await, (0, 0));
    assert_eq!(wake_at(&world, "2026-02-02T00:00:00Z").await, (1, 0));
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
        let (proxy, behind) = proxied(&world).await;
        let gate = Gate::new();
        let held = gate.clone();
        proxy.set(move |call| match call.operation == "TransactWriteItems" {
            true => Verdict::Hold(held.clone()),
            false => Verdict::Pass,
        });
        let ((started, _), ()) = tokio::join!(wake_with(&behind, json!({})), async {
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
    let (proxy, behind) = proxied(&world).await;
    let gate = Gate::new();
    let held = gate.clone();
    proxy.set(move |call| match call.operation == "TransactWriteItems" {
        true => Verdict::Hold(held.clone()),
        false => Verdict::Pass,
    });
    let started = behind.clone();
    let direct = world.jobs().clone();
    let world = world.serving(api::App::new(behind, Duration::ZERO));
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
    // The previous run is not over, so no second one starts.
    world.set_clock(at("2026-01-02T03:00:00Z"));
    assert_eq!(wake_with(&started, json!({})).await, (0, 4));
}

/// Removes a user from the portal.
pub(crate) async fn dismiss(world: &World, user: UserId) {
    let (pk, sk) = Key::User(id("acme"), user).encode();
    let request = world.client.delete_item().table_name(&world.table);
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
}

#[tokio::test]
async fn rule_of_a_removed_owner_reports_it_and_runs_again_once_set() {
    let world = three().await;
    set(&world, SAM_TOKEN, "nightly", &nightly()).await;
    dismiss(&world, SAM).await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    let stuck = rule(&world, "nightly").await;
    assert!(stuck["lastError"].as_str().unwrap().contains("no longer in the portal"), "{stuck}");
    assert_eq!((&stuck["nextRun"], &stuck["lastJob"]), (&shown_at("2026-01-03T00:00:00Z"), &Value::Null));
    assert_eq!(jobs(&world).await.len(), 0);
    let again = set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!((&again["lastError"], &again["createdBy"]), (&Value::Null, &json!(ADA)));
    assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (1, 0));
    assert_eq!(rule(&world, "nightly").await["lastError"], Value::Null);
}

#[tokio::test]
async fn rule_with_a_removed_manager_reports_it_and_runs_again_once_restored() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    dismiss(&world, MIKE).await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    let stuck = rule(&world, "nightly").await;
    assert!(stuck["lastError"].as_str().unwrap().contains(&MIKE.to_string()), "{stuck}");
    world.import(&lines([portal("acme", "Europe/Riga", 4), user(MIKE, "Mike", false)])).await.unwrap();
    assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (1, 0));
    assert_eq!(rule(&world, "nightly").await["lastError"], Value::Null);
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

/// Creates a contact that everyone may edit, one that everyone may see, and one of Ada's.
async fn of_each() -> World {
    acme_with([contact(1, json!({})), contact_with(2, ShareType::Read, &[]), contact_with(3, ShareType::None, &[ADA])])
        .await
}

#[tokio::test]
async fn rule_acts_with_its_owners_rights_at_run_time() {
    let world = of_each().await;
    set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    let job = &jobs(&world).await[0];
    assert_eq!((&job["state"], counts(job)), (&json!("done"), [2, 1, 0, 1]));
    assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]));
    assert_eq!(access_of(&world, 2).await.access, Access { share: ShareType::Read, managers: vec![] });
    assert_eq!(access_of(&world, 3).await.access, private(&[ADA]));

    // An administrator demoted before the due time has only an ordinary user's rights.
    let world = of_each().await;
    let people = |is_admin| lines([portal("acme", "Europe/Riga", 4), user(SAM, "Sam", is_admin)]);
    world.import(&people(true)).await.unwrap();
    set(&world, SAM_TOKEN, "nightly", &nightly()).await;
    world.import(&people(false)).await.unwrap();
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(counts(&jobs(&world).await[0]), [2, 1, 0, 1]);
}

#[tokio::test]
async fn rule_selects_contacts_at_run_time() {
    let world = three().await;
    let body = with(nightly(), "filter", json!({"tags": ["new"]}));
    set(&world, ADA_TOKEN, "nightly", &body).await;
    let created = contact(4, json!({"Tags": ["new"], "Created": "2026-01-01T20:00:00Z"}));
    world.import(&lines([portal("acme", "Europe/Riga", 4), created])).await.unwrap();
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(counts(&jobs(&world).await[0]), [1, 1, 0, 0]);
    assert_eq!(access_of(&world, 4).await.access, private(&[MIKE]));
}

/// The event of a run, as an external scheduler sends it.
pub(crate) fn run_of(portal: &str) -> Value {
    json!({"portal": portal, "filter": {}, "access": {"isPrivate": true, "managerList": [MIKE]}})
}

/// The event that EventBridge sends for a schedule without an input.
fn envelope() -> Value {
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
    for (most, state, updated) in [(2, "failed", 0), (3, "done", 3)] {
        let world = of_each().await;
        start(&world, with(run_of("acme"), "maxAffected", json!(most))).await.unwrap();
        world.work().await.unwrap();
        let job = &jobs(&world).await[0];
        assert_eq!((&job["state"], &job["updated"]), (&json!(state), &json!(updated)), "{job}");
        assert_eq!(job["error"].is_null(), state == "done");
        assert_eq!(access_of(&world, 1).await.access == private(&[MIKE]), state == "done");
    }
}

/// Returns a rule's name, by number.
fn named(number: usize) -> String {
    format!("rule-{number:03}")
}

#[tokio::test]
async fn number_of_rules_of_a_user_is_limited() {
    let world = three().await;
    for number in 0..MAX_RULES_OF_USER {
        set(&world, MIKE_TOKEN, &named(number), &nightly()).await;
    }
    let reply = put(&world, MIKE_TOKEN, "one-more", &nightly()).await;
    assert_eq!(outcome(&reply), "409 too-many-rules", "{}", reply.text);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("at most 50"), "{}", reply.text);
    // An existing rule can still be changed, and removing one frees a place.
    set(&world, MIKE_TOKEN, &named(0), &with(nightly(), "cron", json!("0 3 * * *"))).await;
    assert_eq!(delete(&world, MIKE_TOKEN, &named(0)).await.status, 204);
    set(&world, MIKE_TOKEN, "one-more", &nightly()).await;
    // Another user has a separate limit, and so has an administrator who takes over a rule.
    set(&world, SAM_TOKEN, "of-sam", &nightly()).await;
    set(&world, ADA_TOKEN, &named(1), &with(nightly(), "cron", json!("0 4 * * *"))).await;
    set(&world, MIKE_TOKEN, "and-one-more", &nightly()).await;
    // Taking over rules does not circumvent the limit.
    for number in 2..=MAX_RULES_OF_USER {
        let reply = put(&world, ADA_TOKEN, &named(number), &with(nightly(), "cron", json!("0 5 * * *"))).await;
        assert!(reply.status == 200, "{number}: {}", reply.text);
    }
    let reply = put(&world, ADA_TOKEN, "one-more", &with(nightly(), "cron", json!("0 5 * * *"))).await;
    assert_eq!(outcome(&reply), "409 too-many-rules", "{}", reply.text);
}

#[tokio::test]
async fn number_of_rules_of_a_portal_is_limited() {
    let world = three().await;
    set(&world, MIKE_TOKEN, "first", &nightly()).await;
    let template = world.rules_of(&id("acme")).await.unwrap().remove(0);
    for number in 1..MAX_RULES_OF_PORTAL {
        let rule = Rule { name: named(number).parse().unwrap(), created_by: NOBODY, ..template.clone() };
        assert!(world.store.put_rule(&id("acme"), None, &rule, None, None).await.unwrap());
    }
    let reply = put(&world, SAM_TOKEN, "one-more", &nightly()).await;
    assert_eq!(outcome(&reply), "409 too-many-rules", "{}", reply.text);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("at most 500"), "{}", reply.text);
    assert_eq!(delete(&world, MIKE_TOKEN, "first").await.status, 204);
    set(&world, SAM_TOKEN, "one-more", &nightly()).await;
}

#[tokio::test]
async fn concurrently_set_rules_do_not_exceed_the_limit() {
    let world = three().await;
    for number in 0..MAX_RULES_OF_USER - 2 {
        set(&world, MIKE_TOKEN, &named(number), &nightly()).await;
    }
    let body = nightly();
    let names: Vec<String> = (0..6).map(|number| format!("at-once-{number}")).collect();
    let replies = futures::future::join_all(names.iter().map(|name| put(&world, MIKE_TOKEN, name, &body))).await;
    let set = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(world.rules_of(&id("acme")).await.unwrap().len(), MAX_RULES_OF_USER - 2 + set);
    assert_eq!(set, 2);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert!(["409 too-many-rules", "409 rule-contended"].contains(&outcome(reply).as_str()), "{}", reply.text);
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
async fn administrator_who_only_enables_or_disables_a_rule_does_not_own_it() {
    let world = three().await;
    set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    for (body, owner) in [
        (with(nightly(), "enabled", json!(false)), MIKE),
        (nightly(), MIKE),
        (with(nightly(), "timeZone", json!("Europe/Riga")), MIKE),
        (with(nightly(), "cron", json!("0 3 * * *")), ADA),
    ] {
        let shown = set(&world, ADA_TOKEN, "nightly", &body).await;
        assert_eq!(shown["createdBy"], json!(owner), "{body}");
    }
    for changed in [
        with(nightly(), "filter", json!({"contactStage": 2})),
        with(nightly(), "target", json!({"isPrivate": false})),
        with(nightly(), "timeZone", json!("UTC")),
    ] {
        set(&world, MIKE_TOKEN, "other", &nightly()).await;
        assert_eq!(set(&world, ADA_TOKEN, "other", &changed).await["createdBy"], json!(ADA), "{changed}");
        assert_eq!(delete(&world, ADA_TOKEN, "other").await.status, 204);
    }
}

#[tokio::test]
async fn slow_or_failing_portal_does_not_delay_rules_of_another() {
    for verdict in ["slow", "failing"] {
        let mut values = acme();
        values.extend(zenith());
        let world = World::with(&lines(values)).await.unwrap();
        set(&world, ADA_TOKEN, "nightly", &nightly()).await;
        let body = with(with(nightly(), "target", json!({"isPrivate": true})), "timeZone", json!("Europe/Riga"));
        set(&world, ZOE_TOKEN, "nightly", &body).await;
        world.set_clock(at(FIRST));
        let (proxy, behind) = proxied(&world).await;
        let gate = Gate::new();
        let held = gate.clone();
        let rule_of_acme = Key::Rule(id("acme"), "nightly".parse().unwrap()).encode();
        proxy.set(move |call| match call.keys().contains(&rule_of_acme) {
            true if verdict == "slow" => Verdict::Hold(held.clone()),
            true => Verdict::Refuse,
            false => Verdict::Pass,
        });
        let (woken, ()) = tokio::join!(wake_with(&behind, json!({})), async {
            if verdict == "slow" {
                gate.reached().await;
            }
            let mut of_zenith = Value::Null;
            while of_zenith.as_array().is_none_or(Vec::is_empty) {
                of_zenith = world.get("jobs", ZOE_TOKEN).await.unwrap().response();
                tokio::task::yield_now().await;
            }
            assert_eq!(jobs(&world).await.len(), 0, "{verdict}");
            gate.open();
        });
        assert_eq!(woken.0, if verdict == "slow" { 2 } else { 1 });
    }
}

/// Deletes an item.
async fn remove_item(world: &World, key: &Key) {
    let (pk, sk) = key.encode();
    let request = world.client.delete_item().table_name(&world.table);
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
}

#[tokio::test]
async fn lost_due_entry_is_restored() {
    let world = three().await;
    let before = set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    set(&world, ADA_TOKEN, "off", &with(nightly(), "enabled", json!(false))).await;
    let entry = Key::DueRule(at(FIRST), id("acme"), "nightly".parse().unwrap());
    remove_item(&world, &entry).await;
    assert_eq!(wake_at(&world, "2026-01-01T12:00:00Z").await, (0, 0));
    assert_eq!(rule(&world, "nightly").await, before);
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    // Also after the due time has passed, and repeatedly.
    remove_item(&world, &Key::DueRule(at("2026-01-03T00:00:00Z"), id("acme"), "nightly".parse().unwrap())).await;
    assert_eq!(wake_at(&world, "2026-01-03T00:30:00Z").await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(rule(&world, "off").await["nextRun"], Value::Null);
    // Without rules there is nothing to check.
    for name in ["nightly", "off"] {
        assert_eq!(delete(&world, ADA_TOKEN, name).await.status, 204);
    }
    assert_eq!(wake_at(&world, "2026-01-04T00:00:00Z").await, (0, 0));
    world.catch_up().await.unwrap();
    assert_eq!(world.store.rule_portals().await.unwrap(), []);
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!(world.store.rule_portals().await.unwrap().len(), 1);
}

#[tokio::test]
async fn due_entry_without_a_rule_is_removed() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    remove_item(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap())).await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    assert_eq!(world.store.due_rules(at(FIRST)).await.unwrap(), []);
}

/// Sets a member of an item's document.
async fn rewrite(world: &World, key: &Key, path: [&str; 2], value: &str) {
    let (pk, sk) = key.encode();
    let request = world.client.update_item().table_name(&world.table);
    let request = request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk));
    let request =
        request.update_expression("SET #doc.#outer.#inner = :value").expression_attribute_names("#doc", "doc");
    let request = request.expression_attribute_names("#outer", path[0]).expression_attribute_names("#inner", path[1]);
    request.expression_attribute_values(":value", AttributeValue::S(value.into())).send().await.unwrap();
}

#[tokio::test]
async fn stored_rule_with_an_invalid_schedule_is_shown_with_an_error_and_removable() {
    for (member, value, field) in [("Cron", "0 2 * *", "cron"), ("TimeZone", "Europe/Rigga", "timeZone")] {
        let world = three().await;
        set(&world, ADA_TOKEN, "nightly", &nightly()).await;
        set(&world, MIKE_TOKEN, "other", &nightly()).await;
        rewrite(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap()), ["Schedule", member], value).await;
        assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["nightly", "other"]);
        let shown = rule(&world, "nightly").await;
        assert_eq!(shown[field], value, "{shown}");
        assert!(shown["lastError"].as_str().unwrap().contains(field), "{shown}");
        // An unreadable schedule starts nothing and does not keep the other rule from running.
        assert_eq!(wake_at(&world, FIRST).await, (1, 0));
        assert_eq!(rule(&world, "nightly").await["lastJob"], Value::Null);
        assert_eq!(set(&world, ADA_TOKEN, "nightly", &nightly()).await["lastError"], Value::Null);
        rewrite(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap()), ["Schedule", member], value).await;
        assert_eq!(delete(&world, ADA_TOKEN, "nightly").await.status, 204);
        assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["other"]);
    }
}

#[tokio::test]
async fn stored_rule_with_an_invalid_name_is_shown_run_and_removable() {
    let world = three().await;
    set(&world, ADA_TOKEN, "template", &nightly()).await;
    let template = world.rules_of(&id("acme")).await.unwrap().remove(0);
    for name in ["spaced out", "ends.json", &"x".repeat(65)] {
        let rule = Rule { name: RuleName::stored(name), ..template.clone() };
        assert!(world.store.put_rule(&id("acme"), None, &rule, None, None).await.unwrap());
        let path = match name {
            "spaced out" => "spaced%20out",
            "ends.json" => "ends.json.json",
            name => name,
        };
        let shown = world.get(&format!("rules/{path}"), ADA_TOKEN).await.unwrap();
        assert_eq!(shown.status, 200, "{name}: {}", shown.text);
        assert!(names(&world.get("rules", ADA_TOKEN).await.unwrap()).contains(&name.to_owned()));
        assert_eq!(delete(&world, ADA_TOKEN, path).await.status, 204, "{name}");
        // No call can set such a rule again, and the removed rule is gone.
        assert_eq!(outcome(&put(&world, ADA_TOKEN, path, &nightly()).await), "400 invalid-request", "{name}");
        assert_eq!(outcome(&delete(&world, ADA_TOKEN, path).await), "400 invalid-request", "{name}");
    }
    let rule = Rule { name: RuleName::stored("spaced out"), ..template };
    assert!(world.store.put_rule(&id("acme"), None, &rule, None, None).await.unwrap());
    assert_eq!(wake_at(&world, FIRST).await, (2, 0));
}

#[tokio::test]
async fn administrator_removes_an_unreadable_rule_record() {
    let world = three().await;
    set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    rewrite(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap()), ["Filter", "View"], "Moon").await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    assert_eq!(delete(&world, MIKE_TOKEN, "nightly").await.status, 500);
    assert_eq!(delete(&world, ADA_TOKEN, "nightly").await.status, 204);
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    assert_eq!(world.store.due_rules(at(FIRST)).await.unwrap(), []);
}

#[tokio::test]
async fn portal_with_an_unknown_time_zone_stays_in_service() {
    let world = three().await;
    let (pk, sk) = Key::Portal(id("acme")).encode();
    let request = world.client.update_item().table_name(&world.table);
    let request = request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk));
    let request = request.update_expression("SET time_zone = :zone");
    request.expression_attribute_values(":zone", AttributeValue::S("Europe/Rigga".into())).send().await.unwrap();
    let all = world.contact("filter?count=3", ADA_TOKEN).await.unwrap();
    assert_eq!((all.status.as_u16(), all.ids().len()), (200, 3), "{}", all.text);
    // A date that depends on the zone would select the wrong contacts.
    for (query, status) in [("fromDate=2020-01-01", 400), ("fromDate=2020-01-01T00:00:00Z", 200)] {
        let reply = world.contact(&format!("filter?{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(reply.status, status, "{query}: {}", reply.text);
    }
    assert_eq!(outcome(&put(&world, ADA_TOKEN, "nightly", &nightly()).await), "400 invalid-request");
    set(&world, ADA_TOKEN, "nightly", &with(nightly(), "timeZone", json!("Europe/Riga"))).await;
}
