//! Contacts that an import moves to other partitions of the indexes during a run.
//!
//! For every call of the run: the test holds the call, imports past the proxy, and lets the run continue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::App;
use jiff::SignedDuration;
use jobs::Jobs;
use models::access::{Access, Author};
use models::import::parse_line;
use models::job::{Change, Job, JobId, State as JobState};
use models::limits::{MOVE_WRITE_MILLIS, MOVES_BEFORE_MILLIS, MOVES_KEPT_HOURS};
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::contacts::{AccessRecord, AccessState};
use store::dynamodb::client::{Endpoint, connect};
use store::import::{ImportError, Importer, Options};
use store::keys::Key;
use store::{Clock, Store};
use tests::proxy::{Call, Gate, Proxy, Verdict};
use tests::{Reply, World};
use uuid::Uuid;

use crate::portal::{ADA, MIKE, access, contact, job, lines, portal, private, public, stage, token, user};

/// Maximum entries of an index query here, so that a partition takes several queries.
const PAGE: u64 = 4;

/// The fields of a contact that filters use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    stage: i32,
    tags: &'static [&'static str],
    created: &'static str,
}

const fn look(stage: i32, tags: &'static [&'static str], created: &'static str) -> Look {
    Look { stage, tags, created }
}

/// Fields of contacts before and after an import. Each of these becomes each of the others.
const LOOKS: [Look; 6] = [
    look(1, &["vip", "north"], "2020-03-01T00:00:00Z"),
    look(2, &["vip", "north"], "2020-03-01T00:00:00Z"),
    look(1, &["vip"], "2018-01-01T00:00:00Z"),
    look(1, &["north", "vip", "new"], "2030-01-01T00:00:00Z"),
    look(0, &["vip"], "2020-06-01T00:00:00Z"),
    look(3, &[], "2020-03-01T00:00:00Z"),
];

/// A contact that the import moves.
#[derive(Clone, Copy, Debug)]
struct Mover {
    number: i64,
    from: Look,
    to: Look,
    /// Whether the contact is removed and added again.
    returns: bool,
}

/// Returns every move between two looks, plus contacts that are removed and added again.
fn movers() -> Vec<Mover> {
    let pairs = LOOKS.iter().flat_map(|from| LOOKS.iter().map(move |to| (*from, *to)));
    let changed = pairs.clone().filter(|(from, to)| from != to).map(|(from, to)| (from, to, false));
    let returned =
        pairs.step_by(7).chain([(LOOKS[1], LOOKS[0]), (LOOKS[5], LOOKS[4])]).map(|(from, to)| (from, to, true));
    (1..)
        .zip(changed.chain(returned))
        .map(|(number, (from, to, returns))| Mover { number, from, to, returns })
        .collect()
}

/// A filter, and whether it matches a contact with these fields.
#[derive(Clone, Copy, Debug)]
struct Filter {
    body: &'static str,
    means: fn(&Look) -> bool,
}

const ALL: Filter = Filter { body: "{}", means: |_| true };
const SEVERAL_STAGES: Filter = Filter { body: r#"{"contactStage":[2,1]}"#, means: |look| [1, 2].contains(&look.stage) };
const ONE_STAGE: Filter = Filter { body: r#"{"contactStage":1}"#, means: |look| look.stage == 1 };
const ONE_TAG: Filter = Filter { body: r#"{"tags":["VIP"]}"#, means: |look| look.tags.contains(&"vip") };
const TWO_TAGS: Filter = Filter {
    body: r#"{"tags":["north","vip"],"contactStage":[1,2]}"#,
    means: |look| look.tags.contains(&"vip") && look.tags.contains(&"north"),
};
const DATES: Filter =
    Filter { body: r#"{"fromDate":"2019-01-01","toDate":"2031-01-01"}"#, means: |look| look.created > "2019" };

/// Execution mode of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Synchronously in the call.
    AtOnce,
    /// In workers.
    ByWorkers,
    /// In workers that count the changes before they write.
    CountedFirst,
}

/// One table. The service goes through a proxy, imports bypass it.
struct Bed {
    world: World,
    proxy: Proxy,
    direct: Store,
    portals: u32,
}

fn target() -> Access {
    private(&[MIKE])
}

/// Returns whether a contact matches the target before the runs start.
fn is_as_asked(number: i64) -> bool {
    number % 4 == 0
}

fn line(number: i64, look: Look) -> Value {
    let mut members = json!({"ContactStatus": {"id": look.stage}, "Tags": look.tags, "Created": look.created});
    if is_as_asked(number) {
        members["ShareType"] = json!(0);
        members["AccessList"] = json!([{"Id": MIKE}]);
    }
    contact(number, members)
}

fn token_of(portal: &str) -> String {
    format!("{portal}-0123456789abcdef0123456789abcdef")
}

fn endpoint(world: &World) -> Endpoint {
    #[expect(clippy::disallowed_methods, reason = "which engine the tests run on is told from outside")]
    let named = || Endpoint::at(std::env::var("CRM_ACCESS_TEST_DYNAMODB").unwrap());
    world.endpoint().unwrap_or_else(named)
}

async fn through(proxy: &Proxy, world: &World) -> Store {
    Store::new(connect(Some(&Endpoint::at(proxy.url())), None).await, &world.table)
}

async fn load(store: &Store, clock: &Clock, text: &str) -> Result<(), ImportError> {
    let options = Options { overwrite_access: false, revision: Uuid::now_v7().into(), clock: clock.clone() };
    let mut importer = Importer::new(store, options);
    for line in text.lines() {
        let line = parse_line(line, &importer.time_zone()).unwrap();
        importer.push(line).await?;
    }
    importer.finish().await?;
    Ok(())
}

impl Bed {
    async fn new() -> Self {
        let world = World::new().await.unwrap();
        let direct = world.store.clone();
        let proxy = Proxy::start(&endpoint(&world).url).await.unwrap();
        let jobs = Jobs { store: through(&proxy, &world).await, ..world.jobs().clone() };
        let world = world.serving(App::new(jobs, Duration::from_secs(3600)));
        Self { world, proxy, direct, portals: 0 }
    }

    fn clock(&self) -> Clock {
        self.world.jobs().clock.clone()
    }

    /// Loads values past the proxy.
    async fn load(&self, values: Vec<Value>) {
        load(&self.direct, &self.clock(), &lines(values)).await.unwrap();
    }

    /// Creates a portal with the movers before their moves.
    async fn portal(&mut self, shards: u16, movers: &[Mover]) -> String {
        self.portals += 1;
        let name = format!("portal-{}", self.portals);
        let mut values = vec![portal(&name, "UTC", shards), user(ADA, "Ada", true), user(MIKE, "Mike", false)];
        values.push(token(&token_of(&name), ADA, &["read", "write"]));
        values.extend((1..=3).map(stage));
        values.extend(movers.iter().map(|mover| line(mover.number, mover.from)));
        self.load(values).await;
        self.world.catch_up().await.unwrap();
        name
    }

    async fn put(&self, name: &str, query: &str, filter: Filter, headers: &[(&str, &str)]) -> Reply {
        let mut body: Value = serde_json::from_str(filter.body).unwrap();
        body["isPrivate"] = json!(true);
        body["managerList"] = json!([MIKE]);
        let path = format!("filter/access?{query}");
        self.world.put_with(&path, &token_of(name), &body.to_string(), headers).await.unwrap()
    }

    /// Makes a run and returns its job.
    async fn run(&self, name: &str, filter: Filter, mode: Mode) -> JobId {
        let (query, headers) = match mode {
            Mode::AtOnce => ("", vec![]),
            Mode::ByWorkers => ("", vec![("prefer", "respond-async")]),
            Mode::CountedFirst => ("maxAffected=1000", vec![("prefer", "respond-async")]),
        };
        let reply = self.put(name, query, filter, &headers).await;
        let status = if mode == Mode::AtOnce { 200 } else { 202 };
        assert_eq!(reply.status, status, "{}", reply.text);
        self.world.work().await.unwrap();
        job(&reply).unwrap()
    }

    async fn job(&self, name: &str, id: JobId) -> (Job, Vec<Change>) {
        let portal: PortalId = name.parse().unwrap();
        let job = self.direct.job(&portal, id).await.unwrap().unwrap();
        let changes = self.world.jobs().changes(&portal, &job, 0, 10_000).await.unwrap();
        (job, changes)
    }
}

/// Returns the lines that move the movers.
fn moves(name: &str, shards: u16, movers: &[Mover]) -> Vec<Value> {
    let mut values = vec![portal(name, "UTC", shards)];
    values
        .extend(movers.iter().filter(|mover| mover.returns).map(|mover| json!({"delete": {"contact": mover.number}})));
    values.extend(movers.iter().map(|mover| line(mover.number, mover.to)));
    values
}

/// Checks that every contact matched before and after the move has the target, that no contact matched at neither time
/// is changed, and that each is counted and logged once. A contact that was removed and added again after the run's
/// last journal read has the access it was added with.
///
/// `read` says whether the run read the journal after the import. It is unknown when several shards each read the
/// journal: then a contact removed and added again may have the target or the access it was added with, like any
/// contact loaded during a run.
async fn check(
    bed: &Bed,
    name: &str,
    filter: Filter,
    movers: &[Mover],
    (id, read): (JobId, Option<bool>),
    context: &str,
) {
    let states = access(&bed.world, name, movers.iter().map(|mover| mover.number)).await;
    let (mut least, mut most, mut twice) = (0, 0, 0);
    for mover in movers {
        let state = states.get(&i32::try_from(mover.number).unwrap()).cloned().unwrap_or(AccessState::UNRECORDED);
        let before = if is_as_asked(mover.number) { target() } else { public(&[]) };
        match ((filter.means)(&mover.from), (filter.means)(&mover.to)) {
            (true, true) if mover.returns && read.is_none() => {}
            (true, true) if mover.returns && read == Some(false) => least += 1,
            (true, true) => {
                assert_eq!(state.access, target(), "{context}: missed {mover:?}");
                least += 1;
            }
            (false, false) => assert_eq!(state.access, before, "{context}: {mover:?}"),
            (true, false) | (false, true) => {}
        }
        most += u64::from((filter.means)(&mover.from) || (filter.means)(&mover.to));
        twice += u64::from(mover.returns && !is_as_asked(mover.number));
    }
    let (job, changes) = bed.job(name, id).await;
    let counts = job.counts;
    assert_eq!((job.state, counts.failed, counts.skipped), (JobState::Done, 0, 0), "{context}");
    assert_eq!(counts.matched, counts.updated + counts.unchanged, "{context}: {counts:?}");
    assert!((least..=most + twice).contains(&counts.matched), "{context}: {counts:?}, {least} to {most} + {twice}");
    let mut logged: BTreeMap<i64, u64> = BTreeMap::new();
    for change in &changes {
        *logged.entry(change.contact.get().into()).or_default() += 1;
    }
    assert_eq!(counts.updated, changes.len() as u64, "{context}");
    for (number, times) in logged {
        let mover = movers.iter().find(|mover| mover.number == number).unwrap();
        // A contact that was removed and added again is a new contact and may be written again.
        assert!(times == 1 || times == 2 && mover.returns, "{context}: {times} changes of {mover:?}");
    }
}

/// Holds this call until the gate opens. Notes whether that call or a later one reads the journal.
fn hold(proxy: &Proxy, number: u64) -> (Gate, Arc<AtomicBool>) {
    let (gate, read) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let (held, noted) = (gate.clone(), read.clone());
    proxy.set(move |call| {
        let partition = call.body["ExpressionAttributeValues"][":pk"]["S"].as_str().unwrap_or_default();
        let is_journal = call.body["IndexName"].is_null() && partition.contains("#V#");
        // Calls concurrent with the held call end before the import begins.
        if is_journal && (call.number == number || held.is_open()) {
            noted.store(true, Ordering::SeqCst);
        }
        if call.number == number { Verdict::Hold(held.clone()) } else { Verdict::Pass }
    });
    (gate, read)
}

/// Makes one run for each of its calls, and imports before that call.
async fn move_at_any_call(shards: u16, filter: Filter, mode: Mode) {
    let (mut bed, movers) = (Bed::new().await, movers());
    bed.proxy.limit_queries(PAGE);
    let mut at = 1;
    loop {
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
        at += 1;
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
    bed.proxy.limit_queries(PAGE);
    let imports = Proxy::start(&endpoint(&bed.world).url).await.unwrap();
    let importing = through(&imports, &bed.world).await;
    // The import stops before one of its calls and resumes before one of the run's calls. Not every pair is tried.
    for (begun, resumed) in (1..60).step_by(2).map(|begun| (begun, 5 + begun * 7 % 23)) {
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

/// Like [`check`] for a filter that matches every contact. An import that began before the run may already have removed
/// a contact, which the run then need not find.
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
            let unchanged = meant.iter().filter(|mover| is_as_asked(mover.number)).count() as u64;
            let (matched, updated) = (meant.len() as u64, meant.len() as u64 - unchanged);

            // A dry run and a limit count what the run then does.
            let dry = bed.put(&name, "dryRun=true", filter, &[]).await;
            let counts = ["x-matched-count", "x-updated-count", "x-unchanged-count"].map(|name| dry.count(name));
            assert_eq!(counts, [matched, updated, unchanged].map(Some), "{context}");
            let ids = dry.ids();
            let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
            assert_eq!((ids.len() as u64, distinct.len()), (matched, ids.len()), "{context}");
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
    bed.proxy.limit_queries(PAGE);
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
            let before = if is_as_asked(mover.number) { target() } else { public(&[]) };
            assert_eq!(state.access, before, "import at call {at}: {mover:?}");
        }
    }
}

#[tokio::test]
async fn later_changes_by_others_stay_although_the_contact_moves() {
    let mut bed = Bed::new().await;
    bed.proxy.limit_queries(PAGE);
    let movers: Vec<Mover> = movers().into_iter().filter(|mover| !mover.returns).collect();
    let mut kept = 0;
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
                for (number, state) in states.iter().filter(|(number, _)| !is_as_asked(i64::from(**number))) {
                    let access = private(&[ADA]);
                    let record = AccessRecord {
                        access: &access,
                        revision: other.new_id(),
                        set_by: Author::User(ADA),
                        set_at: other.now(),
                    };
                    let contact = i64::from(*number).try_into().unwrap();
                    let written =
                        other.store.write_access_where(&portal, vec![(contact, state.revision, record)]).await;
                    assert!(written.error.is_none() && written.refused.is_empty());
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
        kept += set.len();
    }
    assert!(kept > 0);
}

// The journal.

/// Writes of an import, in order: the time of a journal entry, or the contact of another item.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrote {
    Entry(Timestamp),
    Item(i32),
}

/// Makes a proxy note the writes that pass.
fn noted(proxy: &Proxy, mut verdict: impl FnMut(&Call) -> Verdict + Send + 'static) -> Arc<Mutex<Vec<Wrote>>> {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let kept = notes.clone();
    proxy.set(move |call| {
        let keys = if call.writes() { call.keys() } else { Vec::new() };
        kept.lock().unwrap().extend(keys.iter().filter_map(|(pk, sk)| match Key::decode(pk, sk)? {
            Key::Move(_, _, at, _) => Some(Wrote::Entry(at)),
            Key::Contact(_, id) | Key::ContactTag(_, id, _) | Key::Access(_, id) => Some(Wrote::Item(id.get())),
            _ => None,
        }));
        verdict(call)
    });
    notes
}

/// Imports values through a separate proxy. Returns the writes.
async fn imported(bed: &Bed, values: Vec<Value>) -> Vec<Wrote> {
    let proxy = Proxy::start(&endpoint(&bed.world).url).await.unwrap();
    let store = through(&proxy, &bed.world).await;
    let notes = noted(&proxy, |_| Verdict::Pass);
    load(&store, &bed.clock(), &lines(values)).await.unwrap();
    std::mem::take(&mut notes.lock().unwrap())
}

#[tokio::test]
async fn journal_holds_exactly_the_index_changes() {
    let mut bed = Bed::new().await;
    let name = bed.portal(1, &[]).await;
    let portal_line = || portal(&name, "UTC", 1);
    let with = |number, members: Value| {
        let mut all = json!({"ContactStatus": {"id": 1}, "Tags": ["vip"], "DisplayName": "One"});
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        contact(number, all)
    };
    let first = imported(&bed, vec![portal_line(), with(1, json!({})), with(2, json!({}))]).await;
    assert!(!first.iter().any(|wrote| matches!(wrote, Wrote::Entry(_))), "new contacts: {first:?}");
    for (what, members, expected) in [
        ("nothing", json!({}), 0),
        ("what no filter asks", json!({"About": "new"}), 0),
        ("the spelling of a tag", json!({"Tags": ["VIP"], "About": "new"}), 0),
        ("the stage", json!({"ContactStatus": {"id": 2}}), 1),
        ("the stage to none", json!({"ContactStatus": null}), 1),
        ("a tag", json!({"Tags": ["vip", "north"]}), 1),
        ("all tags", json!({"Tags": []}), 1),
        ("the creation date", json!({"Created": "2019-01-01T00:00:00Z"}), 1),
        ("the name", json!({"DisplayName": "Another"}), 1),
    ] {
        let wrote = imported(&bed, vec![portal_line(), with(1, members)]).await;
        let entries = wrote.iter().filter(|wrote| matches!(wrote, Wrote::Entry(_))).count();
        assert_eq!(entries, expected, "{what}: {wrote:?}");
        assert!(expected == 0 || matches!(wrote.first(), Some(Wrote::Entry(_))), "{what}: {wrote:?}");
        imported(&bed, vec![portal_line(), with(1, json!({}))]).await;
    }
    let gone = json!({"delete": {"contact": 1}});
    let removed = imported(&bed, vec![portal_line(), gone]).await;
    assert!(!removed.iter().any(|wrote| matches!(wrote, Wrote::Entry(_))), "{removed:?}");
    let returned = imported(&bed, vec![portal_line(), with(1, json!({}))]).await;
    assert!(matches!(returned.first(), Some(Wrote::Entry(_))), "{returned:?}");
}

#[tokio::test]
async fn no_move_is_written_under_an_old_journal_entry() {
    let mut bed = Bed::new().await;
    // A flush of many batches: each mover is one item plus one for each tag.
    let tags: Vec<String> = (0..8).map(|tag| format!("tag {tag}")).collect();
    let many = |stage: i32| {
        let tags = tags.clone();
        (1..=150).map(move |number| contact(number, json!({"ContactStatus": {"id": stage}, "Tags": tags})))
    };
    let name = bed.portal(2, &[]).await;
    let line = portal(&name, "UTC", 2);
    bed.load(std::iter::once(line.clone()).chain(many(1)).collect()).await;
    // The first batch is the journal's. After that, eight batches are in flight at a time.
    for slow in [2, 10, 18, 26, 34, 42] {
        let proxy = Proxy::start(&endpoint(&bed.world).url).await.unwrap();
        let store = through(&proxy, &bed.world).await;
        let gate = Gate::new();
        let (held, clock, mut batches) = (gate.clone(), bed.clock(), 0);
        // The time of each write, with the journal entry before it.
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut entry) = (sent.clone(), None);
        proxy.set(move |call| {
            let keys = if call.writes() { call.keys() } else { Vec::new() };
            for key in keys.iter().filter_map(|(pk, sk)| Key::decode(pk, sk)) {
                match key {
                    Key::Move(_, _, at, _) => entry = Some(at),
                    Key::Contact(..) | Key::ContactTag(..) => kept.lock().unwrap().push((entry, clock())),
                    _ => {}
                }
            }
            batches += u32::from(call.operation == "BatchWriteItem");
            if batches >= slow { Verdict::Hold(held.clone()) } else { Verdict::Pass }
        });
        let stage = if slow % 16 == 2 { 2 } else { 3 };
        let text = lines(std::iter::once(line.clone()).chain(many(stage)));
        let (began, own_clock) = (bed.world.app.now(), bed.clock());
        let (loaded, ()) = futures::join!(load(&store, &own_clock, &text), async {
            gate.reached_by(8).await;
            bed.world.set_clock(began + SignedDuration::from_millis(2 * MOVE_WRITE_MILLIS.cast_signed()));
            gate.open();
        });
        loaded.unwrap();
        let sent = sent.lock().unwrap();
        assert!(sent.len() >= 150 * 9, "{}", sent.len());
        for (entry, at) in sent.iter() {
            let age = at.since(entry.unwrap());
            assert!(age <= SignedDuration::from_millis(MOVE_WRITE_MILLIS.cast_signed()), "{age} at batch {slow}");
        }
    }
}

#[tokio::test]
async fn contact_is_not_written_without_its_journal_entry() {
    let mut bed = Bed::new().await;
    let movers = movers();
    let name = bed.portal(1, &movers).await;
    let proxy = Proxy::start(&endpoint(&bed.world).url).await.unwrap();
    let store = through(&proxy, &bed.world).await;
    let is_entry = |call: &Call| call.keys().iter().any(|(pk, sk)| matches!(Key::decode(pk, sk), Some(Key::Move(..))));
    let notes = noted(&proxy, move |call| if is_entry(call) { Verdict::Refuse } else { Verdict::Pass });
    let changed: Vec<Mover> = movers.into_iter().filter(|mover| !mover.returns).collect();
    assert!(load(&store, &bed.clock(), &lines(moves(&name, 1, &changed))).await.is_err());
    let notes = notes.lock().unwrap();
    assert!(!notes.iter().any(|wrote| matches!(wrote, Wrote::Item(_))), "{notes:?}");
}

#[tokio::test]
async fn run_reads_only_the_journal_of_the_minutes_before_it() {
    let mut bed = Bed::new().await;
    let movers = movers();
    let name = bed.portal(1, &movers).await;
    bed.load(moves(&name, 1, &movers)).await;
    let of_run = |bed: &Bed| {
        let read = Arc::new(Mutex::new(0));
        let kept = read.clone();
        bed.proxy.set(move |call| {
            let keys = if call.operation == "BatchGetItem" { call.keys() } else { Vec::new() };
            let is_contact = |(pk, sk): &(String, String)| matches!(Key::decode(pk, sk), Some(Key::Contact(..)));
            *kept.lock().unwrap() += keys.iter().filter(|key| is_contact(key)).count();
            Verdict::Pass
        });
        read
    };
    let began = bed.world.app.now();
    let read = of_run(&bed);
    let none = Filter { body: r#"{"contactType":9}"#, means: |_| false };
    bed.run(&name, none, Mode::AtOnce).await;
    assert!(*read.lock().unwrap() > 0, "moves of a moment before");
    // After that time the indexes show every move.
    bed.world.set_clock(began + SignedDuration::from_millis(1 + MOVES_BEFORE_MILLIS.cast_signed()));
    let read = of_run(&bed);
    bed.run(&name, none, Mode::AtOnce).await;
    assert_eq!(*read.lock().unwrap(), 0, "moves of long before");
}

#[tokio::test]
async fn job_that_outlives_the_journal_reports_possibly_missed_contacts() {
    let mut bed = Bed::new().await;
    let movers = movers();
    let name = bed.portal(1, &movers).await;
    let reply = bed.put(&name, "", ALL, &[("prefer", "respond-async")]).await;
    let id = job(&reply).unwrap();
    let message = bed.world.queue.take().unwrap();
    // The job starts and its worker dies.
    bed.proxy.set(|call| if call.operation == "Query" { Verdict::Die } else { Verdict::Pass });
    assert!(bed.world.jobs().work(&message, &jobs::Deadline::never()).await.is_err());
    bed.proxy.clear();
    bed.world.set_clock(bed.world.app.now() + SignedDuration::from_hours(MOVES_KEPT_HOURS + 1));
    for _ in 0..=models::limits::MAX_TRIES {
        if bed.world.jobs().work(&message, &jobs::Deadline::never()).await.is_ok() {
            break;
        }
        bed.world.set_clock(bed.world.app.now() + SignedDuration::from_hours(1));
    }
    let (job, _) = bed.job(&name, id).await;
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.as_deref().is_some_and(|error| error.contains("longer than a day")), "{:?}", job.error);
}
