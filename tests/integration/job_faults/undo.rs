//! Undo.

use std::collections::BTreeSet;

use jobs::Worked;
use models::job::Counts;
use serde_json::{Value, json};
use tests::faults::{Fault, Gate, When};

use super::bed::{Bed, for_each_death, target};
use super::steps::{Step, calls_of, written_by};
use crate::portal::{ADA_TOKEN, MIKE, SAM, access_and_writer, portal, private};

#[tokio::test]
async fn undo_keeps_changes_made_before_it_and_while_it_runs() {
    // The worker survives, or dies after it found the late conflict.
    for dies in [None, Some(Step::Void), Some(Step::Chunk), Some(Step::Progress)] {
        let bed = Bed::new(1).await;
        let id = bed.applied().await;
        let early = bed.changes(id).await.last().unwrap().contact.get();
        let late = bed.changes(id).await[0].contact.get();
        bed.set(early, &[SAM]).await;
        let undo = bed.undo(id).await;
        let message = bed.world.queue.take().unwrap();
        bed.work_while_set(&message, late, dies).await;
        bed.recover().await;
        bed.check_undone(undo, &[early, late]).await;
        let shown = bed.world.get(&format!("jobs/{undo}/changes"), ADA_TOKEN).await.unwrap().response();
        let conflict = |change: &&Value| change["conflict"] == json!(true);
        assert_eq!(shown.as_array().unwrap().iter().filter(conflict).count(), 2, "{shown}");
    }
}

#[tokio::test]
async fn another_worker_finishes_an_undo_after_a_death_at_any_call() {
    for_each_death(15, async |number, when| {
        let bed = Bed::new(1).await;
        let id = bed.applied().await;
        let conflict = bed.changes(id).await[1].contact.get();
        bed.set(conflict, &[SAM]).await;
        let undo = bed.undo(id).await;
        let died = bed.finish_after_death(number, when).await;
        bed.check_undone(undo, &[conflict]).await;
        died
    })
    .await;
}

#[tokio::test]
async fn undo_with_lost_answers_finds_no_conflict_with_itself() {
    let bed = Bed::new(1).await;
    let id = bed.applied().await;
    let undo = bed.undo(id).await;
    let worker = bed.process().await;
    let mut held = BTreeSet::new();
    let first_write = calls_of(Step::Batch).and(move |call| held.insert(written_by(call)));
    worker.proxy.inject(first_write.meet(Fault::InternalError(When::After)));
    let message = bed.world.queue.take().unwrap();
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_undone(undo, &[]).await;
}

#[tokio::test]
async fn undo_of_an_undo_applies_the_job_again() {
    let bed = Bed::new(2).await;
    let id = bed.applied().await;
    let undo = bed.undone(id).await;
    bed.check_restored().await;
    let again = bed.undone(undo.id).await;
    assert_eq!(again.counts.updated, bed.to_change().len() as u64);
    assert_eq!(bed.written(again.id).await, bed.to_change());
    assert!(bed.states().await.values().all(|state| state.access == target()));
    // The first job is already undone: nothing remains to restore.
    let nothing = bed.undone(id).await;
    assert_eq!((nothing.counts.updated, nothing.counts.conflicts), (0, bed.to_change().len() as u64));
    bed.undone(again.id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn single_change_can_be_undone() {
    for contact in [5, 6] {
        let bed = Bed::new(2).await;
        let set = bed.set(contact, &[SAM]).await;
        let undo = bed.undone(set).await;
        assert_eq!(undo.counts, Counts { matched: 1, updated: 1, ..Counts::default() });
        bed.check_restored().await;
        let redone = bed.undone(undo.id).await;
        assert_eq!(access_and_writer(&bed.states().await[&contact]), (private(&[SAM]), Some(redone.id)));

        let (first, second) = (bed.set(contact, &[MIKE, SAM]).await, bed.set(contact, &[SAM]).await);
        let undo = bed.undone(first).await;
        assert_eq!(undo.counts, Counts { matched: 1, conflicts: 1, ..Counts::default() });
        assert_eq!(bed.states().await[&contact].job(), Some(second));
    }
}

#[tokio::test]
async fn undo_restores_no_removed_contact() {
    let bed = Bed::new(1).await;
    let id = bed.applied().await;
    // Before the job, contact 5 had no record and contact 6 had one.
    let removed: String = [5, 6].map(|id| format!("{}\n", json!({"delete": {"contact": id}}))).concat();
    bed.world.import(&format!("{}\n{removed}", portal("acme", "Europe/Riga", 1))).await.unwrap();
    let undo = bed.undone(id).await;
    let changed = bed.to_change().len() as u64;
    let expected = Counts { matched: changed, updated: changed - 2, conflicts: 1, unchanged: 1, ..Counts::default() };
    assert_eq!(undo.counts, expected);
    let states = bed.states().await;
    assert!(!states.contains_key(&5) && !states.contains_key(&6), "{states:?}");
    let shown = bed.world.get(&format!("jobs/{}/changes", undo.id), ADA_TOKEN).await.unwrap();
    assert_eq!(shown.status, 200, "{}", shown.text);
}

#[tokio::test]
async fn undo_does_not_write_a_contact_removed_while_it_runs() {
    let bed = Bed::new(1).await;
    let id = bed.applied().await;
    let undo = bed.undo(id).await;
    let message = bed.world.queue.take().unwrap();
    let worker = bed.process().await;
    let gate = Gate::new();
    let write = calls_of(Step::Batch).and(|call| written_by(call).contains(&6));
    worker.proxy.inject(write.meet(Fault::Hold(When::Before, gate.clone())));
    let (worked, ()) = tokio::join!(worker.work(&message), async {
        gate.reached().await;
        let line = json!({"delete": {"contact": 6}});
        bed.world.import(&format!("{}\n{line}\n", portal("acme", "Europe/Riga", 1))).await.unwrap();
        gate.open();
    });
    assert_eq!(worked.unwrap(), Worked::ShardDone);
    assert!(!bed.states().await.contains_key(&6));
    let job = bed.job(undo).await;
    let changed = bed.to_change().len() as u64;
    assert_eq!((job.counts.updated, job.counts.conflicts), (changed - 1, 1));
}
