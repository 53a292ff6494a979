//! The job of a call that names contacts: changes, records and costs, synchronously or in a worker, and its faults.

use std::collections::{BTreeMap, BTreeSet};

use jobs::{Applied, ContactsRun, Deadline};
use models::access::{Access, Author, Caller, ShareType, Target};
use models::job::{Change, Counts, Job, JobId, Kind, Revision, State};
use models::values::id::{ContactId, UserId};
use serde_json::{Value, json};
use store::contacts::AccessRecord;
use store::dynamodb::batch::Priority;
use store::keys::{Key, PK, SK};
use tests::faults::{Calls, Fault, Gate, When};
use tests::{World, cases};
use tokio::time::Instant;
use uuid::Uuid;

use crate::job_faults::{Bed, Step, at, for_each_death, target};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, access, access_and_writer, access_of, acme_with, contact, contact_id,
    contact_with, id, job, lines, of_every_access, portal, private,
};
use crate::workers::proxied;

const ADMIN: Caller = Caller { user: ADA, is_admin: true };
const MIKES: Caller = Caller { user: MIKE, is_admin: false };

/// Loads these contacts of `acme` and returns a run over them.
async fn run_of(
    world: &World,
    caller: Caller,
    contacts: impl IntoIterator<Item = i64>,
    target: impl Into<Target>,
) -> ContactsRun {
    let contacts: Vec<ContactId> = contacts.into_iter().map(contact_id).collect();
    let loaded = world.store.load(&id("acme"), &contacts, []).await.unwrap();
    ContactsRun {
        portal: id("acme"),
        caller,
        contacts: loaded.contacts.into_iter().map(|(contact, (_, state))| (contact, state)).collect(),
        target: target.into(),
        started: world.app.now(),
        note: None,
    }
}

async fn record(world: &World, id: JobId) -> Job {
    world.store.job(&crate::portal::id("acme"), id).await.unwrap().unwrap()
}

/// Applies a run to its end and returns its job.
async fn applied(world: &World, run: &ContactsRun) -> JobId {
    let id = world.jobs().new_id();
    match run.apply(world.jobs(), id, &Deadline::never()).await.unwrap() {
        Applied::Completed { job, outcome } => {
            assert_eq!((job.id, job.counts, outcome.counts), (id, run.counted().counts, run.counted().counts));
            assert_eq!(outcome.page, []);
            assert_eq!(record(world, id).await, *job);
        }
        Applied::Requeued(job) => panic!("{job:?} was requeued"),
    }
    id
}

/// Makes a worker do a run. Returns the job.
async fn worked(world: &World, run: &ContactsRun) -> JobId {
    let id = run.enqueue(world.jobs(), world.jobs().new_id()).await.unwrap().id;
    assert_eq!(world.work().await.unwrap(), 1);
    id
}

async fn changes(world: &World, id: JobId) -> Vec<Change> {
    let job = record(world, id).await;
    world.jobs().changes(&crate::portal::id("acme"), &job, 0, usize::MAX).await.unwrap()
}

/// Makes a worker undo a job.
async fn undo(world: &World, id: JobId) -> Job {
    let (jobs, undone) = (world.jobs(), record(world, id).await);
    let undo = jobs.undo(&crate::portal::id("acme"), &ADMIN, &undone, jobs.new_id(), None).await.unwrap();
    world.work().await.unwrap();
    record(world, undo.id).await
}

async fn remove(world: &World, contacts: impl IntoIterator<Item = i64>) {
    let deletes = contacts.into_iter().map(|contact| json!({"delete": {"contact": contact}}));
    world.import(&lines([portal("acme", "Europe/Riga", 4)].into_iter().chain(deletes))).await.unwrap();
}

/// Sets the access of contacts like an earlier job, even with managers who are no users of the portal.
async fn set(world: &World, contacts: impl IntoIterator<Item = i64>, access: &Access) {
    let contacts: Vec<ContactId> = contacts.into_iter().map(contact_id).collect();
    let states = world.store.current_access_of(&id("acme"), &contacts).await.unwrap();
    let revision = Revision { job: Uuid::now_v7().into(), chunk: None };
    let record = |contact: &ContactId| AccessRecord {
        access,
        revision,
        replaced: states.of(*contact).unwrap().job(),
        set_by: Author::User(ADA),
        set_at: world.app.now(),
    };
    let records = contacts.iter().map(|contact| (*contact, record(contact))).collect();
    let written = world.store.write_access(&id("acme"), records, Priority::Bulk).await;
    assert!(written.unwritten == 0 && written.rejected.is_empty(), "{written:?}");
}

/// The maximum number of contacts in a call.
const MAX_CONTACTS: i64 = 1000;

/// Creates a thousand contacts: a hundred for each of ten lists of 40 managers.
async fn thousand() -> World {
    let world = acme_with((1..=MAX_CONTACTS).map(|id| contact(id, json!({})))).await;
    for group in 0..10 {
        set(&world, (1..=MAX_CONTACTS).filter(|id| id % 10 == group), &crowd(u128::try_from(group).unwrap())).await;
    }
    world
}

/// Returns access private to 40 of 60 managers.
fn crowd(first: u128) -> Access {
    private(&(0..40).map(|i| UserId::from_u128((first * 7 + i) % 60 + 1)).collect::<Vec<_>>())
}

#[expect(clippy::cast_precision_loss, reason = "a thousand contacts")]
const CONTACTS: f64 = MAX_CONTACTS as f64;

#[tokio::test]
async fn run_over_a_thousand_contacts_is_recorded_and_within_cost_bounds() {
    let world = thousand().await;
    let before = access(&world, "acme", 1..=MAX_CONTACTS).await;
    let run = run_of(&world, ADMIN, 1..=MAX_CONTACTS, crowd(11)).await;
    let (spent, trips) = (world.trips.spent(), world.trips.so_far());
    let id = applied_unread(&world, &run).await;
    let (spent, (calls, rounds)) = (world.trips.spent() - spent, world.trips.so_far());

    // The engine does not read again what the call has loaded. The day of the job's end needs the portal's time zone.
    assert!(spent.read_units <= 0.5, "{spent:?}");
    let each = spent.write_units / CONTACTS;
    assert!((1.0..=1.1).contains(&each), "{each} write units per contact");
    // Calls: the open-job entry, the lease and the record; the chunk, and concurrently two batches of postings for 40
    // managers; 40 batches, as many at a time as the limiter admits; the end of the shard, the time zone, the end of
    // the record, the freed open-job slot, and the deletion of the open-job entry.
    assert_eq!(calls - trips.0, 3 + 1 + 2 + 40 + 5);
    assert!(rounds - trips.1 <= 3 + 1 + 2 + 40 + 5, "{} rounds", rounds - trips.1);

    let after = access(&world, "acme", 1..=MAX_CONTACTS).await;
    assert!(after.len() == 1000 && after.values().all(|state| state.access == crowd(11) && state.is_written_by(id)));
    let job = record(&world, id).await;
    assert_eq!(
        (job.task.kind(), job.state, job.created_by, job.percent),
        (Kind::Contacts, State::Done, Author::User(ADA), 100)
    );
    assert_eq!((job.task.filter(), job.task.replacement()), (None, Some(&crowd(11))));
    assert_eq!(job.counts, Counts { matched: 1000, updated: 1000, ..Counts::default() });
    let changes = changes(&world, id).await;
    assert!(changes.iter().map(|change| i64::from(change.contact.get())).eq(1..=MAX_CONTACTS));
    for change in changes {
        let was = &before[&change.contact.get()];
        assert_eq!((&change.before, change.revision), (&was.access, was.revision));
    }
    // The number of contacts takes two bytes, each contact one.
    assert_eq!(contact_bytes(&world, id).await, 2 + 1000);

    assert_eq!(undo(&world, id).await.counts, Counts { matched: 1000, updated: 1000, ..Counts::default() });
    let restored = access(&world, "acme", 1..=MAX_CONTACTS).await;
    assert!(restored.iter().all(|(contact, state)| state.access == before[contact].access));
}

/// Applies a run without further reads.
async fn applied_unread(world: &World, run: &ContactsRun) -> JobId {
    let id = world.jobs().new_id();
    let ran = run.apply(world.jobs(), id, &Deadline::never()).await.unwrap();
    assert!(matches!(ran, Applied::Completed { .. }), "{ran:?}");
    id
}

/// Returns the bytes of the contacts in a job's record.
async fn contact_bytes(world: &World, id: JobId) -> usize {
    let (pk, sk) = Key::Job(crate::portal::id("acme"), id).encode();
    let text = aws_sdk_dynamodb::types::AttributeValue::S;
    let item = world.client.get_item().table_name(&world.table).key(PK, text(pk)).key(SK, text(sk));
    let item = item.send().await.unwrap().item.unwrap();
    let member = |of: &aws_sdk_dynamodb::types::AttributeValue, name: &str| of.as_m().unwrap()[name].clone();
    let contacts = member(&member(&member(&item["job"], "Task"), "Contacts"), "contacts");
    contacts.as_b().unwrap().as_ref().len()
}

#[tokio::test]
async fn worker_changes_the_same_contacts_and_reads_each_access_once() {
    let world = thousand().await;
    let before = access(&world, "acme", 1..=MAX_CONTACTS).await;
    let run = run_of(&world, ADMIN, 1..=MAX_CONTACTS, crowd(11)).await;
    let spent = world.trips.spent();
    let id = worked(&world, &run).await;
    let spent = world.trips.spent() - spent;
    let (reads, writes) = (spent.read_units / CONTACTS, spent.write_units / CONTACTS);
    assert!((1.0..=1.02).contains(&reads), "{reads} read units per contact");
    assert!((1.0..=1.1).contains(&writes), "{writes} write units per contact");

    let job = record(&world, id).await;
    assert_eq!((job.state, job.counts, job.percent), (State::Done, run.counted().counts, 100));
    let after = access(&world, "acme", 1..=MAX_CONTACTS).await;
    assert!(after.len() == 1000 && after.values().all(|state| state.access == crowd(11) && state.is_written_by(id)));
    assert_eq!(undo(&world, id).await.counts.updated, 1000);
    let restored = access(&world, "acme", 1..=MAX_CONTACTS).await;
    assert!(restored.iter().all(|(contact, state)| state.access == before[contact].access));
}

#[tokio::test]
async fn matching_contacts_cost_only_the_job_and_in_a_synchronous_call_nothing() {
    let world = thousand().await;
    set(&world, 1..=MAX_CONTACTS, &crowd(11)).await;
    let state = access(&world, "acme", 1..=MAX_CONTACTS).await;
    let run = run_of(&world, ADMIN, 1..=MAX_CONTACTS, crowd(11)).await;
    let calls = world.trips.so_far().0;
    assert_eq!(run.counted().counts, Counts { matched: 1000, unchanged: 1000, ..Counts::default() });
    assert_eq!(world.trips.so_far().0, calls);

    let mut spent = Vec::new();
    for contacts in [1, MAX_CONTACTS] {
        let run = run_of(&world, ADMIN, 1..=contacts, crowd(11)).await;
        let before = world.trips.spent();
        let id = worked(&world, &run).await;
        spent.push((world.trips.spent() - before).write_units);
        assert_eq!(record(&world, id).await.counts, run.counted().counts);
        assert_eq!(changes(&world, id).await, []);
    }
    // A transaction of three items, which counts double: the open-job entry, the list entry and the user's open jobs.
    // Then three writes of the record, the shard's lease and end, the freed open-job slot, and the deletion of the
    // open-job entry. The record of a thousand contacts takes 1 KB more.
    assert!(spent[0] <= 17.0 && spent[1] <= spent[0] + 4.0, "{spent:?}");
    assert_eq!(access(&world, "acme", 1..=MAX_CONTACTS).await, state);

    // Only the contact that differs is written.
    set(&world, [7], &crowd(1)).await;
    let run = run_of(&world, ADMIN, 1..=MAX_CONTACTS, crowd(11)).await;
    let id = applied(&world, &run).await;
    assert_eq!(run.counted().counts, Counts { matched: 1000, updated: 1, unchanged: 999, ..Counts::default() });
    let after = access(&world, "acme", 1..=MAX_CONTACTS).await;
    assert!(after.iter().all(|(contact, is)| *contact == 7 || *is == state[contact]));
    assert_eq!((&after[&7].access, after[&7].job()), (&crowd(11), Some(id)));
}

#[tokio::test]
async fn run_changes_editable_contacts_and_its_counts_predict_them() {
    for (caller, changed, [matched, updated, unchanged, skipped]) in
        [(ADMIN, &[1, 3, 4, 5, 6][..], [6, 5, 1, 0]), (MIKES, &[1, 5], [4, 2, 1, 1])]
    {
        for is_synchronous in [true, false] {
            let world = acme_with(of_every_access()).await;
            let state = access(&world, "acme", 1..=6).await;
            let run = run_of(&world, caller, 1..=6, private(&[MIKE])).await;
            assert_eq!(run.counted().counts, Counts { matched, updated, unchanged, skipped, ..Counts::default() });
            let id = if is_synchronous { applied(&world, &run).await } else { worked(&world, &run).await };
            let job = record(&world, id).await;
            assert_eq!(
                (job.state, job.created_by, job.counts),
                (State::Done, Author::User(caller.user), run.counted().counts)
            );
            let after = access(&world, "acme", 1..=6).await;
            for number in 1..=6i32 {
                let (was, is) = (state.get(&number), after.get(&number));
                if changed.contains(&number) {
                    let ours = (private(&[MIKE]), Some(id));
                    assert_eq!(is.map(access_and_writer), Some(ours), "contact {number}");
                } else {
                    assert_eq!(is, was, "contact {number}");
                }
            }
            let recorded: Vec<i32> = changes(&world, id).await.iter().map(|change| change.contact.get()).collect();
            assert_eq!(recorded, changed);
        }
    }
}

#[tokio::test]
async fn worker_decides_by_the_current_access_of_contacts() {
    let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
    let run = run_of(&world, MIKES, 1..=5, private(&[MIKE])).await;
    let id = run.enqueue(world.jobs(), world.jobs().new_id()).await.unwrap().id;
    // Before the worker starts, contact 1 is hidden from the caller, contact 2 is not editable, contact 3 already
    // matches, and contact 4 has another list.
    set(&world, [1], &private(&[SAM])).await;
    set(&world, [2], &Access { share: ShareType::Read, managers: vec![SAM] }).await;
    set(&world, [3], &private(&[MIKE])).await;
    set(&world, [4], &private(&[MIKE, SAM])).await;
    let state = access(&world, "acme", 1..=5).await;
    world.work().await.unwrap();
    let job = record(&world, id).await;
    assert_eq!(job.counts, Counts { matched: 4, updated: 2, unchanged: 1, skipped: 1, ..Counts::default() });
    let after = access(&world, "acme", 1..=5).await;
    assert!((1..=3).all(|contact| after[&contact] == state[&contact]), "{after:?}");
    let before: BTreeMap<i32, (Access, Option<Revision>)> =
        changes(&world, id).await.into_iter().map(|was| (was.contact.get(), (was.before, was.revision))).collect();
    let expected = [(4, (private(&[MIKE, SAM]), state[&4].revision)), (5, (Access::UNRECORDED, None))];
    assert_eq!(before, expected.into());
}

#[tokio::test]
async fn run_records_a_change_after_its_check_as_the_access_before() {
    let world = acme_with([contact(1, json!({})), contact_with(2, ShareType::None, &[MIKE])]).await;
    let run = run_of(&world, ADMIN, 1..=2, private(&[ADA])).await;
    set(&world, 1..=2, &private(&[SAM])).await;
    let overwritten = access(&world, "acme", 1..=2).await;
    let id = applied(&world, &run).await;
    for change in changes(&world, id).await {
        let was = &overwritten[&change.contact.get()];
        assert_eq!((&change.before, change.revision), (&was.access, was.revision));
        let is = access_of(&world, change.contact.get().into()).await;
        assert_eq!(access_and_writer(&is), (private(&[ADA]), Some(id)));
    }
}

#[tokio::test]
async fn answer_leaves_out_a_contact_that_the_call_could_no_longer_change() {
    let bodies = [
        json!({"contactid": [1, 2, 3], "isShared": true, "managerList": [MIKE]}),
        json!({"contactid": [1, 2, 3], "addManagers": [MIKE]}),
    ];
    for body in bodies {
        let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
        let (proxy, jobs) = proxied(&world).await;
        let world = world.serving(api::App::new(jobs, std::time::Duration::from_secs(3600)));
        let gate = Gate::new();
        proxy.inject(at(Step::Batch, 1, Fault::Hold(When::Before, gate.clone())));
        let change = world.put("access.json?fields=id,isPrivate,canEdit", MIKE_TOKEN, &body);
        let (reply, ()) = tokio::join!(change, async {
            gate.reached().await;
            let lock = json!({"isShared": false, "managerList": [SAM]});
            assert_eq!(world.put("2/access", ADA_TOKEN, &lock).await.unwrap().status, 200);
            gate.open();
        });
        let reply = reply.unwrap();
        assert_eq!((reply.status.as_u16(), reply.ids()), (200, vec![1, 3]), "{}", reply.text);
        let counts = ["x-total-count", "x-matched-count", "x-updated-count"].map(|name| reply.count(name));
        assert_eq!((counts, reply.json()["total"].as_u64()), ([Some(2); 3], Some(2)), "{}", reply.text);
        assert_eq!(access_of(&world, 2).await.access, private(&[SAM]));
        assert_eq!(access_of(&world, 1).await.job(), job(&reply));
    }
}

#[tokio::test]
async fn job_of_named_contacts_shows_its_target_and_no_filter() {
    let world = acme_with(of_every_access()).await;
    let id = applied(&world, &run_of(&world, ADMIN, 1..=6, private(&[MIKE])).await).await;
    let shown = world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap().json();
    let shown = &shown["response"];
    assert_eq!((&shown["kind"], &shown["state"]), (&json!("contacts"), &json!("done")));
    assert_eq!((&shown["filter"], &shown["rule"], &shown["undoOf"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(shown["target"], json!({"isPrivate": true, "managerList": [MIKE]}));
    assert_eq!((&shown["matched"], &shown["updated"], &shown["unchanged"]), (&json!(6), &json!(5), &json!(1)));
    let changes = world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap().response();
    let ids: Vec<&Value> = changes.as_array().unwrap().iter().map(|change| &change["contactId"]).collect();
    assert_eq!(ids, [1, 3, 4, 5, 6]);
    // A caller undoes the job like any other job.
    let undo = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202, "{}", undo.text);
    world.work().await.unwrap();
    assert_eq!(record(&world, job(&undo).unwrap()).await.counts.updated, 5);
    assert_eq!(access_of(&world, 3).await.access, private(&[ADA]));
}

#[tokio::test]
async fn job_cancelled_before_a_worker_claims_it_changes_nothing() {
    let world = acme_with(of_every_access()).await;
    let state = access(&world, "acme", 1..=6).await;
    let run = run_of(&world, ADMIN, 1..=6, private(&[MIKE])).await;
    let queued = run.enqueue(world.jobs(), world.jobs().new_id()).await.unwrap();
    assert!(world.jobs().cancel(&id("acme"), &queued).await.unwrap());
    world.work().await.unwrap();
    let job = record(&world, queued.id).await;
    assert_eq!((job.state, job.is_over(), job.counts), (State::Cancelled, true, Counts::default()));
    assert_eq!(access(&world, "acme", 1..=6).await, state);
}

#[tokio::test]
async fn run_over_its_deadline_is_queued_for_a_worker() {
    let world = acme_with(of_every_access()).await;
    let run = run_of(&world, ADMIN, 1..=6, private(&[MIKE])).await;
    let id = world.jobs().new_id();
    let ran = run.apply(world.jobs(), id, &Deadline::at(Instant::now())).await.unwrap();
    let Applied::Requeued(job) = ran else { panic!("{ran:?} was completed after its deadline") };
    assert_eq!((job.id, job.state, job.counts), (id, State::Running, Counts::default()));
    assert_eq!(world.work().await.unwrap(), 1);
    assert_eq!((record(&world, id).await.state, record(&world, id).await.counts), (State::Done, run.counted().counts));
}

// Contacts that are removed meanwhile.

#[tokio::test]
async fn contact_removed_before_a_worker_reaches_it_gets_no_access_record() {
    let world = acme_with(of_every_access()).await;
    let run = run_of(&world, ADMIN, 1..=6, private(&[MIKE])).await;
    let job = run.enqueue(world.jobs(), world.jobs().new_id()).await.unwrap().id;
    // One contact has no access record. Two contacts have a record, and one of them already matches.
    remove(&world, [1, 2, 3]).await;
    world.work().await.unwrap();
    assert_eq!(record(&world, job).await.counts, Counts { matched: 3, updated: 3, ..Counts::default() });
    assert!(access(&world, "acme", 1..=6).await.into_keys().eq(4..=6));
    // An undo writes no access record either.
    remove(&world, [4]).await;
    let undo = undo(&world, job).await;
    assert_eq!(undo.counts, Counts { matched: 3, updated: 2, conflicts: 1, ..Counts::default() });
    assert!(access(&world, "acme", 1..=6).await.into_keys().eq(5..=6));
}

#[tokio::test]
async fn contact_removed_before_a_takeover_gets_no_access_record() {
    // This page has contacts with and without an access record.
    for (by_filter, page) in [(true, 2), (false, 1)] {
        let bed = Bed::new(1).await;
        let job = match by_filter {
            true => bed.enqueue_one().await.0,
            false => enqueue_all(&bed).await,
        };
        let dead = bed.process().await;
        dead.proxy.inject(at(Step::Chunk, page, Fault::Die(When::After)));
        let message = jobs::Message { portal: bed.portal.clone(), job, shard: Some(0) };
        dead.work(&message).await.unwrap_err();
        bed.world.queue.clear();

        let recorded = changes(&bed.world, job).await;
        let with = |record: bool| recorded.iter().find(|change| change.revision.is_some() == record).unwrap().contact;
        let removed = [with(true), with(false)].map(|contact| i64::from(contact.get()));
        let deletes = removed.map(|contact| json!({"delete": {"contact": contact}}));
        bed.world.import(&lines([portal("acme", "Europe/Riga", 1)].into_iter().chain(deletes))).await.unwrap();
        bed.recover().await;
        assert_eq!(record(&bed.world, job).await.state, State::Done);
        assert_eq!(access(&bed.world, "acme", removed).await, BTreeMap::new(), "by filter: {by_filter}");
        let others = bed.states().await;
        assert!(others.len() == 10 && others.values().all(|state| state.access == target()), "{others:?}");
    }
}

// Workers and calls that die.

/// Returns a run over all contacts of a test bed.
async fn all(bed: &Bed) -> ContactsRun {
    run_of(&bed.world, ADMIN, bed.numbers(), target()).await
}

async fn enqueue_all(bed: &Bed) -> JobId {
    let jobs = bed.world.jobs();
    let id = all(bed).await.enqueue(jobs, jobs.new_id()).await.unwrap().id;
    bed.world.queue.clear();
    id
}

#[tokio::test]
async fn another_worker_finishes_after_a_death_at_any_call_and_undo_restores() {
    for is_synchronous in [true, false] {
        for_each_death(6, async |number, when| {
            let bed = Bed::new(1).await;
            let dead = bed.process().await;
            let dies = Calls::numbered(number).meet(Fault::Die(when));
            let job = match is_synchronous {
                true => {
                    let (run, job) = (all(&bed).await, bed.world.jobs().new_id());
                    dead.proxy.inject(dies);
                    // The caller may or may not have received an answer.
                    run.apply(&dead.jobs, job, &Deadline::never()).await.map(drop).unwrap_or_default();
                    job
                }
                false => {
                    let job = enqueue_all(&bed).await;
                    dead.proxy.inject(dies);
                    let message = jobs::Message { portal: bed.portal.clone(), job, shard: Some(0) };
                    assert_eq!(dead.work(&message).await.is_err(), dead.proxy.is_dead());
                    job
                }
            };
            // Messages of the dead process were never sent.
            bed.world.queue.clear();
            bed.recover().await;
            if bed.world.store.job(&bed.portal, job).await.unwrap().is_none() {
                assert!(is_synchronous && number <= 3, "call {number}");
                assert_eq!(bed.written(job).await, BTreeSet::new());
                assert!(!bed.is_open(job).await);
                return dead.proxy.is_dead();
            }
            bed.check_done(job).await;
            bed.undone(job).await;
            bed.check_restored().await;
            dead.proxy.is_dead()
        })
        .await;
    }
}

#[tokio::test]
async fn another_worker_finishes_a_preview_after_a_death_at_any_call() {
    for_each_death(4, async |number, when| {
        let bed = Bed::new(1).await;
        let (run, jobs) = (all(&bed).await, bed.world.jobs());
        let preview = run.enqueue_preview(jobs, jobs.new_id()).await.unwrap().id;
        let died = bed.finish_after_death(number, when).await;
        bed.check_previewed(preview).await;
        died
    })
    .await;
}

/// Number of contacts with so many managers that a hundred contacts fill a chunk.
const HEAVY: i64 = 250;

#[tokio::test]
async fn page_of_several_chunks_resumes_in_its_middle() {
    let managers: Vec<UserId> = (1..=1000).map(UserId::from_u128).collect();
    let deaths = [
        (Step::Chunk, 2, When::Before),
        (Step::Chunk, 2, When::After),
        (Step::Batch, 6, When::After),
        (Step::Progress, 1, When::Before),
        (Step::Progress, 2, When::After),
    ];
    for (step, which, when) in cases::part(deaths, 2) {
        let world = acme_with((1..=HEAVY).map(|id| contact(id, json!({})))).await;
        set(&world, 1..=HEAVY, &private(&managers)).await;
        let run = run_of(&world, ADMIN, 1..=HEAVY, private(&[ADA])).await;
        let job = world.jobs().new_id();
        let (proxy, dead) = proxied(&world).await;
        proxy.inject(at(step, which, Fault::Die(when)));
        run.apply(&dead, job, &Deadline::never()).await.unwrap();
        assert!(proxy.is_dead(), "{step:?}");
        world.queue.clear();
        let later = world.app.now() + models::limits::duration(models::limits::LEASE_MILLIS);
        world.set_clock(later);
        assert_eq!(world.jobs().sweep(jobs::Abandoned::Expired, &Deadline::never()).await.unwrap(), 1, "{step:?}");
        world.work().await.unwrap();

        let record = record(&world, job).await;
        assert_eq!((record.state, record.counts), (State::Done, run.counted().counts), "{step:?}");
        let shards = world.store.shards(&id("acme"), &record).await.unwrap();
        assert!(shards.len() == 1 && shards[0].progress.next_chunk >= 3, "{shards:?}");
        let changes = changes(&world, job).await;
        assert!(changes.iter().map(|change| i64::from(change.contact.get())).eq(1..=HEAVY), "{step:?}");
        assert!(changes.iter().all(|change| change.before.managers == managers), "{step:?}");
        let after = access(&world, "acme", 1..=HEAVY).await;
        let ours = (private(&[ADA]), Some(job));
        assert!(after.len() == 250 && after.values().all(|state| access_and_writer(state) == ours), "{step:?}");
    }
}
