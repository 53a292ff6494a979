//! Runs over contacts that an import moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jobs::Jobs;
use models::access::Author;
use models::job::{JobId, Revision, State as JobState};
use models::values::id::PortalId;
use store::contacts::{AccessRecord, AccessState};
use store::dynamodb::batch::Priority;
use tests::faults::{Calls, Fault, Gate, Proxy, When};
use tests::{World, cases};

use super::{
    ALL, Bed, DATES, Filter, Mode, Mover, ONE_STAGE, ONE_TAG, PAGE, SEVERAL_STAGES, TWO_TAGS, check, load,
    matches_target, movers, moves, target, through, token_of,
};
use crate::portal::{ADA, access, job, lines, private, public};

/// Holds this call until the gate opens. Records whether this call or a later call reads the journal.
fn hold(proxy: &Proxy, number: u64) -> (Gate, Arc<AtomicBool>) {
    let (gate, read) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let (held, was_read) = (gate.clone(), read.clone());
    let gate_of_observer = held.clone();
    proxy.observe(move |call| {
        let partition = call.body["ExpressionAttributeValues"][":pk"]["S"].as_str().unwrap_or_default();
        let is_journal = call.body["IndexName"].is_null() && partition.contains("#V#");
        // Calls concurrent with the held call end before the import begins.
        if is_journal && (call.number == number || gate_of_observer.is_open()) {
            was_read.store(true, Ordering::SeqCst);
        }
    });
    proxy.inject(Calls::numbered(number).meet(Fault::Hold(When::Before, held)));
    (gate, read)
}

/// Makes one run for each of the [`cases::calls`], and imports before that call.
async fn move_at_any_call(shards: u16, filter: Filter, mode: Mode) {
    let (mut bed, movers) = (Bed::new().await, movers());
    bed.proxy.inject_permanently(Calls::all().meet(Fault::ShortPage(PAGE)));
    for at in cases::calls() {
        let context = format!("{} in {shards} shard(s), {mode:?}, import at call {at}", filter.body);
        let name = bed.portal(shards, &movers).await;
        let (gate, read) = hold(&bed.proxy, at);
        let (id, moved) = futures::join!(
            async {
                let id = bed.run(&name, filter, mode).await;
                gate.open();
                id
            },
            async {
                tokio::select! {
                    () = gate.reached() => {}
                    () = gate.opened() => return false,
                }
                bed.load(moves(&name, shards, &movers)).await;
                gate.open();
                true
            }
        );
        bed.proxy.clear();
        bed.world.catch_up().await.unwrap();
        if !moved {
            assert!(at > 20, "{context}");
            return;
        }
        let read = (shards == 1).then(|| read.load(Ordering::SeqCst));
        check(&bed, &name, filter, &movers, (id, read), &context).await;
    }
}

#[tokio::test]
async fn run_over_all_contacts_loses_no_contact_moved_at_any_call() {
    move_at_any_call(1, ALL, Mode::AtOnce).await;
}

#[tokio::test]
async fn run_over_several_stages_loses_no_contact_moved_at_any_call() {
    move_at_any_call(1, SEVERAL_STAGES, Mode::AtOnce).await;
}

#[tokio::test]
async fn run_over_one_stage_loses_no_contact_moved_at_any_call() {
    move_at_any_call(1, ONE_STAGE, Mode::ByWorkers).await;
}

#[tokio::test]
async fn run_over_tags_loses_no_contact_moved_at_any_call() {
    move_at_any_call(1, ONE_TAG, Mode::AtOnce).await;
    move_at_any_call(1, TWO_TAGS, Mode::ByWorkers).await;
}

#[tokio::test]
async fn run_over_dates_loses_no_contact_moved_at_any_call() {
    move_at_any_call(1, DATES, Mode::AtOnce).await;
}

#[tokio::test]
async fn run_in_several_shards_loses_no_contact_moved_at_any_call() {
    move_at_any_call(3, SEVERAL_STAGES, Mode::AtOnce).await;
}

#[tokio::test]
async fn workers_lose_no_contact_moved_at_any_call() {
    move_at_any_call(1, ALL, Mode::CountedFirst).await;
    move_at_any_call(2, ONE_TAG, Mode::ByWorkers).await;
}

#[tokio::test]
async fn run_loses_no_contact_of_an_import_that_began_before_it() {
    let (mut bed, movers) = (Bed::new().await, movers());
    bed.proxy.inject_permanently(Calls::all().meet(Fault::ShortPage(PAGE)));
    let imports = bed.world.proxy().await.unwrap();
    let importing = through(&imports, &bed.world).await;
    // The import stops before one of its calls and resumes before one of the run's calls. Not every pair is tried.
    let pairs = (1..60).step_by(2).map(|begun| (begun, 5 + begun * 7 % 23));
    for (begun, resumed) in cases::part(pairs, 5) {
        let context = format!("import held at call {begun} until call {resumed} of the run");
        let name = bed.portal(1, &movers).await;
        let (held, _) = hold(&imports, begun);
        let (gate, _) = hold(&bed.proxy, resumed);
        let over = Gate::new();
        let text = lines(moves(&name, 1, &movers));
        let clock = bed.clock();
        let (id, loaded, ()) = futures::join!(
            async {
                tokio::select! {
                    () = held.reached() => {}
                    () = over.opened() => {}
                }
                let id = bed.run(&name, ALL, Mode::AtOnce).await;
                held.open();
                gate.open();
                id
            },
            async {
                let loaded = load(&importing, &clock, &text).await;
                over.open();
                loaded
            },
            async {
                tokio::select! {
                    () = gate.reached() => {}
                    () = gate.opened() => {}
                }
                held.open();
                over.opened().await;
                gate.open();
            }
        );
        loaded.unwrap();
        bed.proxy.clear();
        imports.clear();
        bed.world.catch_up().await.unwrap();
        check_none_is_lost(&bed, &name, &movers, id, &context).await;
    }
}

/// Like [`check`] for a filter that matches every contact. If the import began before the run, the run need not find
/// contacts that the import had already removed.
async fn check_none_is_lost(bed: &Bed, name: &str, movers: &[Mover], id: JobId, context: &str) {
    let states = access(&bed.world, name, movers.iter().map(|mover| mover.number)).await;
    for mover in movers.iter().filter(|mover| !mover.returns) {
        let state = states.get(&i32::try_from(mover.number).unwrap()).cloned().unwrap_or(AccessState::UNRECORDED);
        assert_eq!(state.access, target(), "{context}: missed {mover:?}");
    }
    let (job, changes) = bed.job(name, id).await;
    assert_eq!((job.state, job.counts.updated), (JobState::Done, changes.len() as u64), "{context}");
}

#[tokio::test]
async fn contacts_moved_just_before_a_run_count_once() {
    let mut bed = Bed::new().await;
    let movers = movers();
    for (shards, filter) in [(1, ALL), (3, SEVERAL_STAGES), (2, ONE_TAG), (1, DATES)] {
        for mode in [Mode::AtOnce, Mode::ByWorkers, Mode::CountedFirst] {
            let context = format!("{} in {shards} shard(s), {mode:?}", filter.body);
            let name = bed.portal(shards, &movers).await;
            bed.load(moves(&name, shards, &movers)).await;
            bed.world.catch_up().await.unwrap();
            let meant: Vec<&Mover> = movers.iter().filter(|mover| (filter.means)(&mover.to)).collect();
            let unchanged = meant.iter().filter(|mover| matches_target(mover.number)).count() as u64;
            let (matched, updated) = (meant.len() as u64, meant.len() as u64 - unchanged);

            // A dry run, a preview and a limit count what the run then does.
            let dry = bed.put(&name, "dryRun=true", filter, &[]).await;
            let counts = ["x-matched-count", "x-updated-count", "x-unchanged-count"].map(|name| dry.count(name));
            assert_eq!(counts, [matched, updated, unchanged].map(Some), "{context}");
            let ids = dry.ids();
            let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
            assert_eq!((ids.len() as u64, distinct.len()), (matched, ids.len()), "{context}");
            let previewing = bed.put(&name, "dryRun=true", filter, &[("prefer", "respond-async")]).await;
            bed.world.work().await.unwrap();
            let (preview, recorded) = bed.job(&name, job(&previewing).unwrap()).await;
            let counts = (preview.counts.matched, preview.counts.updated, preview.counts.unchanged);
            assert_eq!((preview.state, counts), (JobState::Done, (matched, updated, unchanged)), "{context}");
            assert_eq!(recorded.len() as u64, updated, "{context}");
            let refused = bed.put(&name, &format!("maxAffected={}", updated - 1), filter, &[]).await;
            assert_eq!(refused.status, 422, "{context}: {}", refused.text);

            let query = if mode == Mode::CountedFirst { format!("maxAffected={updated}") } else { String::new() };
            let headers = if mode == Mode::AtOnce { vec![] } else { vec![("prefer", "respond-async")] };
            let reply = bed.put(&name, &query, filter, &headers).await;
            bed.world.work().await.unwrap();
            let id = job(&reply).unwrap();
            let (job, changes) = bed.job(&name, id).await;
            assert_eq!(job.state, JobState::Done, "{context}: {:?}", job.error);
            let counts = (job.counts.matched, job.counts.updated, job.counts.unchanged);
            assert_eq!(counts, (matched, updated, unchanged), "{context}");
            assert_eq!(changes.len() as u64, updated, "{context}");
        }
    }
}

#[tokio::test]
async fn run_over_moved_contacts_is_undone_completely() {
    let mut bed = Bed::new().await;
    bed.proxy.inject_permanently(Calls::all().meet(Fault::ShortPage(PAGE)));
    let movers: Vec<Mover> = movers().into_iter().filter(|mover| !mover.returns).collect();
    for at in [12, 16, 20] {
        let name = bed.portal(1, &movers).await;
        let (gate, _) = hold(&bed.proxy, at);
        let (id, ()) = futures::join!(bed.run(&name, ALL, Mode::AtOnce), async {
            gate.reached().await;
            bed.load(moves(&name, 1, &movers)).await;
            gate.open();
        });
        bed.proxy.clear();
        check(&bed, &name, ALL, &movers, (id, Some(true)), &format!("import at call {at}")).await;
        let undo = bed.world.post(&format!("jobs/{id}/undo"), &token_of(&name)).await.unwrap();
        assert_eq!(undo.status, 202, "{}", undo.text);
        bed.world.work().await.unwrap();
        let states = access(&bed.world, &name, movers.iter().map(|mover| mover.number)).await;
        for mover in &movers {
            let state = states.get(&i32::try_from(mover.number).unwrap()).cloned().unwrap_or(AccessState::UNRECORDED);
            let before = if matches_target(mover.number) { target() } else { public(&[]) };
            assert_eq!(state.access, before, "import at call {at}: {mover:?}");
        }
    }
}

#[tokio::test]
async fn later_changes_by_others_stay_although_the_contact_moves() {
    let mut bed = Bed::new().await;
    bed.proxy.inject_permanently(Calls::all().meet(Fault::ShortPage(PAGE)));
    let movers: Vec<Mover> = movers().into_iter().filter(|mover| !mover.returns).collect();
    let mut unchanged_since = 0;
    for at in 10..30 {
        let name = bed.portal(1, &movers).await;
        let (gate, _) = hold(&bed.proxy, at);
        let own = World::jobs(&bed.world).clone();
        let other = Jobs { store: bed.direct.clone(), ..own };
        let (id, set) = futures::join!(
            async {
                let id = bed.run(&name, ALL, Mode::AtOnce).await;
                gate.open();
                id
            },
            async {
                tokio::select! {
                    () = gate.reached() => {}
                    () = gate.opened() => return Vec::new(),
                }
                // Another user changes the contacts that the run has written so far. Then the import moves them.
                let states = access(&bed.world, &name, movers.iter().map(|mover| mover.number)).await;
                let portal: PortalId = name.parse().unwrap();
                let mut set = Vec::new();
                for (number, state) in states.iter().filter(|(number, _)| !matches_target(i64::from(**number))) {
                    let access = private(&[ADA]);
                    let record = AccessRecord {
                        access: &access,
                        revision: Revision { job: other.new_id(), chunk: None },
                        replaced: state.job(),
                        set_by: Author::User(ADA),
                        set_at: other.now(),
                    };
                    let contact = i64::from(*number).try_into().unwrap();
                    let written = other.store.write_access(&portal, vec![(contact, record)], Priority::Bulk).await;
                    assert!(written.error.is_none() && written.rejected.is_empty());
                    set.push(*number);
                }
                bed.load(moves(&name, 1, &movers)).await;
                gate.open();
                set
            }
        );
        bed.proxy.clear();
        let states = access(&bed.world, &name, movers.iter().map(|mover| mover.number)).await;
        let (_, changes) = bed.job(&name, id).await;
        for number in &set {
            assert_eq!(states[number].access, private(&[ADA]), "at call {at}, contact {number}");
            let logged = changes.iter().filter(|change| change.contact.get() == *number).count();
            assert_eq!(logged, 1, "at call {at}, contact {number}");
        }
        unchanged_since += set.len();
    }
    assert!(unchanged_since > 0);
}
