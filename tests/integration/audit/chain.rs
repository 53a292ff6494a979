//! The chain of a contact's changes under overlapping writers.

use std::collections::BTreeMap;

use models::access::{Access, ShareType};
use models::job::{JobId, State};
use serde_json::json;
use tests::World;

use super::contact_shown;
use crate::job_faults::{Bed, Process};
use crate::portal::{ADA, ADA_TOKEN, MIKE, SAM, access, acme, contact, contact_with, id, lines, private, public};

const CONTACTS: i64 = 400;
const SHARDS: u16 = 4;

/// A recorded change of a contact.
#[derive(Debug)]
struct Recorded {
    before: Access,
    replaced: Option<JobId>,
    after: Access,
}

async fn bed() -> Bed {
    let mut values = acme();
    values.extend((1..=CONTACTS).map(|number| match number % 4 {
        0 => contact(number, json!({"ContactStatus": {"id": number % 3}})),
        1 => contact_with(number, ShareType::None, &[MIKE]),
        2 => contact_with(number, ShareType::Read, &[SAM, MIKE]),
        _ => contact_with(number, ShareType::ReadWrite, &[SAM]),
    }));
    let world = World::with(&lines(values)).await.unwrap();
    let originals = access(&world, "acme", 1..=CONTACTS).await;
    Bed { world, portal: id("acme"), shards: SHARDS, originals }
}

/// Works through the queue in a process of its own.
async fn work(bed: &Bed, process: &Process) {
    while let Some(message) = bed.world.queue.take() {
        process.work(&message).await.unwrap();
    }
}

/// Lets three workers process the queued jobs, while single calls change contacts.
async fn overlap(bed: &Bed, processes: &[Process], round: i64) {
    let workers = futures::future::join_all(processes.iter().map(|process| work(bed, process)));
    let singles = async {
        for number in 0..60 {
            let contact = i32::try_from((number * 37 + round * 11) % CONTACTS + 1).unwrap();
            let managers = if number % 2 == 0 { [SAM, ADA] } else { [ADA, MIKE] };
            bed.set_if_different(contact, &managers).await;
        }
    };
    futures::join!(workers, singles);
    bed.world.work().await.unwrap();
}

async fn enqueue(bed: &Bed, target: Access) -> JobId {
    let jobs = bed.world.jobs();
    bed.run(target, None).await.enqueue(jobs, jobs.new_id()).await.unwrap().id
}

#[tokio::test]
async fn every_state_of_a_contact_is_the_state_before_of_exactly_one_recorded_change() {
    let bed = bed().await;
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(bed.process().await);
    }
    let first = enqueue(&bed, private(&[ADA])).await;
    let second = enqueue(&bed, public(&[MIKE])).await;
    overlap(&bed, &processes, 1).await;
    let undo = bed.undo(first).await;
    enqueue(&bed, private(&[MIKE, SAM])).await;
    bed.undo(second).await;
    overlap(&bed, &processes, 2).await;
    bed.undo(undo).await;
    enqueue(&bed, public(&[])).await;
    overlap(&bed, &processes, 3).await;

    let jobs = bed.world.jobs_of(&bed.portal, None).await.unwrap();
    let mut recorded: BTreeMap<i32, BTreeMap<JobId, Recorded>> = BTreeMap::new();
    let mut total = 0;
    for job in &jobs {
        assert_eq!((job.state, job.counts.failed), (State::Done, 0), "{job:?}");
        let changes = bed.world.jobs().changes(&bed.portal, job, 0, 10_000).await.unwrap();
        let mut made = 0;
        for change in changes {
            let Some((before, after)) = change.states(job) else { continue };
            let change_of = Recorded { before: before.clone(), replaced: change.replaced_job(), after: after.clone() };
            let earlier = recorded.entry(change.contact.get()).or_default().insert(job.id, change_of);
            assert!(earlier.is_none(), "job {} changed contact {} twice", job.id, change.contact);
            made += 1;
        }
        assert_eq!(made, job.counts.updated, "{job:?}");
        total += made;
    }
    // The jobs did overlap: undos found contacts that others had changed since.
    assert!(jobs.iter().any(|job| job.counts.conflicts > 0));
    assert!(total > 3 * CONTACTS.unsigned_abs(), "{total} changes");

    let states = bed.states_of(1..=CONTACTS).await;
    for number in 1..=i32::try_from(CONTACTS).unwrap() {
        let current = states.get(&number);
        let mut changes = recorded.remove(&number).unwrap_or_default();
        let steps = changes.len();
        let (mut access, mut writer) =
            current.map_or((Access::UNRECORDED, None), |state| (state.access.clone(), state.job()));
        // From the last state to the first, each state is the state after of the change that its revision names.
        while let Some(change) = writer.and_then(|writer| changes.remove(&writer)) {
            assert_eq!(change.after, access, "contact {number}");
            (access, writer) = (change.before, change.replaced);
        }
        let original = bed.original(number);
        assert_eq!((access, writer), (original.access.clone(), original.job()), "contact {number}");
        assert!(changes.is_empty(), "contact {number} has changes outside its chain: {changes:?}");
        if number % 8 == 1 {
            let shown = contact_shown(&bed.world, &format!("{number}/access/history?count=100"), ADA_TOKEN).await;
            let entries = shown.as_array().unwrap();
            assert_eq!(entries.len(), steps + 1, "contact {number}");
            assert!(entries.windows(2).all(|pair| pair[0]["before"] == pair[1]["after"]), "contact {number}: {shown}");
            assert_eq!(entries[steps]["source"], "loaded");
        }
    }
    assert!(recorded.is_empty());
}
