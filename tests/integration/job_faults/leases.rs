//! Workers and their leases.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use jobs::{Deadline, Worked};
use models::limits::LEASE_MILLIS;
use models::values::id::LeaseOwner;
use store::jobs::{Claim, Lease};
use tests::faults::{Calls, Fault, Gate, Operation, When};

use super::bed::Bed;
use super::steps::{Step, at};

#[tokio::test]
async fn second_worker_takes_over_only_after_the_lease_expired() {
    // The first worker has written a chunk and is writing its records.
    for held in [Step::Batch, Step::Chunk] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (slow, other) = (bed.process().await, bed.process().await);
        let gate = Gate::new();
        slow.proxy.inject(at(held, 2, Fault::Hold(When::Before, gate.clone())));
        let (first, ()) = tokio::join!(slow.work(&message), async {
            gate.reached().await;
            let before = bed.states().await;
            assert_eq!(other.work(&message).await.unwrap(), Worked::Nothing);
            bed.pass(LEASE_MILLIS - 1);
            assert_eq!(other.work(&message).await.unwrap(), Worked::Nothing);
            assert_eq!(bed.states().await, before);
            bed.pass(1);
            assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
            bed.check_done(id).await;
            gate.open();
        });
        assert_eq!(first.unwrap(), Worked::Nothing);
        slow.proxy.idle().await;
        bed.check_done(id).await;
        bed.undone(id).await;
        bed.check_restored().await;
    }
}

#[tokio::test]
async fn changes_between_a_takeover_and_its_first_read_are_counted_once() {
    for page in 1..=3 {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (slow, other) = (bed.process().await, bed.process().await);
        let (before_chunk, before_reading) = (Gate::new(), Gate::new());
        slow.proxy.inject(at(Step::Chunk, page, Fault::Hold(When::Before, before_chunk.clone())));
        let first_read = Calls::of(Operation::BatchGetItem).nth(1);
        other.proxy.inject(first_read.meet(Fault::Hold(When::Before, before_reading.clone())));
        let one = async {
            let worked = slow.work(&message).await.unwrap();
            before_reading.open();
            worked
        };
        let two = async {
            before_chunk.reached().await;
            bed.pass(LEASE_MILLIS);
            other.work(&message).await.unwrap()
        };
        let opening = async {
            before_reading.reached().await;
            before_chunk.open();
        };
        let (first, second, ()) = tokio::join!(one, two, opening);
        // The first worker lost its lease. The second worker first had to finish a chunk, and requeued the shard.
        assert_eq!((first, second), (Worked::Nothing, Worked::Requeued), "page {page}");
        bed.world.work().await.unwrap();
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn claim_returns_held_taken_or_done() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (store, now) = (&bed.world.store, bed.world.app.now());
    let later = now + SignedDuration::from_secs(1);
    let lease = |owner, until| Lease { owner: LeaseOwner::from_u128(owner), until };
    let claim =
        async |owner, until, now| store.claim_shard(&bed.portal, id, 0, &lease(owner, until), now).await.unwrap();
    assert!(matches!(claim(1, later, now).await, Claim::Claimed(state) if state.tries == 1));
    assert_eq!(claim(2, later, now).await, Claim::Held);
    // A repeated claim, as after a lost answer, returns the same lease.
    assert!(matches!(claim(1, later, now).await, Claim::Claimed(_)));
    assert!(
        matches!(claim(2, later, later).await, Claim::Claimed(state) if state.owner == Some(LeaseOwner::from_u128(2)))
    );
    bed.pass(1000);
    bed.world.jobs().work(&message, &Deadline::never()).await.unwrap();
    bed.check_done(id).await;
    assert_eq!(claim(3, later, later).await, Claim::Done);
}

#[tokio::test]
async fn worker_notices_a_lost_lease_when_it_records_progress() {
    for which in [1, 2] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (slow, other) = (bed.process().await, bed.process().await);
        let gate = Gate::new();
        slow.proxy.inject(at(Step::Progress, which, Fault::Hold(When::Before, gate.clone())));
        let (first, ()) = tokio::join!(slow.work(&message), async {
            gate.reached().await;
            bed.pass(LEASE_MILLIS);
            let written = other.records();
            assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
            // Records of the first worker are not written again.
            let written: BTreeSet<i32> = written.lock().unwrap().iter().copied().collect();
            assert!(!written.is_empty() && written.len() < bed.to_change().len(), "{written:?}");
            gate.open();
        });
        assert_eq!(first.unwrap(), Worked::Nothing);
        let calls = slow.proxy.calls();
        bed.check_done(id).await;
        assert_eq!(slow.proxy.calls(), calls);
    }
}

#[tokio::test]
async fn worker_that_lost_its_lease_closes_the_shard_without_harm() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (slow, other) = (bed.process().await, bed.process().await);
    let gate = Gate::new();
    slow.proxy.inject(at(Step::End, 1, Fault::Hold(When::Before, gate.clone())));
    let (first, ()) = tokio::join!(slow.work(&message), async {
        gate.reached().await;
        bed.pass(LEASE_MILLIS);
        assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
        gate.open();
    });
    // The first worker finds the shard closed with the same result.
    assert_eq!(first.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_changes_nothing_after_a_takeover() {
    // The second worker is still working when the first worker continues.
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (slow, other) = (bed.process().await, bed.process().await);
    let (first, second) = (Gate::new(), Gate::new());
    slow.proxy.inject(at(Step::Batch, 1, Fault::Hold(When::Before, first.clone())));
    other.proxy.inject(at(Step::Progress, 1, Fault::Hold(When::Before, second.clone())));
    let one = async {
        let worked = slow.work(&message).await.unwrap();
        second.open();
        worked
    };
    let two = async {
        first.reached().await;
        bed.pass(LEASE_MILLIS);
        other.work(&message).await.unwrap()
    };
    let opening = async {
        second.reached().await;
        first.open();
    };
    assert_eq!(tokio::join!(one, two, opening), (Worked::Nothing, Worked::ShardDone, ()));
    bed.check_done(id).await;
}
