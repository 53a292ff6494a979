//! Calls that a crash interrupts.

use std::time::Duration;

use jobs::Abandoned;
use models::values::id::JobId;
use serde_json::{Value, json};
use store::keys::Key;
use tests::faults::{Calls, Fault, Operation, Proxy, When};
use tests::{Reply, World};

use super::{Call, after, call, essence, filter, five, jobs, later, outcome, rule, send, send_with, single};
use crate::portal::{ADA_TOKEN, MIKE, access_of, id, job, private, public};
use crate::workers::proxied;

/// Serves the world through a proxy, so that the process can die and a new process can continue.
async fn mortal() -> (World, Proxy) {
    let world = five().await;
    let (proxy, jobs) = proxied(&world).await;
    (world.serving(api::App::new(jobs, Duration::ZERO)), proxy)
}

/// Checks that the key of an interrupted call is in use for 30 seconds. Returns the answer of a later repetition.
async fn repeat_after_interruption(world: &World, call: &Call) -> Reply {
    world.set_clock(after(29));
    assert_eq!(outcome(&send(world, call).await), "409 idempotency-key-in-use", "{call:?}");
    assert_eq!(outcome(&send(world, &rule("other", "0 2 * * *")).await), "422 idempotency-key-reused");
    world.set_clock(after(30));
    send(world, call).await
}

#[tokio::test]
async fn change_interrupted_before_its_write_is_made_by_the_repetition() {
    let (world, proxy) = mortal().await;
    proxy.inject(Calls::of(Operation::TransactWriteItems).meet(Fault::Die(When::Before)));
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 503);
    proxy.clear();
    assert_eq!(access_of(&world, 1).await.job(), None);
    let reply = repeat_after_interruption(&world, &single(&[MIKE])).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!((access_of(&world, 1).await.job(), jobs(&world).await), (job(&reply), 1));
    assert_eq!(essence(&send(&world, &single(&[MIKE])).await), essence(&reply));
}

#[tokio::test]
async fn change_interrupted_after_its_write_is_replayed_and_not_repeated() {
    let (world, proxy) = mortal().await;
    proxy.inject(Calls::of(Operation::TransactWriteItems).meet(Fault::Die(When::After)));
    assert_eq!(send(&world, &single(&[MIKE])).await.status, 503);
    proxy.clear();
    let made = access_of(&world, 1).await;
    assert_eq!((&made.access, jobs(&world).await), (&private(&[MIKE]), 1));
    // A change that another user made in the meantime remains.
    assert_eq!(world.put("1/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap().status, 200);
    let reply = repeat_after_interruption(&world, &single(&[MIKE])).await;
    assert_eq!((reply.status.as_u16(), job(&reply)), (200, made.job()), "{}", reply.text);
    assert_eq!(reply.json()["response"]["IsPrivate"], true);
    assert_eq!((access_of(&world, 1).await.access, jobs(&world).await), (public(&[]), 2));
    assert_eq!(essence(&send(&world, &single(&[MIKE])).await), essence(&reply));
}

#[tokio::test]
async fn run_interrupted_before_its_open_entry_is_made_by_the_repetition() {
    let (world, proxy) = mortal().await;
    // The process dies at the write of the open-job entry.
    proxy.inject(Calls::of(Operation::BatchWriteItem).meet(Fault::Die(When::Before)));
    assert_eq!(send(&world, &filter("", &[MIKE])).await.status, 503);
    proxy.clear();
    let reply = repeat_after_interruption(&world, &filter("", &[MIKE])).await;
    assert_eq!((reply.status.as_u16(), reply.count("x-updated-count")), (200, Some(4)), "{}", reply.text);
    assert_eq!(jobs(&world).await, 1);
    assert_eq!(essence(&send(&world, &filter("", &[MIKE])).await), essence(&reply));
}

#[tokio::test]
async fn run_interrupted_between_open_entry_and_record_is_made_by_the_repetition() {
    let (world, proxy) = mortal().await;
    proxy.inject(Calls::of(Operation::BatchWriteItem).meet(Fault::Die(When::After)));
    assert_eq!(send(&world, &filter("", &[MIKE])).await.status, 503);
    proxy.clear();
    let reply = repeat_after_interruption(&world, &filter("", &[MIKE])).await;
    assert_eq!((reply.status.as_u16(), reply.count("x-updated-count")), (200, Some(4)), "{}", reply.text);
    assert_eq!(jobs(&world).await, 1);
    world.set_clock(after(3600));
    assert_eq!(world.jobs().sweep(Abandoned::Expired, &jobs::Deadline::never()).await.unwrap(), 0);
    assert_eq!(essence(&send(&world, &filter("", &[MIKE])).await), essence(&reply));
}

#[tokio::test]
async fn run_interrupted_after_its_record_is_finished_by_workers_and_replayed_with_its_job() {
    for call in [filter("", &[MIKE]), later("", &[MIKE])] {
        let (world, proxy) = mortal().await;
        let is_job =
            |sk: &str| Key::Job(id("acme"), JobId::from_u128(0)).encode().1.split('#').next() == sk.split('#').next();
        // The first put is the key. A job's next put is its record.
        let records = Calls::of(Operation::PutItem).and(move |call| call.keys().iter().any(|(_, sk)| is_job(sk)));
        proxy.inject(records.meet(Fault::Die(When::After)));
        let failed = send(&world, &call).await;
        assert!(proxy.is_dead(), "{}", failed.text);
        assert!(!failed.status.is_success() || failed.status == 202, "{}", failed.text);
        proxy.clear();
        world.queue.clear();
        let reply = repeat_after_interruption(&world, &call).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        let interrupted = job(&reply).unwrap();
        assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{interrupted}"));
        world.set_clock(after(3600));
        world.jobs().sweep(Abandoned::Expired, &jobs::Deadline::never()).await.unwrap();
        world.work().await.unwrap();
        let again = send(&world, &call).await;
        assert_eq!((essence(&again), job(&again)), (essence(&reply), Some(interrupted)));
        let done = world.get(&format!("jobs/{interrupted}"), ADA_TOKEN).await.unwrap().json()["response"].clone();
        assert_eq!((&done["state"], &done["updated"]), (&json!("done"), &json!(4)), "{done}");
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
        proxy.inject(Calls::of(Operation::TransactWriteItems).meet(Fault::Die(When::After)));
        assert_eq!(send(&world, &call).await.status, 503);
        proxy.clear();
        // A rule that another user set in the meantime remains.
        assert_eq!(send_with(&world, ADA_TOKEN, &[], &rule("nightly", "0 5 * * *")).await.status, 200);
        let again = send(&world, &call).await;
        assert_eq!(again.status, if delete { 204 } else { 200 }, "{}", again.text);
        if !delete {
            assert_eq!(again.json()["response"]["cron"], "0 2 * * *");
        }
        assert_eq!(world.get("rules/nightly", ADA_TOKEN).await.unwrap().json()["response"]["cron"], "0 5 * * *");
    }
}
