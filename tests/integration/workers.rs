//! Workers: the function that receives messages from the queue, and the workers of one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use jiff::SignedDuration;
use jobs::{Abandoned, Deadline, Jobs, Message, Worked};
use local::fair_queue::queue;
use local::workers::Workers;
use models::job::{Counts, Job, JobId, State};
use models::limits::LEASE_MILLIS;
use serde_json::{Value, json};
use store::Store;
use store::jobs::Lease;
use store::keys::Key;
use tests::faults::{Calls, Fault, Operation, Proxy, When};
use tests::{EventReader, TestBus, World};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::portal::{ADA_TOKEN, MIKE, access, acme, acme_with, contact, id, job, lines, portal, private};

/// Returns the engine of a world with its table calls through a proxy.
pub(crate) async fn proxied(world: &World) -> (Proxy, Jobs) {
    let proxy = world.proxy().await.unwrap();
    let client = proxy.client().await;
    // All clients of a process share one retry budget. A test whose calls all fail must not exhaust it for others.
    let budget = RetryPartition::new(proxy.url());
    let client = Client::from_conf(client.config().to_builder().retry_partition(budget).build());
    let jobs = Jobs { store: Store::new(client, &world.table), ..world.jobs().clone() };
    (proxy, jobs)
}

/// Creates a world of `acme` with this many contacts, and queues a job that makes all of them private.
async fn queued(contacts: i64) -> (World, JobId) {
    let world = acme_with((1..=contacts).map(|id| contact(id, json!({})))).await;
    let job = lock_later(&world, "").await;
    (world, job)
}

/// Queues a job that makes contacts private.
async fn lock_later(world: &World, query: &str) -> JobId {
    let body = json!({"isPrivate": true, "managerList": [MIKE]}).to_string();
    let headers = [("prefer", "respond-async")];
    let reply = world.put_with(&format!("filter/access?{query}"), ADA_TOKEN, &body, &headers).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

async fn record(world: &World, job: JobId) -> Job {
    world.store.job(&id("acme"), job).await.unwrap().unwrap()
}

/// Returns the number of contacts with the job's target.
async fn written(world: &World, contacts: i64) -> usize {
    let states = access(world, "acme", 1..=contacts).await;
    states.values().filter(|state| state.access == private(&[MIKE])).count()
}

fn all(contacts: u64) -> Counts {
    Counts { matched: contacts, updated: contacts, ..Counts::default() }
}

/// Returns an SQS event with these bodies, numbered from message 0.
fn event(bodies: &[String]) -> Value {
    let record = |(number, body): (usize, &String)| {
        json!({"messageId": number.to_string(), "receiptHandle": "handle", "body": body, "attributes": {},
            "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-central-1"})
    };
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| serde_json::to_string(message).unwrap()).collect()
}

/// Takes all waiting messages.
fn take_all(world: &World) -> Vec<Message> {
    std::iter::from_fn(|| world.queue.take()).collect()
}

/// Passes an event to the worker. Returns the messages reported as failed.
async fn handle(jobs: &Jobs, bodies: &[String], stop_at: Instant) -> Vec<usize> {
    let event = serde_json::from_value(event(bodies)).unwrap();
    let response = bulk_worker::handle(jobs, event, stop_at).await.unwrap();
    let response = serde_json::to_value(response).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap().clone();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().parse().unwrap()).collect()
}

/// A deadline that no test reaches.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

#[tokio::test]
async fn worker_processes_all_messages_of_an_event() {
    let (world, job) = queued(40).await;
    let messages = take_all(&world);
    assert_eq!(messages.iter().map(|message| message.shard).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
    let failed = handle(world.jobs(), &bodies(&messages), later()).await;
    assert_eq!(failed, [0; 0]);
    let record = record(&world, job).await;
    assert_eq!((record.state, record.counts), (State::Done, all(40)));
    assert_eq!(written(&world, 40).await, 40);
    assert_eq!(world.queue.waiting(), []);
}

#[tokio::test]
async fn redelivered_messages_do_nothing_twice() {
    let (world, job) = queued(12).await;
    let messages = take_all(&world);
    // The messages are redelivered within one event, and once more after the event.
    let twice: Vec<String> = bodies(&messages).into_iter().chain(bodies(&messages)).collect();
    assert_eq!(handle(world.jobs(), &twice, later()).await, [0; 0]);
    let first = record(&world, job).await;
    assert_eq!((first.state, first.counts), (State::Done, all(12)));
    let writes = world.trips.spent().write_units;
    assert_eq!(handle(world.jobs(), &twice, later()).await, [0; 0]);
    assert_eq!(record(&world, job).await, first);
    // Each message closes the finished job again.
    assert!(world.trips.spent().write_units - writes <= 8.0);
}

#[tokio::test]
async fn invalid_message_is_reported_and_does_not_block_others() {
    let (world, job) = queued(40).await;
    let mut bodies = bodies(&take_all(&world));
    bodies.insert(1, "garbage".to_owned());
    bodies.insert(3, String::new());
    bodies.push(json!({"portal": "acme", "job": job, "shard": 0, "more": 1}).to_string());
    assert_eq!(handle(world.jobs(), &bodies, later()).await, [1, 3, 6]);
    assert_eq!(record(&world, job).await.counts, all(40));
    assert_eq!(written(&world, 40).await, 40);
}

#[tokio::test]
async fn message_without_work_to_do_succeeds() {
    let (world, job) = queued(4).await;
    take_all(&world);
    let about = |portal: &str, job: JobId, shard: Option<u16>| Message { portal: id(portal), job, shard };
    let messages = [
        about("acme", JobId::from_u128(1), Some(0)),
        about("zenith", job, Some(0)),
        about("acme", job, Some(64)),
        about("acme", job, None),
    ];
    assert_eq!(handle(world.jobs(), &bodies(&messages), later()).await, [0; 0]);
    assert_eq!(record(&world, job).await.state, State::Queued);
    assert_eq!(written(&world, 4).await, 0);
}

#[tokio::test]
async fn message_of_a_failed_shard_is_reported_and_succeeds_on_redelivery() {
    let (world, job) = queued(40).await;
    let (proxy, jobs) = proxied(&world).await;
    let chunk = Key::Chunk(id("acme"), job, 2, 0).encode();
    let writes_chunk = Calls::of(Operation::PutItem).and(move |call| call.keys().contains(&chunk));
    proxy.inject(writes_chunk.meet(Fault::InternalError(When::Before)));
    let messages = take_all(&world);
    assert_eq!(handle(&jobs, &bodies(&messages), later()).await, [2]);
    assert_eq!(record(&world, job).await.state, State::Running);
    let before = written(&world, 40).await;
    assert!((1..40).contains(&before), "{before} written");

    proxy.clear();
    assert_eq!(handle(&jobs, &bodies(&messages[2..3]), later()).await, [0; 0]);
    let record = record(&world, job).await;
    assert_eq!((record.state, record.counts), (State::Done, all(40)));
    assert_eq!(written(&world, 40).await, 40);
}

#[tokio::test]
async fn unreachable_table_fails_every_message() {
    let (world, job) = queued(8).await;
    let (proxy, jobs) = proxied(&world).await;
    let messages = take_all(&world);
    proxy.inject(Calls::all().meet(Fault::InternalError(When::Before)));
    assert_eq!(handle(&jobs, &bodies(&messages), later()).await, [0, 1, 2, 3]);
    proxy.clear();
    assert_eq!(handle(&jobs, &bodies(&messages), later()).await, [0; 0]);
    assert_eq!(record(&world, job).await.counts, all(8));
}

#[tokio::test]
async fn worker_requeues_its_messages_at_its_deadline() {
    let (world, job) = queued(8).await;
    let messages = take_all(&world);
    assert_eq!(handle(world.jobs(), &bodies(&messages), Instant::now()).await, [0; 0]);
    // The workers run concurrently and may requeue their messages in any order.
    let mut waiting = world.queue.waiting();
    waiting.sort_by_key(|message| message.shard);
    assert_eq!(waiting, messages);
    assert_eq!(written(&world, 8).await, 0);
    assert_eq!(world.work().await.unwrap(), 4);
    assert_eq!(record(&world, job).await.counts, all(8));
}

/// Creates a world of one shard with 2,500 contacts: three chunks.
async fn one_shard() -> World {
    let mut values = acme();
    values[0] = portal("acme", "Europe/Riga", 1);
    values.extend((1..=2500).map(|id| contact(id, json!({}))));
    World::with(&lines(values)).await.unwrap()
}

#[tokio::test]
async fn worker_keeps_its_progress_at_its_deadline() {
    let world = one_shard().await;
    let job = lock_later(&world, "").await;
    let (proxy, jobs) = proxied(&world).await;
    let (stop, stopped) = watch::channel(false);
    // The deadline passes when the first chunk is written.
    let first = Key::Chunk(id("acme"), job, 0, 0).encode();
    proxy.observe(move |call| {
        if call.operation == Operation::PutItem && call.keys().contains(&first) {
            stop.send_replace(true);
        }
    });
    let message = world.queue.take().unwrap();
    let worked = jobs.work(&message, &Deadline::on_signal(stopped)).await.unwrap();
    assert_eq!(worked, Worked::Requeued);
    assert_eq!(world.queue.waiting(), [message]);
    let shard = world.store.shard(&id("acme"), job, 0).await.unwrap();
    let done = written(&world, 2500).await;
    assert!((1000..2500).contains(&done), "{done} written");
    assert_eq!((shard.progress.counts.updated, shard.owner, shard.done), (done as u64, None, false));
    let shown = world.get(&format!("jobs/{job}"), ADA_TOKEN).await.unwrap().json();
    assert_eq!((&shown["response"]["state"], &shown["response"]["updated"]), (&json!("running"), &json!(done)));

    // The remaining contacts are written, and no contact is written twice.
    let before = world.trips.spent().write_units;
    assert_eq!(world.work().await.unwrap(), 1);
    let spent = world.trips.spent().write_units - before;
    assert_eq!(record(&world, job).await.counts, all(2500));
    assert_eq!(written(&world, 2500).await, 2500);
    #[expect(clippy::cast_precision_loss, reason = "2,500 contacts")]
    let remaining = (2500 - done) as f64;
    assert!(spent < remaining * 1.2 + 20.0, "{spent} units for {remaining} contacts");
}

/// Returns an engine with an in-memory queue and a bus, with a reader of the bus.
fn local(world: &World) -> (Jobs, local::fair_queue::Messages, EventReader) {
    let (queue, messages) = queue();
    let bus = TestBus::default();
    (Jobs { queue: Arc::new(queue), events: bus.events(), ..world.jobs().clone() }, messages, bus.reader())
}

#[tokio::test]
async fn workers_finish_jobs_of_an_earlier_process() {
    let (world, never_begun) = queued(40).await;
    // The process dies: its messages are lost, and it held a lease on shards of the other job.
    let half_done = lock_later(&world, "filterValue=1").await;
    world.queue.clear();
    let lease = Lease {
        owner: Uuid::now_v7().into(),
        until: world.app.now() + SignedDuration::from_millis(i64::try_from(LEASE_MILLIS).unwrap()),
    };
    for shard in [1, 3] {
        world.store.claim_shard(&id("acme"), half_done, shard, &lease, world.app.now()).await.unwrap();
    }
    let (jobs, messages, mut events) = local(&world);
    let workers = Workers::start(&jobs, messages, Abandoned::All).await.unwrap();
    let mut ended = BTreeMap::new();
    while ended.len() < 2 {
        let event = events.next().await.unwrap();
        ended.insert(event.job_id, event.state);
    }
    workers.stop().await;
    assert_eq!(ended, [(never_begun, State::Done), (half_done, State::Done)].into());
    assert_eq!(written(&world, 40).await, 40);
    // Both jobs have the same target: the first to reach a shared contact wrote it.
    let (one, two) = (record(&world, never_begun).await.counts, record(&world, half_done).await.counts);
    assert_eq!((one.matched, one.updated + one.unchanged), (40, 40));
    assert_eq!((two.matched, two.updated + two.unchanged), (13, 13));
}

#[tokio::test]
async fn workers_leave_shards_of_a_possibly_live_process_alone() {
    let (world, job) = queued(8).await;
    world.queue.clear();
    let now = world.app.now();
    let lease = Lease { owner: Uuid::now_v7().into(), until: now + SignedDuration::from_secs(45) };
    world.store.claim_shard(&id("acme"), job, 0, &lease, now).await.unwrap();
    assert_eq!(world.jobs().sweep(Abandoned::Expired, &Deadline::never()).await.unwrap(), 0);
    assert_eq!(world.jobs().sweep(Abandoned::All, &Deadline::never()).await.unwrap(), 4);
}

#[tokio::test]
async fn idle_workers_stop_on_request() {
    let world = acme_with([contact(1, json!({}))]).await;
    let (jobs, messages, _events) = local(&world);
    let workers = Workers::start(&jobs, messages, Abandoned::All).await.unwrap();
    workers.stop().await;
    // Sending now fails, because no worker receives messages.
    let message = Message { portal: id("acme"), job: JobId::from_u128(0), shard: None };
    let error = jobs.queue.send(vec![message]).await.unwrap_err();
    assert_eq!(error.messages, 1);
}

#[tokio::test]
async fn workers_of_a_process_run_queued_calls() {
    let world = acme_with((1..=20).map(|id| contact(id, json!({})))).await;
    let (jobs, messages, mut events) = local(&world);
    let workers = Workers::start(&jobs, messages, Abandoned::All).await.unwrap();
    let app = api::App::new(jobs, Duration::ZERO);
    let world = world.serving(app);
    let job = lock_later(&world, "").await;
    let event = events.next_matching(|event| event.job_id == job).await.unwrap();
    assert_eq!((event.state, event.updated), (State::Done, 20));
    let undo = world.post(&format!("jobs/{job}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202, "{}", undo.text);
    let event = events.next_matching(|event| event.undo_of == Some(job)).await.unwrap();
    assert_eq!((event.state, event.updated), (State::Done, 20));
    workers.stop().await;
    assert_eq!(written(&world, 20).await, 0);
}
