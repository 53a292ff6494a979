//! The limit on a user's open jobs: exact under concurrency and after any death.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use jobs::{Deadline, Events};
use models::job::State;
use models::limits::{MAX_OPEN_JOBS, MESSAGE_DEADLINE_MILLIS, OPEN_JOBS_RETRY_SECONDS};
use models::values::id::UserId;
use serde_json::json;
use store::keys::{Key, PK, SK};
use tests::faults::{Calls, Fault, When};
use tests::{Reply, TestBus, World, cases};

use crate::job_faults::{Bed, target};
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM_TOKEN, access, acme_with, contact, id, job};

const ASYNC: (&str, &str) = ("prefer", "respond-async");

async fn three() -> World {
    acme_with((1..=3).map(|id| contact(id, json!({})))).await
}

fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Requests a job that makes every contact private to its caller.
async fn lock(world: &World, token: &str, user: UserId, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"isPrivate": true, "managerList": [user]}).to_string();
    world.put_with("filter/access", token, &body, headers).await.unwrap()
}

/// Returns the number of slots that a user's open jobs take.
async fn open_slots(world: &World, user: UserId) -> usize {
    let (pk, sk) = Key::OpenJobsOf(id("acme"), user).encode();
    let item = world.client.get_item().table_name(&world.table).consistent_read(true);
    let item = item.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap().item;
    item.and_then(|item| item.get("jobs").and_then(|jobs| jobs.as_bs().ok()).map(Vec::len)).unwrap_or_default()
}

#[tokio::test]
async fn user_with_fifty_open_jobs_starts_another_only_after_one_is_over() {
    let world = three().await;
    let undone = job(&lock(&world, MIKE_TOKEN, MIKE, &[]).await).unwrap();
    for _ in 0..MAX_OPEN_JOBS {
        assert_eq!(lock(&world, MIKE_TOKEN, MIKE, &[ASYNC]).await.status, 202);
    }
    let (queued, before) = (world.queue.waiting().len(), access(&world, "acme", 1..=3).await);
    let jobs = world.get("jobs?count=1000", ADA_TOKEN).await.unwrap().text;
    let contacts = json!({"contactid": [1], "isShared": true}).to_string();
    let refused = [
        lock(&world, MIKE_TOKEN, MIKE, &[ASYNC]).await,
        lock(&world, MIKE_TOKEN, MIKE, &[ASYNC, ("idempotency-key", "k")]).await,
        world.put_with("filter/access", MIKE_TOKEN, r#"{"isPrivate":false}"#, &[]).await.unwrap(),
        world.put_with("access", MIKE_TOKEN, &contacts, &[]).await.unwrap(),
        world.put_with("access", MIKE_TOKEN, &contacts, &[ASYNC]).await.unwrap(),
        world.post(&format!("jobs/{undone}/undo"), MIKE_TOKEN).await.unwrap(),
    ];
    for reply in &refused {
        assert_eq!(outcome(reply), "429 too-many-open-jobs", "{}", reply.text);
        assert_eq!(reply.count("retry-after"), Some(OPEN_JOBS_RETRY_SECONDS));
    }
    assert_eq!((world.queue.waiting().len(), access(&world, "acme", 1..=3).await), (queued, before));
    assert_eq!(world.get("jobs?count=1000", ADA_TOKEN).await.unwrap().text, jobs);

    // A dry run and a single change leave no open job. Each user has a separate limit.
    assert_eq!(
        world.put_with("filter/access?dryRun=true", MIKE_TOKEN, r#"{"isPrivate":false}"#, &[]).await.unwrap().status,
        200
    );
    let body = json!({"isShared": false, "managerList": [MIKE, ADA]});
    assert_eq!(world.put("1/access", MIKE_TOKEN, &body).await.unwrap().status, 200);
    assert_eq!(lock(&world, SAM_TOKEN, MIKE, &[ASYNC]).await.status, 202);

    world.work().await.unwrap();
    assert_eq!(open_slots(&world, MIKE).await, 0);
    // A refused call frees its idempotency key.
    assert_eq!(lock(&world, MIKE_TOKEN, MIKE, &[ASYNC, ("idempotency-key", "k")]).await.status, 202);
    assert_eq!(open_slots(&world, MIKE).await, 1);
}

#[tokio::test]
async fn concurrent_calls_of_one_user_start_at_most_fifty_jobs() {
    let world = three().await;
    let replies = join_all((0..MAX_OPEN_JOBS + 10).map(|_| lock(&world, MIKE_TOKEN, MIKE, &[ASYNC]))).await;
    let started = replies.iter().filter(|reply| reply.status == 202).count();
    let refused = replies.iter().filter(|reply| outcome(reply) == "429 too-many-open-jobs").count();
    assert_eq!((started, refused, open_slots(&world, MIKE).await), (MAX_OPEN_JOBS, 10, MAX_OPEN_JOBS));
}

#[tokio::test]
async fn job_takes_one_slot_and_frees_it_after_any_death() {
    for is_synchronous in [false, true] {
        for number in cases::calls() {
            let bed = Bed::new(1).await;
            let dead = bed.process().await;
            let when = if number % 2 == 0 { When::Before } else { When::After };
            dead.proxy.inject(Calls::numbered(number).meet(Fault::Die(when)));
            let (run, id) = (bed.run(target(), None).await, bed.world.jobs().new_id());
            // A run may die before its job is recorded, in the middle, or never.
            let ended = if is_synchronous {
                run.apply(&dead.jobs, id, &Deadline::never()).await.is_ok()
            } else {
                run.enqueue(&dead.jobs, id).await.is_ok()
            };
            while let Some(message) = bed.world.queue.take()
                && dead.work(&message).await.is_ok()
            {}
            assert!(open_slots(&bed.world, ADA).await <= 1);
            bed.pass(MESSAGE_DEADLINE_MILLIS);
            bed.recover().await;
            bed.recover().await;
            assert_eq!((open_slots(&bed.world, ADA).await, bed.is_open(id).await), (0, false), "call {number}");
            if ended && !dead.proxy.is_dead() {
                assert!(number > 10, "{number} calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn finished_job_frees_its_slot_while_the_bus_refuses_its_event() {
    let bus = TestBus::default();
    let bed =
        Bed::new(1).await.with(|jobs| jobs::Jobs { events: Events::Here(std::sync::Arc::new(bus.clone())), ..jobs });
    bus.inject(Calls::all().meet(Fault::Refuse));
    let (id, message) = bed.enqueue_one().await;
    bed.world.jobs().work(&message, &Deadline::never()).await.unwrap_err();
    assert_eq!((bed.job(id).await.state, bed.is_open(id).await), (State::Done, true));
    assert_eq!(open_slots(&bed.world, ADA).await, 0);
}

#[tokio::test]
async fn rule_of_a_user_with_fifty_open_jobs_reports_the_limit_and_runs_next_time() {
    let world = three().await;
    let body = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"});
    let reply = world.access_with("PUT", "rules/nightly", MIKE_TOKEN, &body.to_string(), &[]).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    for _ in 0..MAX_OPEN_JOBS {
        assert_eq!(lock(&world, MIKE_TOKEN, MIKE, &[ASYNC]).await.status, 202);
    }
    let night = async |day: &str| {
        world.set_clock(format!("2026-01-{day}T02:00:00Z").parse().unwrap());
        let started = world.jobs().run_due_rules(&Deadline::never()).await.unwrap();
        let rule = world.get("rules/nightly", MIKE_TOKEN).await.unwrap().json()["response"].clone();
        (started, rule["lastError"].clone(), rule["nextRun"].clone())
    };
    let (started, error, next) = night("02").await;
    assert!(error.as_str().is_some_and(|error| error.contains("50 open jobs")), "{error}");
    assert_eq!((started, next), (0, json!("2026-01-03T02:00:00.0000000+02:00")));
    world.work().await.unwrap();
    let (started, error, _) = night("03").await;
    assert_eq!((started, error), (1, json!(null)));
    assert_eq!(open_slots(&world, MIKE).await, 1);
}
