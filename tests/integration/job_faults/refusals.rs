//! A table that refuses or throttles writes.

use jobs::{WorkError, Worked};
use models::job::{Counts, State};
use models::limits::{MAX_TRIES, RETRY_MILLIS};
use store::StoreError;
use tests::faults::{Capacity, Fault};

use super::bed::Bed;
use super::steps::{Step, calls_of, refusing};

/// Returns whether a contact belongs to the second of two shards.
fn is_odd(contact: i32) -> bool {
    contact % 2 == 1
}

#[tokio::test]
async fn permanently_refused_shard_is_given_up_and_other_shards_finish() {
    // The table refuses all contacts of a page, or one contact.
    for (refused, failed) in [(is_odd as fn(i32) -> bool, 4), (|contact| contact == 3, 1)] {
        let bed = Bed::new(2).await;
        let id = bed.enqueue().await;
        let worker = bed.process().await;
        worker.proxy.inject(refusing(refused));
        let (even, odd) = (bed.world.queue.take().unwrap(), bed.world.queue.take().unwrap());
        for tried in 1..=MAX_TRIES {
            let worked = worker.work(&odd).await;
            if tried < MAX_TRIES {
                assert!(matches!(worked, Err(WorkError::Store(StoreError::Refused { .. }))), "{tried}: {worked:?}");
            } else {
                assert_eq!(worked.unwrap(), Worked::ShardDone);
            }
        }
        assert_eq!(bed.job(id).await.state, State::Running);
        assert_eq!(worker.work(&even).await.unwrap(), Worked::ShardDone);

        let job = bed.job(id).await;
        assert_eq!(job.state, State::Failed);
        assert!(job.error.as_deref().is_some_and(|error| error.contains("refused some changes")), "{job:?}");
        assert!(job.is_over() && job.percent < 100 && !bed.is_open(id).await, "{job:?}");
        let written = bed.written(id).await;
        assert!(bed.to_change().into_iter().filter(|number| !is_odd(*number)).all(|number| written.contains(&number)));
        assert_eq!((job.counts.failed, job.counts.updated), (failed, written.len() as u64));
        let Counts { matched, updated, unchanged, failed, .. } = job.counts;
        assert_eq!(matched, updated + unchanged + failed);

        // The changes hold no contact that the table refused.
        assert_eq!(bed.changes(id).await.len() as u64, updated);
        let undo = bed.undone(id).await;
        assert_eq!(undo.counts, Counts { matched: updated, updated, ..Counts::default() });
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn progress_resets_the_tries_of_a_shard() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    for refused in [|contact| [1, 2, 3, 12].contains(&contact), |contact| [5, 6, 7, 4].contains(&contact)] {
        worker.proxy.inject(refusing(refused));
        for _ in 1..MAX_TRIES {
            worker.work(&message).await.unwrap_err();
        }
    }
    worker.proxy.clear();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn temporarily_throttled_shard_finishes() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.inject(calls_of(Step::Batch).first(6).meet(Fault::Throttle(Capacity::Table)));
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn sweep_requeues_a_failed_shard_after_the_retry_delay() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.inject(refusing(|_| true));
    worker.work(&message).await.unwrap_err();
    bed.pass(RETRY_MILLIS);
    assert_eq!((bed.sweep().await, bed.world.queue.waiting()), (1, vec![message]));
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}
