//! The limit `maxAffected`: the job counts before it writes.

use jobs::{Applied, Deadline, RunError, Worked};
use models::job::{Counts, JobId, State};
use models::limits::MAX_TRIES;
use tests::cases;
use tests::faults::{Calls, Fault, Gate, When};

use super::bed::Bed;
use super::cancel::check_cancelled;
use super::steps::{Step, at, calls_of};
use crate::portal::SAM;

/// Checks that the job exceeded its limit and wrote nothing.
async fn check_too_many(bed: &Bed, id: JobId) {
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts, job.percent), (State::Failed, Counts::default(), 0), "{job:?}");
    assert!(job.is_over() && job.started.is_some() && !bed.is_open(id).await, "{job:?}");
    let would = format!("{} contacts would be", bed.to_change().len());
    assert!(
        job.error.as_deref().is_some_and(|error| error.contains(&would) && error.contains("maxAffected")),
        "{job:?}"
    );
    assert_eq!((bed.states().await, bed.changes(id).await), (bed.originals.clone(), vec![]));
    assert_eq!(bed.undone(id).await.counts, Counts::default());
}

#[tokio::test]
async fn job_over_its_limit_fails_and_writes_nothing() {
    for shards in [1, 2] {
        let bed = Bed::new(shards).await;
        for limit in [bed.to_change().len() as u64 - 1, 0] {
            let id = bed.enqueue_at_most(Some(limit)).await;
            bed.world.work().await.unwrap();
            check_too_many(&bed, id).await;
        }
    }
}

#[tokio::test]
async fn job_within_its_limit_counts_before_it_writes() {
    for shards in [1, 2] {
        let bed = Bed::new(shards).await;
        let id = bed.enqueue_at_most(Some(bed.to_change().len() as u64)).await;
        let jobs = bed.world.jobs();
        for number in 0..shards {
            assert_eq!(bed.job(id).await.state, if number == 0 { State::Queued } else { State::Running });
            jobs.work(&bed.world.queue.take().unwrap(), &Deadline::never()).await.unwrap();
            // Nothing is written until all shards are counted.
            assert_eq!(bed.states().await, bed.originals);
        }
        bed.world.work().await.unwrap();
        bed.check_done(id).await;
        bed.undone(id).await;
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn job_keeps_its_limit_after_a_death_at_any_call() {
    for number in cases::calls() {
        let over = number % 3 == 0;
        let bed = Bed::new(2).await;
        let id = bed.enqueue_at_most(Some(bed.to_change().len() as u64 - u64::from(over))).await;
        let dead = bed.process().await;
        let when = if number % 2 == 0 { When::Before } else { When::After };
        dead.proxy.inject(Calls::numbered(number).meet(Fault::Die(when)));
        while let Some(message) = bed.world.queue.take()
            && dead.work(&message).await.is_ok()
        {}
        bed.recover().await;
        if over {
            check_too_many(&bed, id).await;
        } else {
            bed.check_done(id).await;
        }
        // A job over its limit makes fewer calls.
        if !over && !dead.proxy.is_dead() {
            assert!(number > 20, "{number} calls");
            return;
        }
    }
}

/// Checks that a job stopped at its limit, that its record counts the contacts that the job wrote, and that an undo
/// restores these contacts.
async fn check_stopped(bed: &Bed, id: JobId, limit: u64) {
    let (job, written) = (bed.job(id).await, bed.written(id).await);
    assert_eq!((job.state, job.counts.updated), (State::Failed, written.len() as u64), "{job:?}");
    assert!(job.counts.updated <= limit && job.is_over() && !bed.is_open(id).await, "{job:?}");
    assert!(
        job.error.as_deref().is_some_and(|error| error.contains(&format!("maxAffected allows {limit}"))),
        "{job:?}"
    );
    assert_eq!(bed.changes(id).await.len(), written.len());
    assert_eq!(bed.undone(id).await.counts.updated, written.len() as u64);
    assert_eq!(bed.written(id).await, [].into());
}

/// Returns a contact that matches the target of the jobs at first.
fn matching(bed: &Bed) -> i32 {
    let numbers = bed.numbers().map(|number| i32::try_from(number).unwrap());
    numbers.filter(|number| bed.original(*number).access == super::bed::target()).last().unwrap()
}

#[tokio::test]
async fn job_never_changes_more_contacts_than_its_limit_although_others_change_contacts_after_the_count() {
    for shards in [1, 2] {
        for additional in [0, 1] {
            let bed = Bed::new(shards).await;
            let counted = bed.to_change().len() as u64;
            // A shard may use an equal part of what the limit exceeds the count by.
            let limit = counted + additional * u64::from(shards);
            let id = bed.enqueue_at_most(Some(limit)).await;
            for _ in 0..shards {
                bed.world.jobs().work(&bed.world.queue.take().unwrap(), &Deadline::never()).await.unwrap();
            }
            bed.set(matching(&bed), &[SAM]).await;
            bed.world.work().await.unwrap();
            if additional == 0 {
                check_stopped(&bed, id, limit).await;
            } else {
                let job = bed.job(id).await;
                assert_eq!((job.state, job.counts.updated), (State::Done, counted + 1), "{job:?}");
            }
        }
    }
}

#[tokio::test]
async fn synchronous_run_never_changes_more_contacts_than_its_limit() {
    for shards in [1, 2] {
        for is_first in [true, false] {
            let bed = Bed::new(shards).await;
            if !is_first {
                bed.applied().await;
            }
            let before = bed.states().await;
            let limit = if is_first { bed.to_change().len() as u64 } else { 0 };
            let run = bed.run(super::bed::target(), Some(limit)).await;
            let (process, gate) = (bed.process().await, Gate::new());
            // The first write records the job, after the count.
            process.proxy.inject(Calls::writes().nth(1).meet(Fault::Hold(When::Before, gate.clone())));
            let id = process.jobs.new_id();
            let deadline = Deadline::never();
            let (applied, ()) = tokio::join!(run.apply(&process.jobs, id, &deadline), async {
                gate.reached().await;
                bed.set(matching(&bed), &[SAM]).await;
                gate.open();
            });
            if is_first {
                let job = match applied.unwrap() {
                    Applied::Requeued(job) => job,
                    Applied::Completed { job, .. } => panic!("{job:?}"),
                };
                assert_eq!(*job, bed.job(id).await);
            } else {
                assert!(matches!(applied, Err(RunError::TooManyAffected { would_change: 1 })), "{applied:?}");
                let mut states = bed.states().await;
                states.insert(matching(&bed), before[&matching(&bed)].clone());
                assert_eq!(states, before);
            }
            check_stopped(&bed, id, limit).await;
            assert_eq!(bed.world.queue.waiting(), []);
        }
    }
}

#[tokio::test]
async fn job_cancelled_or_given_up_while_counting_reports_zero_counts() {
    let bed = Bed::new(1).await;
    let id = bed.enqueue_at_most(Some(1000)).await;
    let message = bed.world.queue.take().unwrap();
    let worker = bed.process().await;
    let gate = Gate::new();
    worker.proxy.inject(at(Step::Counted, 1, Fault::Hold(When::Before, gate.clone())));
    let (worked, ()) = tokio::join!(worker.work(&message), async {
        gate.reached().await;
        assert_eq!(bed.cancel(id).await.status, 200);
        gate.open();
    });
    worked.unwrap();
    bed.world.work().await.unwrap();
    check_cancelled(&bed, id, 0).await;

    let id = bed.enqueue_at_most(Some(1000)).await;
    let message = bed.world.queue.take().unwrap();
    worker.proxy.inject(calls_of(Step::Counted).meet(Fault::Refuse));
    for _ in 1..MAX_TRIES {
        worker.work(&message).await.unwrap_err();
    }
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts, bed.written(id).await.len()), (State::Failed, Counts::default(), 0));
}
