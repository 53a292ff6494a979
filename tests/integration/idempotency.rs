//! `Idempotency-Key`: a repeated call gets the first answer and changes nothing again.

use std::time::Duration;

use axum::body::Body;
use jiff::SignedDuration;
use jobs::Abandoned;
use lambda_http::http::Request;
use models::access::ShareType;
use models::values::id::{JobId, UserId};
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::keys::Key;
use tests::proxy::{Gate, Proxy, Verdict};
use tests::{NEW_YEAR_2026, Reply, World};

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, ZOE_TOKEN, access, access_of, acme, acme_with, contact,
    contact_with, id, job, lines, private, public, zenith,
};
use crate::workers::proxied;

const KEY: &str = "0197e1d2-8a5e-7c3b-9d41-2f6a5b8c7d90";

/// A call: method, path below `/api/2.0/crm/`, body, headers.
#[derive(Clone, Debug)]
struct Call {
    method: &'static str,
    path: String,
    body: Value,
    headers: Vec<(&'static str, &'static str)>,
}

fn call(method: &'static str, path: impl Into<String>, body: Value) -> Call {
    Call { method, path: path.into(), body, headers: Vec::new() }
}

fn single(managers: &[UserId]) -> Call {
    call("PUT", "contact/1/access", json!({"isShared": false, "managerList": managers}))
}

fn filter(query: &str, managers: &[UserId]) -> Call {
    call("PUT", format!("contact/filter/access{query}"), json!({"isPrivate": true, "managerList": managers}))
}

fn later(query: &str, managers: &[UserId]) -> Call {
    Call { headers: vec![("prefer", "respond-async")], ..filter(query, managers) }
}

fn rule(name: &str, cron: &str) -> Call {
    let body = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": cron});
    call("PUT", format!("access/rules/{name}"), body)
}

async fn send_with(world: &World, token: &str, keys: &[&str], call: &Call) -> Reply {
    let mut request = Request::builder()
        .method(call.method)
        .uri(format!("/api/2.0/crm/{}", call.path))
        .header("authorization", token);
    let body = if call.body.is_null() { String::new() } else { call.body.to_string() };
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(*name, *value);
    }
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    world.request(request.body(Body::from(body)).unwrap()).await.unwrap()
}

/// Sends a call as the administrator, with `KEY`.
async fn send(world: &World, call: &Call) -> Reply {
    send_with(world, ADA_TOKEN, &[KEY], call).await
}

/// Returns the parts of an answer that a replay must repeat.
fn told(reply: &Reply) -> (u16, &str, Vec<&str>) {
    const HEADERS: [&str; 9] = [
        "x-job-id",
        "x-matched-count",
        "x-updated-count",
        "x-unchanged-count",
        "x-skipped-count",
        "x-next-index",
        "location",
        "etag",
        "content-type",
    ];
    (reply.status.as_u16(), &reply.text, HEADERS.iter().map(|name| reply.header(name)).collect())
}

fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

async fn jobs(world: &World) -> usize {
    world.get("jobs?count=1000", ADA_TOKEN).await.unwrap().response().as_array().unwrap().len()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(seconds)
}

/// Creates five contacts. Everyone may see contact 4, only administrators contact 5.
async fn five() -> World {
    acme_with([
        contact(1, json!({})),
        contact(2, json!({})),
        contact_with(3, ShareType::None, &[MIKE]),
        contact_with(4, ShareType::Read, &[]),
        contact_with(5, ShareType::None, &[ADA]),
    ])
    .await
}

/// Sends a call twice with one key. Checks that the second call changes nothing and gets the same answer.
async fn twice(world: &World, token: &str, call: &Call) -> (Reply, Reply) {
    let first = send_with(world, token, &[KEY], call).await;
    assert!(first.status.is_success(), "{call:?}: {}", first.text);
    let (state, count) = (access(world, "acme", 1..=5).await, jobs(world).await);
    let (waiting, writes) = (world.queue.waiting(), world.trips.spent().writes);
    let second = send_with(world, token, &[KEY], call).await;
    assert_eq!(told(&second), told(&first), "{call:?}");
    assert_eq!(world.trips.spent().writes, writes, "{call:?}");
    assert_eq!((access(world, "acme", 1..=5).await, jobs(world).await), (state, count), "{call:?}");
    assert_eq!(world.queue.waiting(), waiting, "{call:?}");
    (first, second)
}

#[tokio::test]
async fn repeated_change_gets_the_same_answer_and_is_made_once() {
    for call in [
        single(&[MIKE]),
        // Contacts that already match start no job. The replay says the same.
        call("PUT", "contact/5/access", json!({"isShared": false, "managerList": [ADA]})),
        call("PUT", "contact/1/access?dryRun=true", json!({"isShared": false})),
        call("PUT", "contact/access", json!({"contactid": [1, 2], "isShared": false})),
        call("PUT", "contact/access?dryRun=true", json!({"contactid": [1, 2], "isShared": false})),
        filter("", &[MIKE]),
        filter("?count=2&startIndex=1", &[MIKE]),
        filter("?maxAffected=5", &[MIKE]),
        filter("?dryRun=true", &[MIKE]),
        later("", &[MIKE]),
        rule("nightly", "0 2 * * *"),
    ] {
        twice(&five().await, ADA_TOKEN, &call).await;
    }
}

#[tokio::test]
async fn replay_repeats_an_xml_answer() {
    for mut call in [single(&[MIKE]), filter("", &[MIKE]), later("", &[MIKE])] {
        call.headers.push(("accept", "text/xml"));
        let (first, _) = twice(&five().await, ADA_TOKEN, &call).await;
        assert!(first.text.starts_with("<result>"), "{}", first.text);
    }
}

#[tokio::test]
async fn repeated_undo_and_cancel_act_once() {
    let world = five().await;
    let locked = job(&send_with(&world, ADA_TOKEN, &[], &filter("", &[MIKE])).await).unwrap();
    let undo = call("POST", format!("access/jobs/{locked}/undo"), Value::Null);
    let (first, _) = twice(&world, ADA_TOKEN, &undo).await;
    let undoing = job(&first).unwrap();
    world.work().await.unwrap();
    let state = access(&world, "acme", 1..=5).await;
    // The replay shows the job as it was at the first call.
    assert_eq!((first.status.as_u16(), told(&send(&world, &undo).await)), (202, told(&first)));
    let done = world.get(&format!("jobs/{undoing}"), ADA_TOKEN).await.unwrap();
    assert_eq!(done.json()["response"]["state"], "done");
    assert_eq!((world.work().await.unwrap(), access(&world, "acme", 1..=5).await, jobs(&world).await), (0, state, 2));

    let world = five().await;
    let queued = job(&send_with(&world, ADA_TOKEN, &[], &later("", &[MIKE])).await).unwrap();
    let cancel = call("POST", format!("access/jobs/{queued}/cancel"), Value::Null);
    twice(&world, ADA_TOKEN, &cancel).await;
    world.work().await.unwrap();
    // Without the key the answer is that the job is over.
    let again = send(&world, &cancel).await;
    assert_eq!((again.status.as_u16(), &again.json()["response"]["state"]), (200, &json!("cancelled")));
    assert_eq!(outcome(&send_with(&world, ADA_TOKEN, &[], &cancel).await), "409 job-over");
}

#[tokio::test]
async fn replay_of_a_queued_run_shows_its_job() {
    let world = five().await;
    let first = send(&world, &later("", &[MIKE])).await;
    world.work().await.unwrap();
    let state = access(&world, "acme", 1..=5).await;
    let again = send(&world, &later("", &[MIKE])).await;
    assert_eq!((again.status.as_u16(), told(&again)), (202, told(&first)));
    assert_eq!((world.work().await.unwrap(), access(&world, "acme", 1..=5).await, jobs(&world).await), (0, state, 1));
}

#[tokio::test]
async fn replay_repeats_the_preference_applied_header() {
    let world = five().await;
    for _ in 0..2 {
        assert_eq!(send(&world, &later("", &[MIKE])).await.header("preference-applied"), "respond-async");
    }
}

#[tokio::test]
async fn replay_succeeds_after_caller_lost_access() {
    for (token, call) in [
        (MIKE_TOKEN, single(&[])),
        (MIKE_TOKEN, filter("", &[])),
        (SAM_TOKEN, filter("", &[MIKE])),
        (SAM_TOKEN, filter("?count=1", &[ADA])),
    ] {
        let world = five().await;
        twice(&world, token, &call).await;
        let denied = world.put("1/access", token, &json!({"isShared": true})).await.unwrap();
        assert_eq!(outcome(&denied), "404 contact-not-found");
    }
}

#[tokio::test]
async fn later_changes_by_others_do_not_change_a_replay() {
    for call in [single(&[MIKE]), filter("", &[MIKE]), filter("?count=2", &[MIKE])] {
        let world = five().await;
        let first = send(&world, &call).await;
        world.set_clock(after(3600));
        for contact in 1..=5 {
            let body = json!({"isShared": contact % 2 == 0, "managerList": [SAM]});
            assert_eq!(world.put(&format!("{contact}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
        }
        let created =
            [crate::portal::portal("acme", "Europe/Riga", 4), contact(6, json!({"Created": "2026-01-01T00:30:00Z"}))];
        world.import(&lines(created)).await.unwrap();
        let state = access(&world, "acme", 1..=6).await;
        let again = send(&world, &call).await;
        assert_eq!(told(&again), told(&first), "{call:?}");
        assert_eq!(access(&world, "acme", 1..=6).await, state, "{call:?}");
    }
}

#[tokio::test]
async fn replay_of_a_run_shows_the_contacts_its_caller_could_edit_then() {
    let world = five().await;
    let call = filter("", &[MIKE]);
    let first = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    assert_eq!(first.ids(), [3, 2, 1], "{}", first.text);
    // By now everyone may edit contact 4, which Mike could only see. Contact 2 is hidden from Mike.
    for (contact, is_shared) in [(4, true), (2, false)] {
        let body = json!({"isShared": is_shared, "managerList": [SAM]});
        assert_eq!(world.put(&format!("{contact}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
    }
    let again = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    // The same contacts, except the one that Mike may no longer see.
    assert_eq!(again.ids(), [3, 1]);
    assert_eq!(told(&again).2, told(&first).2);
}

#[tokio::test]
async fn repeated_calls_set_and_remove_a_rule_once() {
    let world = five().await;
    let put = rule("nightly", "0 2 * * *");
    let (first, _) = twice(&world, ADA_TOKEN, &put).await;
    let delete = call("DELETE", "access/rules/nightly", Value::Null);
    let removed = send_with(&world, ADA_TOKEN, &["remove-1"], &delete).await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    // A replay of the first call does not restore the rule.
    let again = send(&world, &put).await;
    assert_eq!(told(&again), told(&first));
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([]));

    // A replay of the removal does not remove the rule set since.
    assert_eq!(send_with(&world, ADA_TOKEN, &["put-2"], &put).await.status, 200);
    let removed = send_with(&world, ADA_TOKEN, &["remove-1"], &delete).await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    assert_eq!(world.get("rules/nightly", ADA_TOKEN).await.unwrap().status, 200);
}

#[tokio::test]
async fn replay_keeps_a_rule_changed_since() {
    let world = five().await;
    let first = send(&world, &rule("nightly", "0 2 * * *")).await;
    world.set_clock(after(60));
    assert_eq!(send_with(&world, ADA_TOKEN, &[], &rule("nightly", "0 5 * * *")).await.status, 200);
    assert_eq!(told(&send(&world, &rule("nightly", "0 2 * * *")).await), told(&first));
    assert_eq!(world.get("rules/nightly", ADA_TOKEN).await.unwrap().json()["response"]["cron"], "0 5 * * *");
}

#[tokio::test]
async fn key_is_refused_for_a_different_call() {
    let world = five().await;
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 200);
    let state = access(&world, "acme", 1..=5).await;
    let mut conditional = single(&[MIKE]);
    conditional.headers.push(("if-match", "*"));
    for other in [
        single(&[SAM]),
        // Bodies are compared as sent: the same manager twice makes a different call.
        call("PUT", "contact/1/access", json!({"isShared": false, "managerList": [MIKE, MIKE]})),
        call("PUT", "contact/1/access?dryRun=true", single(&[MIKE]).body),
        call("PUT", "contact/2/access", single(&[MIKE]).body),
        filter("", &[MIKE]),
        rule("nightly", "0 2 * * *"),
        call("POST", format!("access/jobs/{}/undo", JobId::from_u128(0)), Value::Null),
        call("DELETE", "access/rules/nightly", Value::Null),
        conditional,
    ] {
        assert_eq!(outcome(&send(&world, &other).await), "422 idempotency-key-reused", "{other:?}");
    }
    assert_eq!((access(&world, "acme", 1..=5).await, jobs(&world).await), (state, 1));
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([]));
    // The key still replays its own call.
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 200);
}

#[tokio::test]
async fn one_of_two_concurrent_calls_with_one_key_is_made() {
    for call in [single(&[MIKE]), filter("", &[MIKE]), later("", &[MIKE])] {
        let world = five().await;
        let (proxy, jobs_behind) = proxied(&world).await;
        let world = world.serving(api::App::new(jobs_behind, Duration::ZERO));
        // The gate holds the first call right before it records its job.
        let gate = Gate::new();
        let held = gate.clone();
        proxy.set(move |call| match call.operation.as_str() {
            "TransactWriteItems" | "BatchWriteItem" => Verdict::Hold(held.clone()),
            _ => Verdict::Pass,
        });
        let (first, ()) = tokio::join!(send(&world, &call), async {
            gate.reached().await;
            let second = send(&world, &call).await;
            assert_eq!(outcome(&second), "409 idempotency-key-in-use", "{call:?}");
            assert_eq!(second.header("retry-after"), "1");
            // A different call with the same key is refused at once.
            assert_eq!(outcome(&send(&world, &single(&[SAM])).await), "422 idempotency-key-reused");
            gate.open();
        });
        assert!(first.status.is_success(), "{}", first.text);
        assert_eq!(told(&send(&world, &call).await), told(&first));
        assert_eq!(jobs(&world).await, 1);
    }
}

#[tokio::test]
async fn failed_call_frees_its_key() {
    let mut stale = single(&[MIKE]);
    stale.headers.push(("if-match", "\"0197e1d2-8a5e-7c3b-9d41-2f6a5b8c7d90\""));
    for (token, failing, expected) in [
        (ADA_TOKEN, call("PUT", "contact/1/access", json!({"isShared": 1})), "400 invalid-request"),
        (ADA_TOKEN, single(&[UserId::from_u128(9)]), "400 unknown-manager"),
        (ADA_TOKEN, call("PUT", "contact/9/access", json!({"isShared": true})), "404 contact-not-found"),
        (SAM_TOKEN, call("PUT", "contact/4/access", json!({"isShared": true})), "403 edit-forbidden"),
        (ADA_TOKEN, stale, "412 revision-changed"),
        (ADA_TOKEN, filter("?maxAffected=1", &[MIKE]), "422 too-many-affected"),
        (
            ADA_TOKEN,
            call("POST", format!("access/jobs/{}/undo", JobId::from_u128(0)), Value::Null),
            "404 job-not-found",
        ),
        (ADA_TOKEN, rule("nightly", "never"), "400 invalid-request"),
    ] {
        let world = five().await;
        for _ in 0..2 {
            assert_eq!(outcome(&send_with(&world, token, &[KEY], &failing).await), expected);
        }
        // The key is free for another call.
        let reply = send_with(&world, token, &[KEY], &single(&[MIKE])).await;
        assert_eq!(reply.status, 200, "{expected}: {}", reply.text);
        assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]));
    }
}

/// Serves the world through a proxy, so that the process can die and a new one take over.
async fn mortal() -> (World, Proxy) {
    let world = five().await;
    let (proxy, jobs) = proxied(&world).await;
    (world.serving(api::App::new(jobs, Duration::ZERO)), proxy)
}

/// Checks that an interrupted call keeps its key in use for 30 seconds. Returns the answer after that.
async fn after_breaking_off(world: &World, call: &Call) -> Reply {
    world.set_clock(after(29));
    assert_eq!(outcome(&send(world, call).await), "409 idempotency-key-in-use", "{call:?}");
    assert_eq!(outcome(&send(world, &rule("other", "0 2 * * *")).await), "422 idempotency-key-reused");
    world.set_clock(after(30));
    send(world, call).await
}

#[tokio::test]
async fn change_interrupted_before_its_write_is_made_by_the_repetition() {
    let (world, proxy) = mortal().await;
    proxy.set(|call| if call.operation == "TransactWriteItems" { Verdict::Die } else { Verdict::Pass });
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 503);
    proxy.clear();
    assert_eq!(access_of(&world, 1).await.revision, None);
    let reply = after_breaking_off(&world, &single(&[MIKE])).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!((access_of(&world, 1).await.revision, jobs(&world).await), (job(&reply), 1));
    assert_eq!(told(&send(&world, &single(&[MIKE])).await), told(&reply));
}

#[tokio::test]
async fn change_interrupted_after_its_write_is_replayed_and_not_repeated() {
    let (world, proxy) = mortal().await;
    proxy.set(|call| if call.operation == "TransactWriteItems" { Verdict::DieAfter } else { Verdict::Pass });
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 503);
    proxy.clear();
    let made = access_of(&world, 1).await;
    assert_eq!((&made.access, jobs(&world).await), (&private(&[MIKE]), 1));
    // Another user's change meanwhile stays.
    assert_eq!(world.put("1/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap().status, 200);
    let reply = after_breaking_off(&world, &single(&[MIKE])).await;
    assert_eq!((reply.status.as_u16(), job(&reply)), (200, made.revision), "{}", reply.text);
    assert_eq!(reply.json()["response"]["IsPrivate"], true);
    assert_eq!((access_of(&world, 1).await.access, jobs(&world).await), (public(&[]), 2));
    assert_eq!(told(&send(&world, &single(&[MIKE])).await), told(&reply));
}

#[tokio::test]
async fn run_interrupted_before_its_open_entry_is_made_by_the_repetition() {
    let (world, proxy) = mortal().await;
    // The process dies at the write of the open-job entry.
    proxy.set(|call| if call.operation == "BatchWriteItem" { Verdict::Die } else { Verdict::Pass });
    assert_eq!(send(&world, &filter("", &[MIKE])).await.status, 503);
    proxy.clear();
    let reply = after_breaking_off(&world, &filter("", &[MIKE])).await;
    assert_eq!((reply.status.as_u16(), reply.count("x-updated-count")), (200, Some(4)), "{}", reply.text);
    assert_eq!(jobs(&world).await, 1);
    assert_eq!(told(&send(&world, &filter("", &[MIKE])).await), told(&reply));
}

#[tokio::test]
async fn run_interrupted_between_open_entry_and_record_is_made_by_the_repetition() {
    let (world, proxy) = mortal().await;
    proxy.set(|call| if call.operation == "BatchWriteItem" { Verdict::DieAfter } else { Verdict::Pass });
    assert_eq!(send(&world, &filter("", &[MIKE])).await.status, 503);
    proxy.clear();
    let reply = after_breaking_off(&world, &filter("", &[MIKE])).await;
    assert_eq!((reply.status.as_u16(), reply.count("x-updated-count")), (200, Some(4)), "{}", reply.text);
    assert_eq!(jobs(&world).await, 1);
    world.set_clock(after(3600));
    assert_eq!(world.jobs().sweep(Abandoned::Expired, &jobs::Deadline::never()).await.unwrap(), 0);
    assert_eq!(told(&send(&world, &filter("", &[MIKE])).await), told(&reply));
}

#[tokio::test]
async fn run_interrupted_after_its_record_is_finished_by_workers_and_replayed_with_its_job() {
    for call in [filter("", &[MIKE]), later("", &[MIKE])] {
        let (world, proxy) = mortal().await;
        let is_job =
            |sk: &str| Key::Job(id("acme"), JobId::from_u128(0)).encode().1.split('#').next() == sk.split('#').next();
        // The first put is the key. A job's next put is its record.
        proxy.set(move |call| {
            let job = call.operation == "PutItem" && call.keys().iter().any(|(_, sk)| is_job(sk));
            if job { Verdict::DieAfter } else { Verdict::Pass }
        });
        let failed = send(&world, &call).await;
        assert!(proxy.is_dead(), "{}", failed.text);
        assert!(!failed.status.is_success() || failed.status == 202, "{}", failed.text);
        proxy.clear();
        world.queue.clear();
        let reply = after_breaking_off(&world, &call).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        let broken_off = job(&reply).unwrap();
        assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{broken_off}"));
        world.set_clock(after(3600));
        world.jobs().sweep(Abandoned::Expired, &jobs::Deadline::never()).await.unwrap();
        world.work().await.unwrap();
        let again = send(&world, &call).await;
        assert_eq!((told(&again), job(&again)), (told(&reply), Some(broken_off)));
        let done = world.get(&format!("jobs/{broken_off}"), ADA_TOKEN).await.unwrap().json()["response"].clone();
        assert_eq!((&done["state"], &done["updated"]), (&json!("done"), &json!(4)), "{done}");
        assert_eq!(jobs(&world).await, 1);
    }
}

#[tokio::test]
async fn key_expires_after_a_day() {
    const DAY: i64 = 86400;
    let world = five().await;
    let first = send(&world, &single(&[MIKE])).await;
    world.set_clock(after(DAY - 1));
    assert_eq!(told(&send(&world, &single(&[MIKE])).await), told(&first));
    assert_eq!(outcome(&send(&world, &single(&[SAM])).await), "422 idempotency-key-reused");
    world.set_clock(after(DAY));
    let other = send(&world, &single(&[SAM])).await;
    assert_eq!(other.status, 200, "{}", other.text);
    assert_ne!(job(&other), job(&first));
    assert_eq!(access_of(&world, 1).await.access, private(&[SAM]));
    // The key now holds this call for another day.
    world.set_clock(after(2 * DAY - 1));
    assert_eq!(told(&send(&world, &single(&[SAM])).await), told(&other));
}

#[tokio::test]
async fn keys_are_separate_for_each_user_and_portal() {
    let mut values = acme();
    values.push(contact(1, json!({})));
    values.extend(zenith());
    values.push(contact(1, json!({})));
    let world = World::with(&lines(values)).await.unwrap();
    let mut made = Vec::new();
    for (token, managers) in [(ADA_TOKEN, &[MIKE, SAM][..]), (MIKE_TOKEN, &[MIKE]), (ZOE_TOKEN, &[])] {
        let call = single(managers);
        let reply = send_with(&world, token, &[KEY], &call).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(told(&send_with(&world, token, &[KEY], &call).await), told(&reply));
        made.push(job(&reply).unwrap());
    }
    made.dedup();
    assert_eq!(made.len(), 3);
    assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]));
    // Keys are case-sensitive.
    assert_eq!(send_with(&world, ADA_TOKEN, &[&KEY.to_uppercase()], &single(&[SAM])).await.status, 200);
}

#[tokio::test]
async fn key_must_be_one_text_of_visible_characters() {
    let world = five().await;
    let long = "k".repeat(256);
    for keys in [&[""][..], &["  "], &[&long], &["a b"], &["a\tb"], &["one", "two"], &["one", "one"]] {
        for call in [single(&[MIKE]), filter("", &[MIKE]), call("DELETE", "access/rules/x", Value::Null)] {
            let reply = send_with(&world, ADA_TOKEN, keys, &call).await;
            assert_eq!(outcome(&reply), "400 invalid-request", "{keys:?}");
            assert_eq!(reply.json()["error"]["details"][0]["field"], "Idempotency-Key", "{keys:?}");
        }
    }
    assert_eq!((access_of(&world, 1).await.revision, jobs(&world).await), (None, 0));
    for key in ["k", &long[1..], "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"] {
        assert_eq!(send_with(&world, ADA_TOKEN, &[key], &single(&[MIKE])).await.status, 200, "{key}");
    }
}

#[tokio::test]
async fn reads_ignore_the_key() {
    let world = five().await;
    let made = send(&world, &single(&[MIKE])).await;
    let id = job(&made).unwrap();
    for path in ["access/jobs".to_owned(), format!("access/jobs/{id}"), "access/rules".to_owned()] {
        for keys in [&[KEY][..], &["a b"], &["", "x"]] {
            let writes = world.trips.spent().writes;
            let reply = send_with(&world, ADA_TOKEN, keys, &call("GET", path.clone(), Value::Null)).await;
            assert_eq!(reply.status, 200, "{path} {keys:?}: {}", reply.text);
            assert_eq!(world.trips.spent().writes, writes);
        }
    }
}

/// Returns every kind of call that changes a contact's access, with options of its answer.
fn writes() -> Vec<Call> {
    let mut all = vec![
        single(&[MIKE, SAM]),
        call("PUT", "contact/1/access?dryRun=true", json!({"isShared": false, "managerList": [SAM]})),
        call("PUT", "contact/1/access?fields=id,accessList", single(&[MIKE]).body),
        call("PUT", "contact/access", json!({"contactid": [1, 2], "isShared": false, "managerList": [SAM]})),
        call("PUT", "contact/access?dryRun=true", json!({"contactid": [2, 1], "isShared": false})),
        call("PUT", "contact/access.json?count=1", json!({"contactid": [2, 1], "isShared": true})),
        filter("", &[MIKE]),
        filter(".json?count=2", &[MIKE]),
        filter("?dryRun=true", &[MIKE]),
        later("", &[MIKE]),
        rule("nightly", "0 2 * * *"),
    ];
    all.push(Call { headers: vec![("accept", "text/xml")], ..filter("", &[SAM]) });
    all
}

#[tokio::test]
async fn replay_is_the_same_after_contacts_were_renamed_or_removed() {
    for call in writes() {
        let world = five().await;
        let first = send(&world, &call).await;
        assert!(first.status.is_success(), "{call:?}: {}", first.text);
        let mut loaded = vec![crate::portal::portal("acme", "Europe/Riga", 4)];
        loaded.extend([1, 3].map(|id| contact(id, json!({"DisplayName": "Renamed", "Tags": ["new"]}))));
        loaded.extend([2, 4].map(|id| json!({"delete": {"contact": id}})));
        loaded.push(crate::portal::user(MIKE, "Michael", false));
        world.import(&lines(loaded)).await.unwrap();
        assert_eq!(told(&send(&world, &call).await), told(&first), "{call:?}");
    }
}

#[tokio::test]
async fn replay_is_the_same_after_the_user_was_demoted() {
    for call in writes() {
        let mut values = acme();
        values.push(crate::portal::user(SAM, "Sam", true));
        values.extend([contact(1, json!({})), contact(2, json!({})), contact_with(3, ShareType::None, &[SAM])]);
        let world = World::with(&lines(values)).await.unwrap();
        let first = send_with(&world, SAM_TOKEN, &[KEY], &call).await;
        assert!(first.status.is_success(), "{call:?}: {}", first.text);
        let demoted = [crate::portal::portal("acme", "Europe/Riga", 4), crate::portal::user(SAM, "Sam", false)];
        world.import(&lines(demoted)).await.unwrap();
        let again = send_with(&world, SAM_TOKEN, &[KEY], &call).await;
        assert_eq!(told(&again), told(&first), "{call:?}");
    }
}

#[tokio::test]
async fn replay_leaves_out_only_contacts_hidden_since() {
    let world = five().await;
    let first = send_with(&world, MIKE_TOKEN, &[KEY], &single(&[MIKE])).await;
    let hidden = json!({"isShared": false, "managerList": [SAM]});
    assert_eq!(world.put("1/access", ADA_TOKEN, &hidden).await.unwrap().status, 200);
    let again = send_with(&world, MIKE_TOKEN, &[KEY], &single(&[MIKE])).await;
    assert_eq!((told(&again).0, told(&again).2), (told(&first).0, told(&first).2));
    let (shown, before) = (again.json()["response"].clone(), first.json()["response"].clone());
    for member in ["id", "AccessList", "IsPrivate", "IsShared", "ShareType", "CanEdit", "CanDelete"] {
        assert_eq!(shown[member], before[member], "{member}");
    }
    assert_eq!((&shown["DisplayName"], &shown["CreateBy"]), (&json!(""), &Value::Null));
    assert!(!again.text.contains(&SAM.to_string()), "{}", again.text);

    let world = five().await;
    let call = call("PUT", "contact/access.json", json!({"contactid": [1, 2, 3], "isShared": true}));
    let first = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    assert_eq!(world.put("2/access", ADA_TOKEN, &hidden).await.unwrap().status, 200);
    let again = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    assert_eq!(told(&again).2, told(&first).2);
    let mut expected = first.json();
    expected["response"].as_array_mut().unwrap().remove(1);
    expected["count"] = json!(2);
    assert_eq!(again.json(), expected);
}

#[tokio::test]
async fn replay_repeats_an_answer_larger_than_one_item() {
    let mut values = acme();
    let text = |seed: u64| {
        (0..40)
            .map(|part| format!("{:016x}", (seed * 1000 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect::<String>()
    };
    values.extend((1..=1000).map(|id| contact(id, json!({"About": text(id.unsigned_abs())}))));
    let world = World::with(&lines(values)).await.unwrap();
    let call = filter("", &[MIKE]);
    let first = send(&world, &call).await;
    assert_eq!(first.ids().len(), 1000, "{}", first.text);
    assert_eq!(told(&send(&world, &call).await), told(&first));
}

#[tokio::test]
async fn expired_call_does_not_take_the_key_from_a_later_call() {
    // The first call fails, or finds its change made, after the second call took over the key.
    for (fails, expected) in [(true, "404 contact-not-found"), (false, "200 ")] {
        let world = five().await;
        let (proxy, behind) = proxied(&world).await;
        let gate = Gate::new();
        let held = gate.clone();
        let router = local::router::router(&world.app);
        let world = world.serving(api::App::new(behind, Duration::ZERO));
        proxy.set(move |call| match call.operation == "BatchGetItem" {
            true => Verdict::Hold(held.clone()),
            false => Verdict::Pass,
        });
        let change = single(&[MIKE]);
        let (first, second) = tokio::join!(send(&world, &change), async {
            gate.reached().await;
            world.set_clock(after(30));
            let request = Request::put("/api/2.0/crm/contact/1/access")
                .header("authorization", ADA_TOKEN)
                .header("content-type", "application/json")
                .header("idempotency-key", KEY)
                .body(Body::from(change.body.to_string()));
            let response = tower::ServiceExt::oneshot(router, request.unwrap()).await.unwrap();
            let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            if fails {
                let portal = crate::portal::portal("acme", "Europe/Riga", 4);
                world.import(&lines([portal, json!({"delete": {"contact": 1}})])).await.unwrap();
            }
            gate.open();
            String::from_utf8(text.to_vec()).unwrap()
        });
        assert_eq!(outcome(&first), expected, "{}", first.text);
        proxy.clear();
        // The key still holds the answer of the second call.
        let again = send(&world, &change).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (200, second.as_str()));
        assert_eq!(jobs(&world).await, 1);
    }
}

#[tokio::test]
async fn interrupted_rule_call_is_replayed_and_not_repeated() {
    for delete in [false, true] {
        let (world, proxy) = mortal().await;
        let nightly = rule("nightly", "0 2 * * *");
        let call = if delete {
            send_with(&world, ADA_TOKEN, &[], &nightly).await;
            call("DELETE", "access/rules/nightly", Value::Null)
        } else {
            nightly
        };
        proxy.set(|call| if call.operation == "TransactWriteItems" { Verdict::DieAfter } else { Verdict::Pass });
        assert_eq!(send(&world, &call).await.status, 503);
        proxy.clear();
        // Another user's rule meanwhile stays.
        assert_eq!(send_with(&world, ADA_TOKEN, &[], &rule("nightly", "0 5 * * *")).await.status, 200);
        let again = send(&world, &call).await;
        assert_eq!(again.status, if delete { 204 } else { 200 }, "{}", again.text);
        if !delete {
            assert_eq!(again.json()["response"]["cron"], "0 2 * * *");
        }
        assert_eq!(world.get("rules/nightly", ADA_TOKEN).await.unwrap().json()["response"]["cron"], "0 5 * * *");
    }
}
