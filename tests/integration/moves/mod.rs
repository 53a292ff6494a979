//! Contacts that an import moves to other partitions of the indexes during a run.
//!
//! For every call of the run: the test holds the call, imports without the proxy, and lets the run continue.

mod journal;
mod runs;

use std::collections::BTreeMap;
use std::time::Duration;

use api::App;
use jobs::Jobs;
use models::access::Access;
use models::import::parse_line;
use models::job::{Change, Job, JobId, State as JobState};
use models::values::id::PortalId;
use serde_json::{Value, json};
use store::contacts::AccessState;
use store::import::{ImportError, Importer, Options};
use store::{Clock, Store};
use tests::faults::Proxy;
use tests::{Reply, World};

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
    /// True if the contact is removed and added again.
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

/// A table. The service uses a proxy, and imports bypass the proxy.
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
fn matches_target(number: i64) -> bool {
    number % 4 == 0
}

fn line(number: i64, look: Look) -> Value {
    let mut members = json!({"ContactStatus": {"id": look.stage}, "Tags": look.tags, "Created": look.created});
    if matches_target(number) {
        members["ShareType"] = json!(0);
        members["AccessList"] = json!([{"Id": MIKE}]);
    }
    contact(number, members)
}

fn token_of(portal: &str) -> String {
    format!("{portal}-0123456789abcdef0123456789abcdef")
}

async fn through(proxy: &Proxy, world: &World) -> Store {
    Store::new(proxy.client().await, &world.table)
}

async fn load(store: &Store, clock: &Clock, text: &str) -> Result<(), ImportError> {
    let options = Options { overwrite_access: false, clock: clock.clone() };
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
        let proxy = world.proxy().await.unwrap();
        let jobs = Jobs { store: through(&proxy, &world).await, ..world.jobs().clone() };
        let world = world.serving(App::new(jobs, Duration::from_secs(3600)));
        Self { world, proxy, direct, portals: 0 }
    }

    fn clock(&self) -> Clock {
        self.world.jobs().clock.clone()
    }

    /// Loads values, and bypasses the proxy.
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

    /// Makes a run, and returns the job of the run.
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

/// Checks that every contact matched before and after the move has the target, that no contact changes which matched at
/// neither time, and that each changed contact is counted and logged once. A contact that was removed and added again
/// after the run's last journal read has the access of its new import line.
///
/// `read` is true if the run read the journal after the import, and unknown if several shards read the journal. In the
/// unknown case, a contact that was removed and added again may have the target or the access of its new import line,
/// like any contact that is loaded during a run.
async fn check(
    bed: &Bed,
    name: &str,
    filter: Filter,
    movers: &[Mover],
    (id, read): (JobId, Option<bool>),
    context: &str,
) {
    let states = access(&bed.world, name, movers.iter().map(|mover| mover.number)).await;
    let (mut minimum, mut maximum, mut twice) = (0, 0, 0);
    for mover in movers {
        let state = states.get(&i32::try_from(mover.number).unwrap()).cloned().unwrap_or(AccessState::UNRECORDED);
        let before = if matches_target(mover.number) { target() } else { public(&[]) };
        match ((filter.means)(&mover.from), (filter.means)(&mover.to)) {
            (true, true) if mover.returns && read.is_none() => {}
            (true, true) if mover.returns && read == Some(false) => minimum += 1,
            (true, true) => {
                assert_eq!(state.access, target(), "{context}: missed {mover:?}");
                minimum += 1;
            }
            (false, false) => assert_eq!(state.access, before, "{context}: {mover:?}"),
            (true, false) | (false, true) => {}
        }
        maximum += u64::from((filter.means)(&mover.from) || (filter.means)(&mover.to));
        twice += u64::from(mover.returns && !matches_target(mover.number));
    }
    let (job, changes) = bed.job(name, id).await;
    let counts = job.counts;
    assert_eq!((job.state, counts.failed, counts.skipped), (JobState::Done, 0, 0), "{context}");
    assert_eq!(counts.matched, counts.updated + counts.unchanged, "{context}: {counts:?}");
    assert!(
        (minimum..=maximum + twice).contains(&counts.matched),
        "{context}: {counts:?}, {minimum} to {maximum} + {twice}"
    );
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
