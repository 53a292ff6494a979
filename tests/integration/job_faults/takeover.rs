//! A worker that dies, and the worker that takes over.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use jobs::Worked;
use models::job::{Counts, State};
use models::limits::LEASE_MILLIS;
use store::contacts::AccessState;
use store::keys::Key;
use tests::faults::{Fault, Share, When};

use super::bed::{Bed, for_each_death, is_dead, target};
use super::steps::{Step, at};
use crate::portal::{MIKE, SAM, access_and_writer, private};

#[tokio::test]
async fn another_worker_finishes_an_unwritten_chunk() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (dead, other) = (bed.process().await, bed.process().await);
    dead.proxy.inject(at(Step::Batch, 1, Fault::Die(When::Before)));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    assert_eq!(bed.written(id).await, BTreeSet::new());
    // The log already has the changes that are not yet written.
    let chunk: BTreeSet<i32> = bed.changes(id).await.iter().map(|change| change.contact.get()).collect();
    assert!(!chunk.is_empty());

    bed.pass(LEASE_MILLIS);
    let written = other.records();
    assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
    let mut written = written.lock().unwrap().clone();
    assert_eq!(written.iter().take(chunk.len()).copied().collect::<BTreeSet<_>>(), chunk);
    written.sort_unstable();
    assert_eq!(written, bed.to_change().into_iter().collect::<Vec<_>>(), "each contact is written once");
}

#[tokio::test]
async fn takeover_reads_each_chunk_of_later_jobs_once() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (dead, other) = (bed.process().await, bed.process().await);
    dead.proxy.inject(at(Step::Batch, 1, Fault::Die(When::After)));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    let written = bed.written(id).await;
    assert!(written.len() > 1, "{written:?}");
    // Two jobs change every contact again, so only their chunks show that the dead worker wrote its contacts.
    let jobs = bed.world.jobs();
    for managers in [[SAM], [MIKE]] {
        bed.run(private(&managers), None).await.enqueue(jobs, jobs.new_id()).await.unwrap();
        bed.world.work().await.unwrap();
    }
    bed.pass(LEASE_MILLIS);
    let read = Arc::new(Mutex::new(Vec::new()));
    let chunks = read.clone();
    other.proxy.observe(move |call| {
        let keys = call.keys().into_iter().filter(|_| !call.writes()).filter_map(|(pk, sk)| Key::decode(&pk, &sk));
        chunks.lock().unwrap().extend(keys.filter(|key| matches!(key, Key::Chunk(_, job, ..) if *job != id)));
    });
    assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
    let read = read.lock().unwrap().clone();
    let different: HashSet<&Key> = read.iter().collect();
    assert!(different.len() >= 2 && read.len() == different.len(), "{read:?}");
    // The dead worker's contacts keep the access of the last job; the other contacts get the job's access.
    let job = bed.job(id).await;
    assert_eq!((job.state, job.counts.updated), (State::Done, bed.numbers().count() as u64));
    assert_eq!(
        bed.written(id).await,
        bed.numbers().map(|n| i32::try_from(n).unwrap()).filter(|n| !written.contains(n)).collect()
    );
}

#[tokio::test]
async fn another_worker_finishes_a_half_written_chunk() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (dead, other) = (bed.process().await, bed.process().await);
    let half = at(Step::Batch, 2, Fault::Unprocessed(Share::Half));
    dead.proxy.inject(half.and(at(Step::Batch, 3, Fault::Die(When::Before))));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    let (half, chunks) = (bed.written(id).await, bed.changes(id).await.len());
    assert!(half.len() < chunks && half.len() > chunks / 2, "{half:?} of {chunks}");

    bed.pass(LEASE_MILLIS);
    let written = other.records();
    assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
    let mut written = written.lock().unwrap().clone();
    written.sort_unstable();
    assert_eq!(written, bed.to_change().difference(&half).copied().collect::<Vec<_>>());
    bed.undone(id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn written_chunk_without_recorded_progress_is_not_written_again() {
    for which in [1, 2] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (dead, other) = (bed.process().await, bed.process().await);
        dead.proxy.inject(at(Step::Progress, which, Fault::Die(When::Before)));
        assert!(is_dead(&dead.work(&message).await.unwrap_err()));
        let done = bed.written(id).await;
        assert_eq!(done.len(), bed.changes(id).await.len());

        bed.pass(LEASE_MILLIS);
        let written = other.records();
        assert_eq!(other.work(&message).await.unwrap(), Worked::ShardDone);
        bed.check_done(id).await;
        let mut written = written.lock().unwrap().clone();
        written.sort_unstable();
        assert_eq!(written, bed.to_change().difference(&done).copied().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn another_worker_finishes_after_a_death_at_any_call() {
    for_each_death(15, async |number, when| {
        let bed = Bed::new(1).await;
        let id = bed.enqueue().await;
        let died = bed.finish_after_death(number, when).await;
        bed.check_done(id).await;
        bed.undone(id).await;
        bed.check_restored().await;
        died
    })
    .await;
}

#[tokio::test]
async fn takeover_keeps_a_change_made_after_the_dead_workers_chunk() {
    for when in When::BOTH {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let dead = bed.process().await;
        dead.proxy.inject(at(Step::Batch, 1, Fault::Die(when)));
        assert!(is_dead(&dead.work(&message).await.unwrap_err()));
        let contact = bed.changes(id).await[0].contact.get();
        let set = bed.set(contact, &[SAM]).await;
        bed.recover().await;
        let job = bed.job(id).await;
        assert_eq!((job.state, job.counts.updated), (State::Done, bed.to_change().len() as u64));
        let after = bed.states().await;
        let is = after.get(&contact).map(access_and_writer);
        let written = bed.written(id).await.len();
        if when == When::Before {
            // The dead worker had not written the contact, so the new worker replaces the access that Sam's call set.
            assert_eq!((is, written), (Some((target(), Some(id))), bed.to_change().len()));
            let changes = bed.changes(id).await;
            let change = changes.iter().find(|change| change.contact.get() == contact).unwrap();
            assert_eq!((&change.before, change.replaced_job()), (&private(&[SAM]), Some(set)));
            bed.undone(id).await;
            assert_eq!(bed.states().await[&contact].access, private(&[SAM]));
            continue;
        }
        assert_eq!((is, written), (Some((private(&[SAM]), Some(set))), bed.to_change().len() - 1));

        let undo = bed.undone(id).await;
        let changed = bed.to_change().len() as u64;
        assert_eq!(undo.counts, Counts { matched: changed, updated: changed - 1, conflicts: 1, ..Counts::default() });
        let restored = bed.states().await;
        for number in bed.to_change() {
            let is = restored.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
            let expected = if number == contact { private(&[SAM]) } else { bed.original(number).access };
            assert_eq!(is.access, expected, "contact {number}");
        }
        let conflicts: Vec<i32> =
            bed.changes(undo.id).await.iter().filter(|c| c.conflict).map(|c| c.contact.get()).collect();
        assert_eq!(conflicts, [contact]);
    }
}
