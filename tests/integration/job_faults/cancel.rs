//! Cancelled jobs.

use jobs::Worked;
use models::job::{JobId, State};
use serde_json::{Value, json};
use tests::faults::{Fault, Gate, When};

use super::bed::{Bed, is_dead};
use super::steps::{Step, at};

/// Checks that a cancelled job has ended, that its counts, log and writes agree, and that it can be undone.
pub(crate) async fn check_cancelled(bed: &Bed, id: JobId, matched: u64) {
    let (job, written) = (bed.job(id).await, bed.written(id).await);
    assert_eq!((job.state, job.error.as_deref(), job.counts.matched), (State::Cancelled, None, matched));
    assert!(job.is_over() && job.percent < 100 && !bed.is_open(id).await, "{job:?}");
    assert_eq!((job.counts.updated, job.counts.failed), (written.len() as u64, 0));
    bed.check_log(id, &written).await;
    let undo = bed.undone(id).await;
    assert_eq!((undo.counts.updated, undo.counts.unchanged), (written.len() as u64, 0));
    bed.check_restored().await;
}

#[tokio::test]
async fn cancelled_job_stops_after_its_current_page() {
    for held in [Step::Chunk, Step::Batch, Step::Progress] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let worker = bed.process().await;
        let gate = Gate::new();
        worker.proxy.inject(at(held, 2, Fault::Hold(When::Before, gate.clone())));
        let (worked, ()) = tokio::join!(worker.work(&message), async {
            gate.reached().await;
            let shown = bed.cancel(id).await.json();
            assert_eq!(
                (&shown["response"]["state"], &shown["response"]["finished"]),
                (&json!("cancelled"), &Value::Null)
            );
            gate.open();
        });
        assert_eq!(worked.unwrap(), Worked::ShardDone);
        bed.world.work().await.unwrap();
        check_cancelled(&bed, id, 8).await;
        assert_eq!(bed.cancel(id).await.status, 409);
    }
}

#[tokio::test]
async fn job_cancelled_in_the_queue_changes_nothing() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    assert_eq!(bed.cancel(id).await.status, 200);
    assert!(!bed.job(id).await.is_over());
    // A cancel may be repeated until the job has ended.
    assert_eq!(bed.cancel(id).await.status, 200);
    bed.world.work().await.unwrap();
    check_cancelled(&bed, id, 0).await;
    assert_eq!(bed.states().await.len(), bed.originals.len());
}

#[tokio::test]
async fn sweep_closes_a_cancelled_job_whose_worker_died() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let dead = bed.process().await;
    dead.proxy.inject(at(Step::Batch, 2, Fault::Die(When::Before)));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    assert_eq!(bed.cancel(id).await.status, 200);
    // The dead worker still holds its lease.
    bed.world.work().await.unwrap();
    assert!(!bed.job(id).await.is_over());
    bed.recover().await;
    check_cancelled(&bed, id, 8).await;
}

#[tokio::test]
async fn job_cancelled_after_its_last_write_ends_as_cancelled() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let gate = Gate::new();
    worker.proxy.inject(at(Step::Finish, 1, Fault::Hold(When::Before, gate.clone())));
    let (worked, ()) = tokio::join!(worker.work(&message), async {
        gate.reached().await;
        assert_eq!(bed.cancel(id).await.status, 200);
        gate.open();
    });
    assert_eq!(worked.unwrap(), Worked::ShardDone);
    bed.world.work().await.unwrap();
    let job = bed.job(id).await;
    assert_eq!((job.state, job.is_over(), job.counts.updated), (State::Cancelled, true, bed.to_change().len() as u64));
    assert!(!bed.is_open(id).await);
}
