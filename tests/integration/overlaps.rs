//! Jobs and single changes that run concurrently over the same contacts. In every order, each contact ends with the
//! access that one of them set, and an undo restores exactly the job's own writes that nobody changed since.
//!
//! A seed decides the order: each worker has a proxy that holds a call until the worker has its turn.

use std::collections::{BTreeMap, BTreeSet};

use models::access::{Access, AccessEdit, Target};
use models::job::{JobId, State};
use models::values::id::UserId;
use store::contacts::AccessState;
use tests::faults::{Calls, Fault, Gate, When};

use crate::job_faults::{Bed, Process, target};
use crate::portal::{ADA, MIKE, SAM, access_and_writer, private, public};

/// Orders of events to try.
const SEEDS: std::ops::Range<u64> = 0..8;

/// Small pseudo-random numbers, reproducible from the seed on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % bound as u64).unwrap()
    }
}

/// Stops a worker before call number `call_number` until the returned gate opens.
fn hold(worker: &Process, call_number: u64) -> Gate {
    let gate = Gate::new();
    worker.proxy.inject(Calls::numbered(call_number).meet(Fault::Hold(When::Before, gate.clone())));
    gate
}

async fn enqueue(bed: &Bed, target: impl Into<Target>) -> JobId {
    let jobs = bed.world.jobs();
    bed.run(target, None).await.enqueue(jobs, jobs.new_id()).await.unwrap().id
}

/// The outcome of one order of events.
struct Overlap {
    bed: Bed,
    first: JobId,
    second: JobId,
    singles: Vec<(i32, JobId)>,
}

/// Runs two jobs with two shards each and some single changes, in the order that the seed gives.
async fn overlap(seed: u64) -> Overlap {
    let mut chance = Chance::new(seed);
    let bed = Bed::new(2).await;
    let first = enqueue(&bed, target()).await;
    let second = enqueue(&bed, public(&[MIKE])).await;
    let mut workers = Vec::new();
    while let Some(message) = bed.world.queue.take() {
        let worker = bed.process().await;
        let gate = hold(&worker, 1 + chance.below(16) as u64);
        workers.push((worker, message, gate));
    }
    // The four workers run concurrently. Each stops once, and a random turn releases it.
    let work = futures::future::join_all(workers.iter().map(async |(worker, message, gate)| {
        let worked = worker.work(message).await;
        // A worker with few calls ends before its gate, and the other turns must not wait for this worker.
        gate.open();
        worked
    }));
    let turns = async {
        let mut singles = Vec::new();
        let mut waiting: Vec<&Gate> = workers.iter().map(|(_, _, gate)| gate).collect();
        while !waiting.is_empty() {
            let gate = waiting.remove(chance.below(waiting.len()));
            tokio::select! {
                () = gate.reached() => {}
                () = gate.opened() => {}
            }
            for _ in 0..chance.below(4) {
                let contact = i32::try_from(1 + chance.below(24)).unwrap();
                singles.extend(bed.set_if_different(contact, &[SAM, ADA]).await.map(|job| (contact, job)));
            }
            gate.open();
        }
        singles
    };
    let (worked, singles) = futures::join!(work, turns);
    for worked in worked {
        worked.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    bed.world.work().await.unwrap();
    Overlap { bed, first, second, singles }
}

impl Overlap {
    /// Returns the access set by the contact's last writer.
    fn last_written_by(&self, contact: i32, state: &AccessState) -> Option<Access> {
        match state.job() {
            writer if writer == Some(self.first) => Some(target()),
            writer if writer == Some(self.second) => Some(public(&[MIKE])),
            Some(writer) if self.singles.contains(&(contact, writer)) => Some(private(&[SAM, ADA])),
            // No write was needed: the contact already matched a target.
            writer if writer == self.bed.original(contact).job() => Some(self.bed.original(contact).access),
            _ => None,
        }
    }
}

#[tokio::test]
async fn contacts_of_concurrent_jobs_end_with_the_access_of_one_of_them() {
    for seed in SEEDS {
        let overlap = overlap(seed).await;
        let bed = &overlap.bed;
        let mut written = BTreeMap::new();
        for (contact, state) in bed.states().await {
            let expected = overlap.last_written_by(contact, &state);
            assert_eq!(expected.as_ref(), Some(&state.access), "seed {seed}, contact {contact}: {state:?}");
            assert!(
                [target(), public(&[MIKE]), private(&[SAM, ADA])].contains(&state.access),
                "seed {seed}, contact {contact}: {state:?}"
            );
            *written.entry(state.job()).or_insert(0u64) += 1;
        }
        for id in [overlap.first, overlap.second] {
            let (job, changes) = (bed.job(id).await, bed.changes(id).await);
            assert_eq!((job.state, job.counts.matched), (State::Done, 24), "seed {seed}");
            assert_eq!(job.counts.updated + job.counts.unchanged, 24, "seed {seed}: {:?}", job.counts);
            assert_eq!(changes.len() as u64, job.counts.updated, "seed {seed}");
            let left = written.get(&Some(id)).copied().unwrap_or_default();
            assert!(left <= job.counts.updated, "seed {seed}: {left} of {}", job.counts.updated);
        }
    }
}

#[tokio::test]
async fn undo_of_one_concurrent_job_restores_only_its_unchanged_writes() {
    for seed in SEEDS {
        let overlap = overlap(seed).await;
        let bed = &overlap.bed;
        for undone in [overlap.first, overlap.second] {
            let before = bed.states().await;
            let changes = bed.changes(undone).await;
            let undo = bed.undone(undone).await;
            let (after, mut updated, mut conflicts) = (bed.states().await, 0, 0);
            for change in &changes {
                let contact = change.contact.get();
                let (was, is) = (before.get(&contact), after.get(&contact));
                if was.is_some_and(|was| was.is_written_by(undone)) {
                    let restored = (change.before.clone(), Some(undo.id));
                    assert_eq!(is.map(access_and_writer), Some(restored), "seed {seed}, contact {contact}");
                    updated += 1;
                } else {
                    assert_eq!(is, was, "seed {seed}, contact {contact}");
                    conflicts += 1;
                }
            }
            let changed: Vec<i32> = changes.iter().map(|change| change.contact.get()).collect();
            for (contact, is) in after.iter().filter(|(contact, _)| !changed.contains(contact)) {
                assert_eq!(Some(is), before.get(contact), "seed {seed}, contact {contact}");
            }
            let counts = (undo.counts.updated, undo.counts.conflicts, undo.counts.unchanged);
            // A contact that still has its revision from before the job was not written by the job.
            assert_eq!((counts.0, counts.1 + counts.2), (updated, conflicts), "seed {seed}");
        }
    }
}

/// Adds a manager to every contact.
fn adding(manager: UserId) -> AccessEdit {
    AccessEdit { share: None, add: vec![manager], remove: Vec::new() }
}

#[tokio::test]
async fn concurrent_jobs_that_add_managers_lose_none() {
    for seed in SEEDS {
        let mut chance = Chance::new(seed);
        let bed = Bed::new(2).await;
        let added = [ADA, MIKE, SAM];
        let mut jobs = Vec::new();
        for manager in added {
            jobs.push(enqueue(&bed, adding(manager)).await);
        }
        let mut workers = Vec::new();
        while let Some(message) = bed.world.queue.take() {
            let worker = bed.process().await;
            let gate = hold(&worker, 1 + chance.below(16) as u64);
            workers.push((worker, message, gate));
        }
        let work = futures::future::join_all(workers.iter().map(async |(worker, message, gate)| {
            let worked = worker.work(message).await;
            gate.open();
            worked
        }));
        let turns = async {
            let mut waiting: Vec<&Gate> = workers.iter().map(|(_, _, gate)| gate).collect();
            while !waiting.is_empty() {
                let gate = waiting.remove(chance.below(waiting.len()));
                tokio::select! {
                    () = gate.reached() => {}
                    () = gate.opened() => {}
                }
                gate.open();
            }
        };
        let (worked, ()) = futures::join!(work, turns);
        for worked in worked {
            worked.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        bed.world.work().await.unwrap();
        for (contact, state) in bed.states().await {
            let (was, is) = (bed.original(contact).access, state.access);
            assert_eq!(is.share, was.share, "seed {seed}, contact {contact}");
            assert_eq!(is.managers[..was.managers.len()], was.managers, "seed {seed}, contact {contact}");
            let all: BTreeSet<UserId> = was.managers.iter().chain(&added).copied().collect();
            assert_eq!(is.managers.iter().copied().collect::<BTreeSet<_>>(), all, "seed {seed}, contact {contact}");
            assert_eq!(is.managers.len(), all.len(), "seed {seed}, contact {contact}");
        }
        // An undo restores the contacts that its job wrote last, each with the managers that others added before.
        let written = bed.states().await;
        for job in jobs {
            let changes = bed.changes(job).await;
            bed.undone(job).await;
            let states = bed.states().await;
            for change in changes.iter().filter(|change| written[&change.contact.get()].is_written_by(job)) {
                assert_eq!(states[&change.contact.get()].access, change.before, "seed {seed}: {change:?}");
            }
        }
    }
}

#[tokio::test]
async fn concurrent_jobs_finish_and_are_undone_although_workers_die() {
    for seed in SEEDS {
        let mut chance = Chance::new(seed);
        let bed = Bed::new(2).await;
        let (first, second) = (enqueue(&bed, target()).await, enqueue(&bed, public(&[MIKE])).await);
        let mut workers = Vec::new();
        while let Some(message) = bed.world.queue.take() {
            let worker = bed.process().await;
            let last = 1 + chance.below(16) as u64;
            let when = if chance.below(2) == 0 { When::After } else { When::Before };
            worker.proxy.inject(Calls::numbered(last).meet(Fault::Die(when)));
            workers.push((worker, message));
        }
        let worked =
            futures::future::join_all(workers.iter().map(async |(worker, message)| worker.work(message).await)).await;
        for ((worker, _), worked) in workers.iter().zip(&worked) {
            assert_eq!(worker.proxy.is_dead(), worked.is_err(), "seed {seed}: {worked:?}");
        }
        let contact = i32::try_from(1 + chance.below(24)).unwrap();
        let single = bed.set_if_different(contact, &[SAM]).await;
        bed.recover().await;
        bed.recover().await;
        let overlap = Overlap { bed, first, second, singles: Vec::new() };
        let bed = &overlap.bed;
        for id in [first, second] {
            let job = bed.job(id).await;
            assert_eq!((job.state, job.counts.matched, job.counts.failed), (State::Done, 24, 0), "seed {seed}");
            assert_eq!(bed.changes(id).await.len() as u64, job.counts.updated, "seed {seed}");
        }
        for (contact, state) in bed.states().await {
            if single.is_some() && state.job() == single {
                assert_eq!(state.access, private(&[SAM]), "seed {seed}");
            } else {
                assert_eq!(
                    overlap.last_written_by(contact, &state),
                    Some(state.access.clone()),
                    "seed {seed}, {contact}: {state:?}"
                );
            }
        }
        let before = bed.states().await;
        let undo = bed.undone(first).await;
        for (contact, was) in before.iter().filter(|(_, was)| !was.is_written_by(first)) {
            assert_eq!(bed.states().await.get(contact), Some(was), "seed {seed}, contact {contact}");
        }
        assert_eq!(bed.written(undo.id).await.len() as u64, undo.counts.updated, "seed {seed}");
        assert!(bed.written(first).await.is_empty(), "seed {seed}");
    }
}
