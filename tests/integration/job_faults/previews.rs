//! Previews and their runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jobs::{Deadline, Worked};
use models::limits::{LEASE_MILLIS, MESSAGE_DEADLINE_MILLIS};
use store::keys::Key;
use tests::faults::{Call, Calls, Fault, Operation, When};

use super::bed::{Bed, Process, for_each_death};
use super::steps::{Step, at, calls_of, written_by};
use crate::portal::SAM;

#[tokio::test]
async fn another_worker_finishes_a_preview_after_a_death_at_any_call() {
    for_each_death(15, async |number, when| {
        let bed = Bed::new(1).await;
        let preview = bed.preview().await;
        let died = bed.finish_after_death(number, when).await;
        bed.check_previewed(preview).await;
        died
    })
    .await;
}

#[tokio::test]
async fn another_worker_finishes_the_run_of_a_preview_after_a_death_at_any_call() {
    for_each_death(15, async |number, when| {
        let bed = Bed::new(1).await;
        let preview = bed.preview().await;
        bed.world.work().await.unwrap();
        let conflict = bed.changes(preview).await[1].contact.get();
        bed.set(conflict, &[SAM]).await;
        let run = bed.apply(preview).await;
        let died = bed.finish_after_death(number, when).await;
        bed.check_applied(run, &[conflict]).await;
        died
    })
    .await;
}

#[tokio::test]
async fn contact_changed_while_the_run_of_a_preview_writes_is_a_conflict() {
    // The worker survives, or dies after it found the conflict.
    for dies in [None, Some(Step::Void), Some(Step::Chunk), Some(Step::Progress)] {
        let bed = Bed::new(1).await;
        let preview = bed.preview().await;
        bed.world.work().await.unwrap();
        let late = bed.changes(preview).await[0].contact.get();
        let run = bed.apply(preview).await;
        let message = bed.world.queue.take().unwrap();
        bed.work_while_set(&message, late, dies).await;
        bed.recover().await;
        bed.check_applied(run, &[late]).await;
    }
}

#[tokio::test]
async fn run_of_a_preview_with_lost_answers_finds_no_conflict_with_itself() {
    let bed = Bed::new(1).await;
    let preview = bed.preview().await;
    bed.world.work().await.unwrap();
    let run = bed.apply(preview).await;
    let worker = bed.process().await;
    let mut held = BTreeSet::new();
    let first_write = calls_of(Step::Batch).and(move |call| held.insert(written_by(call)));
    worker.proxy.inject(first_write.meet(Fault::InternalError(When::After)));
    assert_eq!(worker.work(&bed.world.queue.take().unwrap()).await.unwrap(), Worked::ShardDone);
    bed.check_applied(run, &[]).await;
}

/// Counts the chunks that a process reads.
fn chunk_reads(process: &Process) -> Arc<AtomicU32> {
    let reads = Arc::new(AtomicU32::new(0));
    let counter = reads.clone();
    process.proxy.observe(move |call| {
        let is_chunk = |(pk, sk): (String, String)| matches!(Key::decode(&pk, &sk), Some(Key::Chunk(..)));
        if call.operation == Operation::GetItem && call.keys().into_iter().any(is_chunk) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    reads
}

#[tokio::test]
async fn worker_reads_only_the_chunks_after_the_stored_effect() {
    let bed = Bed::new(1).await;
    let preview = bed.preview().await;
    let message = bed.world.queue.take().unwrap();
    // The first worker ends its turn after a page, and the second worker dies after the next page.
    let turn = Deadline::never().with_turn(Duration::ZERO);
    assert_eq!(bed.world.jobs().work(&message, &turn).await.unwrap(), Worked::Requeued);
    let stored = || async { bed.world.store.effect(&bed.portal, preview, 0).await.unwrap().chunks };
    assert_eq!((bed.job(preview).await.effect, stored().await), (None, 1));
    let dead = bed.process().await;
    dead.proxy.inject(at(Step::Chunk, 2, Fault::Die(When::After)));
    dead.work(&bed.world.queue.take().unwrap()).await.unwrap_err();
    assert_eq!(stored().await, 1);
    // The third worker looks for the last chunk, adopts it, and reads the two chunks after the stored effect.
    bed.pass(LEASE_MILLIS.max(MESSAGE_DEADLINE_MILLIS));
    bed.sweep().await;
    let worker = bed.process().await;
    let reads = chunk_reads(&worker);
    assert_eq!(worker.work(&bed.world.queue.take().unwrap()).await.unwrap(), Worked::ShardDone);
    assert_eq!((stored().await, reads.load(Ordering::Relaxed)), (3, 2 + 2));
    bed.check_previewed(preview).await;
}

#[tokio::test]
async fn lost_effects_are_made_again_from_the_chunks() {
    let bed = Bed::new(2).await;
    let preview = bed.preview().await;
    // No sum is ever stored.
    let worker = bed.process().await;
    let is_effect = |call: &Call| {
        let keys = call.keys().into_iter().filter_map(|(pk, sk)| Key::decode(&pk, &sk));
        call.writes() && keys.into_iter().any(|key| matches!(key, Key::JobEffect(..)))
    };
    worker.proxy.inject(Calls::matching(is_effect).meet(Fault::Refuse));
    while let Some(message) = bed.world.queue.take() {
        worker.work(&message).await.unwrap();
    }
    assert_eq!(bed.world.store.effect(&bed.portal, preview, 0).await.unwrap().chunks, 0);
    bed.check_previewed(preview).await;
}
