//! The limit `maxAffected`: the job counts before it writes.

use jobs::{Deadline, Worked};
use models::job::{Counts, JobId, State};
use models::limits::MAX_TRIES;
use tests::faults::{Calls, Fault, Gate, When};

use super::bed::Bed;
use super::cancel::check_cancelled;
use super::steps::{Step, at, calls_of};

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
    let mut number = 0;
    loop {
        number += 1;
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
            break;
        }
    }
    assert!(number > 20, "{number} calls");
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
