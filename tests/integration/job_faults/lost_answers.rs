//! Calls whose answers are lost.

use std::collections::BTreeSet;

use jobs::{Deadline, Worked};
use models::job::{Counts, State};
use tests::faults::{Fault, When};

use super::bed::{Bed, is_dead};
use super::steps::{Step, at, calls_of};

#[tokio::test]
async fn call_with_a_lost_answer_is_repeated_without_harm() {
    for lost in [Step::Claim, Step::Start, Step::Batch, Step::Progress, Step::End, Step::Finish, Step::Close] {
        let bed = Bed::new(2).await;
        let id = bed.enqueue().await;
        let worker = bed.process().await;
        worker.proxy.inject(at(lost, 1, Fault::InternalError(When::After)));
        while let Some(message) = bed.world.queue.take() {
            assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone, "{lost:?}");
        }
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn chunk_write_with_a_lost_answer_is_finished_from_the_chunk() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.inject(at(Step::Chunk, 2, Fault::InternalError(When::After)));
    // The worker cannot distinguish its own chunk from a chunk of another worker, so the worker requeues the shard.
    assert_eq!(worker.work(&message).await.unwrap(), Worked::Requeued);
    assert!(bed.written(id).await.len() < bed.changes(id).await.len());
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn shard_is_closed_although_every_answer_is_lost() {
    // Every attempt reaches the table and none is answered.
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.inject(calls_of(Step::End).meet(Fault::InternalError(When::After)));
    assert!(is_dead(&worker.work(&message).await.unwrap_err()));
    worker.proxy.clear();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::Nothing);
    bed.check_done(id).await;
}

#[tokio::test]
async fn cancel_takes_effect_although_its_answer_is_lost() {
    for (lost, when) in [(Step::Cancel, When::After), (Step::Cancel, When::Before), (Step::CancelShard, When::After)] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let canceller = bed.process().await;
        canceller.proxy.inject(at(lost, 1, Fault::InternalError(when)));
        assert!(canceller.jobs.cancel(&bed.portal, &bed.job(id).await).await.unwrap(), "{lost:?}");
        assert_eq!(bed.world.jobs().work(&message, &Deadline::never()).await.unwrap(), Worked::ShardDone);
        let job = bed.job(id).await;
        assert_eq!((job.state, job.is_over(), job.counts), (State::Cancelled, true, Counts::default()), "{lost:?}");
    }
}

#[tokio::test]
async fn cancel_takes_effect_although_it_fails_before_marking_shards() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let canceller = bed.process().await;
    canceller.proxy.inject(at(Step::CancelShard, 1, Fault::Die(When::Before)));
    canceller.jobs.cancel(&bed.portal, &bed.job(id).await).await.unwrap_err();
    bed.world.work().await.unwrap();
    let job = bed.job(id).await;
    assert_eq!((job.state, job.is_over(), job.counts), (State::Cancelled, true, Counts::default()));
    assert_eq!(bed.written(id).await, BTreeSet::new());
}
