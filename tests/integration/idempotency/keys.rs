//! Keys: their form, their owner and their end.

use std::time::Duration;

use axum::body::Body;
use lambda_http::http::Request;
use models::values::id::{JobId, UserId};
use serde_json::{Value, json};
use tests::World;
use tests::faults::{Calls, Fault, Gate, Operation, When};

use super::{KEY, after, call, essence, filter, five, jobs, later, outcome, rule, send, send_with, single};
use crate::portal::{
    ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, ZOE_TOKEN, access, access_of, acme, contact, job, lines, private,
    zenith,
};
use crate::workers::proxied;

#[tokio::test]
async fn key_is_refused_for_a_different_call() {
    let world = five().await;
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 200);
    let state = access(&world, "acme", 1..=5).await;
    let mut conditional = single(&[MIKE]);
    conditional.headers.push(("if-match", "*"));
    for other in [
        single(&[SAM]),
        // Bodies are compared byte by byte, so a repeated manager makes a different call.
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
        let (proxy, proxied_jobs) = proxied(&world).await;
        let world = world.serving(api::App::new(proxied_jobs, Duration::ZERO));
        // The gate holds the first call right before it records its job.
        let gate = Gate::new();
        let writes = |call: &tests::faults::Call| {
            matches!(call.operation, Operation::TransactWriteItems | Operation::BatchWriteItem)
        };
        proxy.inject(Calls::matching(writes).meet(Fault::Hold(When::Before, gate.clone())));
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
        assert_eq!(essence(&send(&world, &call).await), essence(&first));
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

#[tokio::test]
async fn key_expires_after_a_day() {
    const DAY: i64 = 86400;
    let world = five().await;
    let first = send(&world, &single(&[MIKE])).await;
    world.set_clock(after(DAY - 1));
    assert_eq!(essence(&send(&world, &single(&[MIKE])).await), essence(&first));
    assert_eq!(outcome(&send(&world, &single(&[SAM])).await), "422 idempotency-key-reused");
    world.set_clock(after(DAY));
    let other = send(&world, &single(&[SAM])).await;
    assert_eq!(other.status, 200, "{}", other.text);
    assert_ne!(job(&other), job(&first));
    assert_eq!(access_of(&world, 1).await.access, private(&[SAM]));
    // The key now holds this call for another day.
    world.set_clock(after(2 * DAY - 1));
    assert_eq!(essence(&send(&world, &single(&[SAM])).await), essence(&other));
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
        assert_eq!(essence(&send_with(&world, token, &[KEY], &call).await), essence(&reply));
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

#[tokio::test]
async fn expired_call_does_not_take_the_key_from_a_later_call() {
    // The first call fails, or finds its change made, after the second call took over the key.
    for (fails, expected) in [(true, "404 contact-not-found"), (false, "200 ")] {
        let world = five().await;
        let (proxy, proxied_jobs) = proxied(&world).await;
        let gate = Gate::new();
        let router = local::router::router(&world.app);
        let world = world.serving(api::App::new(proxied_jobs, Duration::ZERO));
        proxy.inject(Calls::of(Operation::BatchGetItem).meet(Fault::Hold(When::Before, gate.clone())));
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
