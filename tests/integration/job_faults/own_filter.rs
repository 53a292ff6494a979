//! Jobs that change what their own filter selects: the contacts of a manager lose this manager.

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::{Deadline, Message, Worked};
use models::access::{Access, AccessEdit, Target};
use models::job::{Counts, JobId, State};
use models::limits::LEASE_MILLIS;
use tests::faults::{Fault, When};

use super::bed::{Bed, is_dead};
use super::steps::{Step, at};
use crate::portal::{ADA, MIKE, SAM, access_and_writer, private};

/// The way in which a job finds the contacts of a manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Index,
    Postings,
}

const WAYS: [Way; 2] = [Way::Index, Way::Postings];

/// Gives Mike's contacts to Ada.
fn handover() -> Target {
    AccessEdit { share: None, add: vec![ADA], remove: vec![MIKE] }.into()
}

/// Enqueues the handover in a portal of one shard. Returns the job and its message.
async fn enqueue(bed: &Bed, way: Way) -> (JobId, Message) {
    let (jobs, mut run) = (bed.world.jobs(), bed.run(handover(), None).await);
    run.filter.access.responsible = Some(MIKE);
    if way == Way::Postings {
        run.plan = run.plan.by_postings(MIKE);
    }
    let id = run.enqueue(jobs, jobs.new_id()).await.unwrap().id;
    (id, bed.world.queue.take().unwrap())
}

/// Returns the contacts that Mike manages at first, with their access after the handover.
fn handed_over(bed: &Bed) -> BTreeMap<i32, Access> {
    let numbers = bed.numbers().map(|number| i32::try_from(number).unwrap());
    let of_mike = numbers.filter(|number| bed.original(*number).access.managers.contains(&MIKE));
    of_mike.map(|number| (number, handover().applied_to(&bed.original(number).access).unwrap())).collect()
}

/// Checks that the job changed each of Mike's contacts once and counted each once, and that an undo restores them.
async fn check_handover(bed: &Bed, id: JobId, context: &str) {
    let (expected, job, states) = (handed_over(bed), bed.job(id).await, bed.states().await);
    let number = expected.len() as u64;
    assert_eq!(job.counts, Counts { matched: number, updated: number, ..Counts::default() }, "{context}");
    assert_eq!(job.state, State::Done, "{context}");
    for (contact, access) in &expected {
        let is = states.get(contact).map(access_and_writer);
        assert_eq!(is, Some((access.clone(), Some(id))), "{context}: contact {contact}");
    }
    bed.check_log(id, &expected.keys().copied().collect()).await;
    for change in bed.changes(id).await {
        assert_eq!(change.after.as_ref(), expected.get(&change.contact.get()), "{context}");
    }
    bed.undone(id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn manager_hands_all_contacts_over_in_one_job() {
    for way in WAYS {
        let bed = Bed::new(1).await;
        let (id, message) = enqueue(&bed, way).await;
        assert_eq!(bed.process().await.work(&message).await.unwrap(), Worked::ShardDone);
        check_handover(&bed, id, &format!("{way:?}")).await;
    }
}

#[tokio::test]
async fn contacts_that_the_job_itself_deselected_are_done_and_counted_once_after_a_crash() {
    let steps = [Step::Chunk, Step::Post, Step::Batch, Step::Progress, Step::End];
    for way in WAYS {
        for (step, when) in steps.into_iter().flat_map(|step| [(step, When::Before), (step, When::After)]) {
            let context = format!("{way:?}, died {when:?} {step:?}");
            let bed = Bed::new(1).await;
            let (id, message) = enqueue(&bed, way).await;
            let (dead, other) = (bed.process().await, bed.process().await);
            dead.proxy.inject(at(step, 1, Fault::Die(when)));
            match dead.work(&message).await {
                Err(error) => assert!(is_dead(&error), "{context}: {error}"),
                // A run by postings ends with its first page, and records no progress before its end.
                Ok(worked) => {
                    assert_eq!((way, worked, step), (Way::Postings, Worked::ShardDone, Step::Progress), "{context}");
                }
            }
            bed.pass(LEASE_MILLIS);
            other.work(&message).await.unwrap();
            bed.recover().await;
            check_handover(&bed, id, &context).await;
        }
    }
}

#[tokio::test]
async fn job_that_is_resumed_after_each_page_counts_each_contact_once() {
    for way in WAYS {
        let bed = Bed::new(1).await;
        let (id, message) = enqueue(&bed, way).await;
        let mut next = Some(message);
        while let Some(message) = next {
            let turn = Deadline::never().with_turn(Duration::ZERO);
            bed.world.jobs().work(&message, &turn).await.unwrap();
            next = bed.world.queue.take();
        }
        check_handover(&bed, id, &format!("{way:?}")).await;
    }
}

#[tokio::test]
async fn contact_that_leaves_the_filter_before_its_write_is_left_alone() {
    for way in WAYS {
        let bed = Bed::new(1).await;
        let (id, message) = enqueue(&bed, way).await;
        let worker = bed.process().await;
        let gate = tests::faults::Gate::new();
        worker.proxy.inject(at(Step::Batch, 1, Fault::Hold(When::Before, gate.clone())));
        let leaving = async {
            gate.reached().await;
            // The record of the first contact may wait in a later batch; its write is then rejected too.
            let left = *handed_over(&bed).keys().next().unwrap();
            bed.set(left, &[SAM]).await;
            gate.open();
            left
        };
        let (worked, left) = futures::join!(worker.work(&message), leaving);
        assert_eq!(worked.unwrap(), Worked::ShardDone);
        let (job, states) = (bed.job(id).await, bed.states().await);
        assert_eq!(states[&left].access, private(&[SAM]), "{way:?}");
        let number = handed_over(&bed).len() as u64 - 1;
        assert_eq!(job.counts, Counts { matched: number, updated: number, ..Counts::default() }, "{way:?}");
        assert!(bed.changes(id).await.iter().all(|change| change.contact.get() != left), "{way:?}");
    }
}
