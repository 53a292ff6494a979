//! Work that kills its workers: a process dies without an error, a task panics, or closing a job kills the process. The
//! work ends with exact counts and delays no other work.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jobs::{Abandoned, Deadline, Jobs, Message, WorkError, Worked};
use local::fair_queue::queue;
use local::workers::{WORKERS, Workers};
use models::job::{Counts, State};
use models::limits::{LEASE_MILLIS, MAX_TRIES, MESSAGE_DEADLINE_MILLIS, RETRY_MILLIS};
use models::values::id::JobId;
use serde_json::json;
use store::keys::Key;
use tests::TestBus;
use tests::faults::{Call, Calls, Fault, FaultPlan, Operation, When};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::job_faults::{Bed, Process, Step, at, step};
use crate::portal::{ADA_TOKEN, MIKE};

/// Works on the message and dies as planned.
async fn die(worker: &Process, message: &Message, plan: FaultPlan) {
    worker.proxy.clear();
    worker.proxy.inject(plan);
    assert!(worker.work(message).await.is_err());
    assert!(worker.proxy.is_dead());
    worker.proxy.clear();
}

/// Advances the clock past the message deadline, and takes the message that the sweep then sends for the shard.
async fn resent_message(bed: &Bed) -> Message {
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    assert_eq!(bed.sweep().await, 1);
    bed.world.queue.take().unwrap()
}

/// Returns the number of claims of a message's shard since its last progress.
async fn tries(bed: &Bed, message: &Message) -> u32 {
    bed.world.store.shard(&message.portal, message.job, message.shard.unwrap()).await.unwrap().tries
}

/// Kills workers of a message until its shard has no try left. The first worker dies at `first`, and the other workers
/// die right after their claim.
async fn kill_ten(bed: &Bed, worker: &Process, mut message: Message, first: FaultPlan) -> Message {
    die(worker, &message, first).await;
    message = resent_message(bed).await;
    // The first worker's progress resets the number of tries, so its own try does not count.
    while tries(bed, &message).await < MAX_TRIES {
        die(worker, &message, at(Step::Claim, 1, Fault::Die(When::After))).await;
        message = resent_message(bed).await;
    }
    message
}

#[tokio::test]
async fn shard_that_kills_its_workers_is_given_up_after_ten_tries_with_exact_counts() {
    let points: [(Step, u64, When); 7] = [
        (Step::Claim, 1, When::After),
        (Step::Chunk, 1, When::Before),
        (Step::Chunk, 1, When::After),
        (Step::Batch, 1, When::Before),
        (Step::Batch, 1, When::After),
        (Step::Progress, 1, When::Before),
        (Step::Batch, 2, When::After),
    ];
    for (point, which, when) in points {
        let case = format!("{point:?} {which} {when:?}");
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let worker = bed.process().await;
        let message = kill_ten(&bed, &worker, message, at(point, which, Fault::Die(when))).await;
        assert!(!bed.job(id).await.is_over(), "{case}");
        // The eleventh worker only closes the shard.
        assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone, "{case}");

        let (job, written) = (bed.job(id).await, bed.written(id).await);
        assert!(
            job.error.as_deref().is_some_and(|error| error.contains("ten times without progress")),
            "{case}: {job:?}"
        );
        assert!(job.is_over() && job.percent < 100 && !bed.is_open(id).await, "{case}: {job:?}");
        let Counts { matched, updated, unchanged, failed, .. } = job.counts;
        assert_eq!((job.state, updated), (State::Failed, written.len() as u64), "{case}: {job:?}");
        assert_eq!(matched, updated + unchanged + failed, "{case}: {job:?}");
        assert_eq!(bed.changes(id).await.len() as u64, updated, "{case}");

        let undo = bed.undone(id).await;
        assert_eq!(undo.counts, Counts { matched: updated, updated, ..Counts::default() });
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn shard_is_given_up_although_counting_its_chunk_kills_workers() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let mut message = kill_ten(&bed, &worker, message, at(Step::Batch, 1, Fault::Die(When::After))).await;
    // Each worker that reads the chunk dies, whether it reads the complete chunk or only its end.
    let chunk = Key::Chunk(bed.portal.clone(), id, 0, 0).encode();
    let dies_at_chunk = || {
        let chunk = chunk.clone();
        let reads = Calls::of(Operation::GetItem).and(move |call| call.keys().contains(&chunk));
        reads.meet(Fault::Die(When::Before))
    };
    for _ in 0..2 {
        die(&worker, &message, dies_at_chunk()).await;
        message = resent_message(&bed).await;
    }
    worker.proxy.inject(dies_at_chunk());
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts), (State::Failed, Counts::default()));
    assert!(job.is_over() && !bed.is_open(id).await, "{job:?}");
    // The chunk can still be undone.
    assert_eq!(bed.undone(id).await.counts.updated, bed.changes(id).await.len() as u64);
    bed.check_restored().await;
}

#[tokio::test]
async fn contacts_of_a_chunk_count_as_failed_if_counting_kills_workers() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let message = kill_ten(&bed, &worker, message, at(Step::Batch, 1, Fault::Die(When::After))).await;
    die(&worker, &message, Calls::of(Operation::BatchGetItem).meet(Fault::Die(When::Before))).await;
    let message = resent_message(&bed).await;
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let counts = bed.job(id).await.counts;
    assert_eq!((counts.updated, counts.failed), (0, bed.changes(id).await.len() as u64));
    assert_eq!(counts.matched, counts.unchanged + counts.failed);
}

#[tokio::test]
async fn job_that_kills_its_workers_while_counting_reports_zero_counts() {
    let bed = Bed::new(1).await;
    let id = bed.enqueue_at_most(Some(1000)).await;
    let message = bed.world.queue.take().unwrap();
    let worker = bed.process().await;
    let message = kill_ten(&bed, &worker, message, at(Step::Counted, 1, Fault::Die(When::Before))).await;
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts, bed.written(id).await.len()), (State::Failed, Counts::default(), 0));
}

#[tokio::test]
async fn worker_that_requeues_a_shard_uses_up_no_try() {
    let bed = Bed::new(1).await;
    let (id, mut message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    for _ in 0..3 * MAX_TRIES {
        // The deadline passes right after the claim.
        let (stop, stopped) = watch::channel(false);
        worker.proxy.observe(move |call| {
            if step(call) == Some(Step::Claim) {
                stop.send_replace(true);
            }
        });
        let worked = worker.jobs.work(&message, &Deadline::on_signal(stopped)).await.unwrap();
        assert_eq!(worked, Worked::Requeued);
        message = bed.world.queue.take().unwrap();
    }
    worker.proxy.clear();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn shard_that_waits_for_the_count_of_others_uses_up_no_try() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue_at_most(Some(1000)).await;
    let (first, second) = (bed.world.queue.take().unwrap(), bed.world.queue.take().unwrap());
    for _ in 0..3 * MAX_TRIES {
        bed.world.jobs().work(&first, &Deadline::never()).await.unwrap();
    }
    bed.world.jobs().work(&second, &Deadline::never()).await.unwrap();
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_at_the_end_of_its_turn_requeues_its_shard_after_each_page() {
    let bed = Bed::new(1).await;
    let (id, mut message) = bed.enqueue_one().await;
    let mut turns = 1;
    loop {
        let deadline = Deadline::never().with_turn(Duration::ZERO);
        match bed.world.jobs().work(&message, &deadline).await.unwrap() {
            Worked::Requeued => message = bed.world.queue.take().unwrap(),
            ended => {
                assert_eq!(ended, Worked::ShardDone);
                break;
            }
        }
        turns += 1;
    }
    assert_eq!(turns, 3, "a turn for each page");
    bed.check_done(id).await;
}

#[tokio::test]
async fn rule_starts_again_after_its_last_job_killed_its_workers() {
    let bed = Bed::new(1).await;
    let body = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"});
    let reply = bed.world.access_with("PUT", "rules/nightly", ADA_TOKEN, &body.to_string(), &[]).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let next_night = async |day: &str| {
        bed.world.set_clock(format!("2026-01-{day}T02:00:00Z").parse().unwrap());
        bed.world.jobs().run_due_rules(&Deadline::never()).await.unwrap()
    };
    assert_eq!(next_night("02").await, 1);
    let message = bed.world.queue.take().unwrap();
    let first = message.job;
    let worker = bed.process().await;
    let message = kill_ten(&bed, &worker, message, at(Step::Batch, 1, Fault::Die(When::Before))).await;
    // While the job is open, the rule does not start.
    assert_eq!(next_night("03").await, 0);
    worker.work(&message).await.unwrap();
    assert_eq!(bed.job(first).await.state, State::Failed);
    assert_eq!(next_night("04").await, 1);
    bed.world.work().await.unwrap();
    let (jobs, open) = (bed.world.get("jobs?count=2", ADA_TOKEN).await.unwrap().response(), bed.is_open(first).await);
    assert_eq!((&jobs[0]["state"], &jobs[0]["rule"], open), (&json!("done"), &json!("nightly"), false));
}

/// Returns the plan in which a bus panics for the events of some jobs.
fn panic_for(poison: impl IntoIterator<Item = JobId>) -> FaultPlan {
    let poison: HashSet<String> = poison.into_iter().map(|job| job.to_string()).collect();
    let is_poison = move |event: &Call| event.body["JobId"].as_str().is_some_and(|job| poison.contains(job));
    Calls::matching(is_poison).meet(Fault::Panic)
}

#[tokio::test]
async fn panicking_message_is_reported_and_other_messages_of_its_event_succeed() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await.publishing_on(&bus);
    let (poison, other) = (bed.enqueue().await, bed.enqueue().await);
    bus.inject(panic_for([poison]));
    let messages: Vec<Message> = std::iter::from_fn(|| bed.world.queue.take()).collect();
    let record = |message: &Message| {
        json!({"messageId": message.job, "receiptHandle": "handle", "body": serde_json::to_string(message).unwrap(),
            "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-central-1"})
    };
    let event = json!({"Records": messages.iter().map(record).collect::<Vec<_>>()});
    let stop_at = Instant::now() + Duration::from_secs(600);
    let response =
        bulk_worker::handle(bed.world.jobs(), serde_json::from_value(event).unwrap(), stop_at).await.unwrap();
    let named = serde_json::to_value(response).unwrap()["batchItemFailures"].clone();
    assert_eq!(named, json!([{"itemIdentifier": poison}]));
    assert!(!bed.is_open(other).await);
}

#[tokio::test]
async fn job_that_kills_every_sweep_is_closed_and_blocks_no_other_job() {
    let bus = TestBus::default();
    let mut events = bus.reader();
    let bed = Bed::new(1).await.publishing_on(&bus);
    let poison = bed.enqueue().await;
    bus.inject(panic_for([poison]));
    assert!(matches!(bed.world.work().await, Err(WorkError::Panicked(_))));
    for number in 1..=MAX_TRIES {
        // Another job needs the same sweep.
        let other = bed.enqueue().await;
        bed.world.queue.clear();
        bed.pass(MESSAGE_DEADLINE_MILLIS);
        assert_eq!(bed.sweep().await, 1, "sweep {number}");
        bed.world.work().await.unwrap();
        assert_eq!(events.next().await.unwrap().job_id, other);
        assert!(bed.is_open(poison).await, "sweep {number}");
    }
    bed.pass(RETRY_MILLIS);
    bed.sweep().await;
    assert!(!bed.is_open(poison).await);
    assert_eq!(bed.job(poison).await.state, State::Done);
}

#[tokio::test]
async fn job_whose_closing_kills_the_sweep_fails_without_counts() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    // The worker ends the shard and dies before it closes the job.
    die(&worker, &message, at(Step::End, 1, Fault::Die(When::After))).await;
    let sweeper = bed.process().await;
    let shards = format!("{}#J#{id}", bed.portal);
    let mut sweeps = 0;
    while bed.job(id).await.state == State::Running {
        sweeps += 1;
        assert!(sweeps <= MAX_TRIES + 1, "the job stays open");
        bed.pass(LEASE_MILLIS.max(RETRY_MILLIS));
        let shards = shards.clone();
        sweeper.proxy.clear();
        let reads_shards = Calls::matching(move |call| call.body.to_string().contains(&shards));
        sweeper.proxy.inject(reads_shards.meet(Fault::Die(When::Before)));
        // A dead sweeper may return an error.
        sweeper.jobs.sweep(Abandoned::Expired, &Deadline::never()).await.unwrap_or_default();
    }
    assert_eq!(sweeps, MAX_TRIES + 1);
    let job = bed.job(id).await;
    assert!(job.is_over() && job.error.as_deref().is_some_and(|error| error.contains("counts are missing")), "{job:?}");
    // The next sweep closes the job, and its changes can still be undone.
    bed.sweep().await;
    assert!(!bed.is_open(id).await);
    assert_eq!(bed.undone(id).await.counts.updated, bed.to_change().len() as u64);
    bed.check_restored().await;
}

#[tokio::test]
async fn workers_survive_more_panics_than_there_are_workers() {
    let bus = TestBus::default();
    let mut events = bus.reader();
    let (queue, messages) = queue();
    let bed = Bed::new(1).await.publishing_on(&bus).with(|jobs| Jobs { queue: Arc::new(queue), ..jobs });
    let mut poison = Vec::new();
    for _ in 0..=WORKERS {
        poison.push(bed.enqueue().await);
    }
    bus.inject(panic_for(poison));
    // The first sweep panics too.
    bed.world.clock.inject(Calls::all().meet(Fault::Panic));
    let workers = Workers::start(bed.world.jobs(), messages, Abandoned::All).await.unwrap();
    bed.world.clock.clear();
    let other = bed.enqueue().await;
    assert_eq!(events.next().await.unwrap().job_id, other);
    workers.stop().await;
}
