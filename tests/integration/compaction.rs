//! Compaction of postings: a list by manager becomes cheap again and misses no contact meanwhile.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use jobs::Deadline;
use models::limits::{COMPACTION_PAUSE_MILLIS, POSTING_SETTLED_MILLIS};
use models::values::id::{JobId, UserId};
use serde_json::{Value, json};
use store::compaction::Compacted;
use tests::faults::{Calls, Fault, Gate, When};
use tests::{World, cases};

use crate::job_faults::{Step, at};
use crate::portal::{ADA_TOKEN, MIKE, SAM, access, acme, contact, id, job, lines, portal};
use crate::workers::proxied;

/// The contacts that Mike gets and loses again.
const GIVEN: i64 = 150;
/// The contacts of the portal. Their number is large enough that a list by manager reads postings.
const ALL: i64 = 320;

fn pass(world: &World, millis: u64) {
    world.set_clock(world.app.now() + SignedDuration::from_millis(millis.try_into().unwrap()));
}

/// Advances the clock until postings count as settled and every read sees them.
async fn wait_until_settled(world: &World) {
    pass(world, POSTING_SETTLED_MILLIS.max(COMPACTION_PAUSE_MILLIS) + 1000);
    world.catch_up().await.unwrap();
}

async fn give_all(world: &World, managers: &[UserId]) -> JobId {
    let body = json!({"tags": ["given"], "isPrivate": true, "managerList": managers});
    let reply = world.put("filter/access", ADA_TOKEN, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    job(&reply).unwrap()
}

async fn give(world: &World, contact: i64, managers: &[UserId]) {
    let body = json!({"isShared": false, "managerList": managers});
    let reply = world.put(&format!("{contact}/access"), ADA_TOKEN, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
}

/// Creates a world in which Mike got many contacts and still has three. Returns the job that removed him from the
/// contacts.
async fn stale() -> (World, JobId) {
    let mut values = acme();
    values[0] = portal("acme", "Europe/Riga", 1);
    let tags = |number| if number <= GIVEN { json!(["given"]) } else { json!([]) };
    values.extend((1..=ALL).map(|number| contact(number, json!({"Tags": tags(number)}))));
    let world = World::with(&lines(values)).await.unwrap();
    give_all(&world, &[MIKE]).await;
    let removal = give_all(&world, &[SAM]).await;
    for number in 1..=3 {
        give(&world, number, &[MIKE]).await;
    }
    (world, removal)
}

/// Returns a manager's contacts as a list shows them, and the list's read units.
async fn listed(world: &World, manager: UserId) -> (BTreeSet<i64>, f64) {
    let before = world.trips.spent();
    let reply = world.contact(&format!("filter?responsibleid={manager}"), ADA_TOKEN).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    (reply.ids().into_iter().collect(), (world.trips.spent() - before).read_units)
}

/// Returns a manager's contacts according to the access records.
async fn own(world: &World, manager: UserId) -> BTreeSet<i64> {
    let states = access(world, "acme", 1..=ALL).await;
    let own = states.into_iter().filter(|(_, state)| state.access.managers.contains(&manager));
    own.map(|(contact, _)| contact.into()).collect()
}

/// Checks that each manager's list shows exactly the manager's contacts, and that the postings include them.
async fn check_lists(world: &World, case: &str) {
    for manager in [MIKE, SAM] {
        let own = own(world, manager).await;
        let indexed =
            world.store.contacts_indexed_for(&id("acme"), manager, usize::MAX).await.unwrap().unwrap().contacts;
        let indexed: BTreeSet<i64> = indexed.into_iter().map(|contact| contact.get().into()).collect();
        assert!(own.is_subset(&indexed), "{case}: {:?} of {manager} not indexed", own.difference(&indexed));
        assert_eq!(listed(world, manager).await.0, own, "{case}");
    }
}

async fn compact(world: &World) -> Compacted {
    world.store.compact_postings(&id("acme"), MIKE, world.app.now()).await.unwrap()
}

#[tokio::test]
async fn list_with_stale_postings_requests_compaction_and_becomes_cheap() {
    let (world, _) = stale().await;
    let (own, before) = listed(&world, MIKE).await;
    assert_eq!(own, [1, 2, 3].into());
    assert!(before > 75.0, "{before} read units");
    let requests = world.store.due_compactions(world.app.now()).await.unwrap();
    assert_eq!(requests.iter().map(|due| due.manager).collect::<Vec<_>>(), [MIKE]);
    // No posting is settled yet, so compaction removes no posting. A posting of Mike's three contacts is written.
    assert_eq!(world.jobs().compact_due_postings(&Deadline::never()).await.unwrap(), 1);
    check_lists(&world, "packed").await;
    assert_eq!(world.jobs().compact_due_postings(&Deadline::never()).await.unwrap(), 0);
    // A compaction removes settled postings without a further list.
    wait_until_settled(&world).await;
    assert_eq!(world.jobs().compact_due_postings(&Deadline::never()).await.unwrap(), 1);
    assert_eq!(world.store.due_compactions(world.app.now()).await.unwrap(), []);
    let (own, after) = listed(&world, MIKE).await;
    assert_eq!(own, [1, 2, 3].into());
    assert!(after < before / 4.0, "{before} read units before, {after} after");
    check_lists(&world, "compacted").await;
    // A list with little waste requests no compaction.
    assert_eq!(world.store.due_compactions(world.app.now()).await.unwrap(), []);
}

#[tokio::test]
async fn list_succeeds_although_its_compaction_request_fails_and_requests_are_rare() {
    let (world, _) = stale().await;
    let (proxy, jobs) = proxied(&world).await;
    let world = world.serving(api::App::new(jobs, std::time::Duration::ZERO));
    proxy.inject(Calls::writes().meet(Fault::InternalError(When::Before)));
    assert_eq!(listed(&world, MIKE).await.0, [1, 2, 3].into());
    // The list does not request a compaction again soon.
    proxy.clear();
    assert_eq!(listed(&world, MIKE).await.0, [1, 2, 3].into());
    assert_eq!(world.store.due_compactions(world.app.now()).await.unwrap(), []);
    pass(&world, COMPACTION_PAUSE_MILLIS);
    listed(&world, MIKE).await;
    assert_eq!(world.store.due_compactions(world.app.now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn compaction_that_dies_at_any_call_loses_no_contact() {
    for number in cases::calls() {
        let (world, _) = stale().await;
        let (proxy, jobs) = proxied(&world).await;
        let mut died = false;
        for _ in 0..3 {
            let when = if number % 2 == 0 { When::Before } else { When::After };
            proxy.inject(Calls::numbered(number).meet(Fault::Die(when)));
            let ended = jobs.store.compact_postings(&id("acme"), MIKE, world.app.now()).await.is_ok();
            died |= !ended;
            proxy.clear();
            check_lists(&world, &format!("call {number}")).await;
            wait_until_settled(&world).await;
        }
        for _ in 0..2 {
            compact(&world).await;
            wait_until_settled(&world).await;
        }
        check_lists(&world, &format!("call {number}, at the end")).await;
        assert!(listed(&world, MIKE).await.1 < 40.0);
        if !died {
            assert!(number > 3, "{number} calls");
            return;
        }
    }
}

/// Actions between two calls of a compaction.
#[derive(Clone, Copy, Debug)]
enum Between {
    /// A single change gives Mike a contact that he once had.
    Single,
    /// An undo gives the lost contacts back to Mike.
    Undo,
    /// A run removes Mike from his contacts, a single change gives him one contact, and a run gives him all contacts.
    TakeAndGive,
    /// Another compaction.
    Compaction,
}

async fn act(world: &World, between: Between, removal: JobId) {
    match between {
        Between::Single => give(world, 50, &[SAM, MIKE]).await,
        Between::Undo => {
            let reply = world.post(&format!("jobs/{removal}/undo"), ADA_TOKEN).await.unwrap();
            assert_eq!(reply.status, 202, "{}", reply.text);
            world.work().await.unwrap();
        }
        Between::TakeAndGive => {
            give_all(world, &[SAM]).await;
            give(world, 2, &[MIKE]).await;
            give_all(world, &[SAM, MIKE]).await;
        }
        Between::Compaction => drop(compact(world).await),
    }
}

#[tokio::test]
async fn list_misses_no_contact_when_changes_interleave_with_a_compaction() {
    let all = [Between::Single, Between::Undo, Between::TakeAndGive, Between::Compaction];
    for (at, between) in all.into_iter().enumerate() {
        for number in cases::calls().filter(|number| cases::is_turn(*number, at)) {
            let (world, removal) = stale().await;
            wait_until_settled(&world).await;
            let (proxy, jobs) = proxied(&world).await;
            let mut reached = false;
            // The first compaction packs postings, the second removes them.
            for _ in 0..2 {
                let gate = Gate::new();
                proxy.inject(Calls::numbered(number).meet(Fault::Hold(When::Before, gate.clone())));
                let acme = id("acme");
                let compaction = async {
                    let compacted = jobs.store.compact_postings(&acme, MIKE, world.app.now()).await;
                    gate.open();
                    compacted.unwrap()
                };
                let others = async {
                    tokio::select! {
                        () = gate.reached() => {}
                        () = gate.opened() => return false,
                    }
                    act(&world, between, removal).await;
                    check_lists(&world, &format!("{between:?} at call {number}, meanwhile")).await;
                    gate.open();
                    true
                };
                let (_, was_reached) = tokio::join!(compaction, others);
                reached |= was_reached;
                proxy.clear();
                check_lists(&world, &format!("{between:?} at call {number}, after")).await;
                wait_until_settled(&world).await;
            }
            compact(&world).await;
            check_lists(&world, &format!("{between:?} at call {number}, at the end")).await;
            if !reached {
                assert!(number > 4, "{number} calls");
                break;
            }
        }
    }
}

/// Compacts until nothing is left to compact.
async fn compact_all(world: &World) {
    wait_until_settled(world).await;
    while compact(world).await != Compacted::default() {
        wait_until_settled(world).await;
    }
}

#[tokio::test]
async fn list_shows_contacts_of_an_undo_after_a_compaction() {
    let (world, removal) = stale().await;
    compact_all(&world).await;
    act(&world, Between::Undo, removal).await;
    check_lists(&world, "undone").await;
    assert_eq!(i64::try_from(listed(&world, MIKE).await.0.len()).unwrap(), GIVEN);
}

#[tokio::test]
async fn list_shows_contacts_of_a_chunk_taken_over_after_a_compaction() {
    for when in When::BOTH {
        let (world, _) = stale().await;
        let body: Value = json!({"tags": ["given"], "isPrivate": true, "managerList": [MIKE]});
        let headers = [("prefer", "respond-async")];
        let reply = world.put_with("filter/access", ADA_TOKEN, &body.to_string(), &headers).await.unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text);
        // The worker dies after writing postings, and before or while writing records.
        let (proxy, jobs) = proxied(&world).await;
        proxy.inject(at(Step::Batch, 1, Fault::Die(when)));
        let message = world.queue.take().unwrap();
        jobs.work(&message, &Deadline::never()).await.unwrap_err();
        compact_all(&world).await;
        check_lists(&world, "compacted").await;
        world.jobs().work(&message, &Deadline::never()).await.unwrap();
        check_lists(&world, "taken over").await;
        assert_eq!(i64::try_from(listed(&world, MIKE).await.0.len()).unwrap(), GIVEN);
    }
}
