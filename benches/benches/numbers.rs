//! Measures the units per contact that DynamoDB reports, the round trips, and the speed relative to a bare SDK loop.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use benches::verdict::{HEAD, Row};
use benches::{bare, portal};
use models::access::Caller;
use models::filter::listing::{Order, SortBy};
use models::filter::plan::plan;
use models::filter::{AccessCriteria, Filter};
use models::request::Page;
use models::values::id::UserId;
use serde_json::{Value, json};
use store::listing::Listing;
use tests::{Reply, World, WorldError};

/// The contacts of the portal; every second one has the tag of the measured runs.
const CONTACTS: usize = 100_000;
const MATCHES: u64 = CONTACTS as u64 / 2;
const SHARDS: u16 = 4;
/// The pairs of runs whose speeds are compared. The first pair is a warm-up and is discarded.
const PAIRS: usize = 5;
/// The `turn` that selects the managers of the last run.
const LAST_TURN: usize = 1001 + 2 * PAIRS;
const MAX_WRITE_UNITS: f64 = 1.1;
const MAX_READ_UNITS: f64 = 0.65;
const MAX_ROUND_TRIPS: u64 = 3;
const MIN_SPEED: f64 = 0.8;
/// A user who is in no manager list at first, and later in the lists of a few contacts.
const USER_OF_FEW: UserId = UserId::from_u128(0xfe3);

fn main() -> Result<(), WorldError> {
    // `cargo test --benches` runs this program as a test, but measuring takes minutes.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<(), WorldError> {
    let world = World::new().await?;
    let loading = Instant::now();
    world.import(&portal::lines(CONTACTS, SHARDS)).await?;
    let mut out = io::stdout();
    writeln!(out, "{CONTACTS} contacts with {} managers each loaded in {:.0?}\n", portal::MANAGERS, loading.elapsed())?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut units = (0.0, 0.0);
    for pair in 0..=PAIRS {
        let turn = portal::managers(1000 + 2 * pair);
        let started = Instant::now();
        let work = bare::run(&world.client, &world.table, &portal::PORTAL.parse()?, portal::TAG, SHARDS, &turn).await?;
        let bare = started.elapsed();
        expect("contacts of the bare loop", work.contacts as u64, MATCHES)?;

        let turn = portal::managers(1001 + 2 * pair);
        let started = Instant::now();
        let (reply, spent) = filter_run(&world, &turn).await?;
        let engine = started.elapsed();
        expect("contacts written", reply.count("x-updated-count").unwrap_or(0), MATCHES)?;
        units = spent;
        if pair > 0 {
            ours.push(engine);
            theirs.push(bare);
        }
    }
    let per_contact = |units: f64| units / MATCHES as f64;
    let ratios: Vec<f64> =
        ours.iter().zip(&theirs).map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64()).collect();

    let again = portal::managers(LAST_TURN);
    let (reply, idle) = filter_run(&world, &again).await?;
    expect("contacts that already match", reply.count("x-unchanged-count").unwrap_or(0), MATCHES)?;
    let few = World::new().await?;
    few.import(&portal::lines(1000, SHARDS)).await?;
    filter_run(&few, &again).await?;
    let (_, idle_few) = filter_run(&few, &again).await?;

    writeln!(out, "{HEAD}")?;
    let written = per_contact(units.1);
    Row::new("write units per contact changed, 40 managers, undo log included")
        .measured(format!("{written:.4}"))
        .bar(format!("at most {MAX_WRITE_UNITS}"), written <= MAX_WRITE_UNITS)
        .print()?;
    let read = per_contact(units.0);
    Row::new("read units per contact changed, filter included")
        .measured(format!("{read:.4}"))
        .bar(format!("at most {MAX_READ_UNITS}"), read <= MAX_READ_UNITS)
        .print()?;
    Row::new("write units of a run whose contacts all match already, 50,000 contacts (500 contacts)")
        .measured(format!("{:.1} ({:.1}): the job's record, nothing per contact", idle.1, idle_few.1))
        .bar("0 per contact", idle.1 == idle_few.1)
        .print()?;
    let (put, rounds) = single_put(&world).await?;
    Row::new("round trips of a single PUT, token cached")
        .measured(put)
        .bar(format!("at most {MAX_ROUND_TRIPS}"), rounds <= MAX_ROUND_TRIPS)
        .print()?;
    lists(&world).await?;
    Row::new("speed against the bare SDK loop, 50,000 of 100,000 contacts")
        .measured(format!(
            "{:.2} (median of {PAIRS} pairs, {:.2} to {:.2}; {:.0} contacts a second against {:.0})",
            median(&ratios),
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
            MATCHES as f64 / seconds(&ours),
            MATCHES as f64 / seconds(&theirs),
        ))
        .bar(format!("at least {MIN_SPEED}"), median(&ratios) >= MIN_SPEED)
        .print()?;
    Ok(())
}

fn expect(what: &str, found: u64, expected: u64) -> Result<(), WorldError> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found} instead of {expected}").into()) }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn seconds(times: &[Duration]) -> f64 {
    median(&times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>())
}

/// Runs a filter through the handler, and returns the answer with the read and write units consumed.
async fn filter_run(world: &World, managers: &[UserId]) -> Result<(Reply, (f64, f64)), WorldError> {
    let body: Value = json!({"tags": [portal::TAG], "isPrivate": true, "managerList": managers});
    let before = world.store.meter().reading();
    // The answer shows only one contact, so that the cost of a page is left out.
    let reply = world.put("filter/access?count=1", portal::TOKEN, &body).await?;
    let after = world.store.meter().reading();
    if reply.status != 200 {
        return Err(reply.text.into());
    }
    Ok((reply, (after.read_units - before.read_units, after.write_units - before.write_units)))
}

/// Prints the table rows of lists: contacts, calls and read units. A test counts the sequential calls, because here the
/// engine may answer a call before a concurrent call is sent.
async fn lists(world: &World) -> Result<(), WorldError> {
    let portal = world.store.portal(&portal::PORTAL.parse()?).await?.ok_or("no portal")?;
    let of_tag = Filter { tags: vec![portal::TAG.into()], ..Filter::default() };
    let all = Filter::default();
    let lists = world.store.lists(&portal.id).await?;
    let statistics = world.store.statistics(&portal.id, &of_tag.tags, &lists.stage_counts).await?;
    let lines = [
        json!({"portal": {"Id": portal::PORTAL, "Shards": SHARDS}}),
        json!({"user": {"Id": USER_OF_FEW, "DisplayName": "User of few"}}),
    ];
    world.import(&lines.map(|line| line.to_string()).join("\n")).await?;
    for contact in [10, 20, 31] {
        let body = json!({"isShared": false, "managerList": [USER_OF_FEW]});
        let reply = world.put(&format!("{contact}/access"), portal::TOKEN, &body).await?;
        expect("status", u64::from(reply.status.as_u16()), 200)?;
    }
    for (what, filter, is_admin, responsible, by, total) in [
        ("first page of 25, tag of 50,000", &of_tag, true, None, SortBy::Created, false),
        ("the same, counted", &of_tag, true, None, SortBy::Created, true),
        ("the same in order of name", &of_tag, true, None, SortBy::DisplayName, true),
        (
            "the same of one manager, who has all of them",
            &of_tag,
            true,
            Some(portal::managers(LAST_TURN)[0]),
            SortBy::Created,
            false,
        ),
        (
            "the same of one manager, who had many and has none",
            &of_tag,
            true,
            Some(portal::user(0)),
            SortBy::Created,
            false,
        ),
        ("the same of one manager, who has three", &of_tag, true, Some(USER_OF_FEW), SortBy::Created, true),
        (
            "first page of 25 for a user who is no administrator, tag of 50,000",
            &of_tag,
            false,
            None,
            SortBy::Created,
            false,
        ),
        ("the same, counted up to the cost bound", &of_tag, false, None, SortBy::Created, true),
        ("first page of 25 of all 100,000 for the administrator", &all, true, None, SortBy::Created, false),
        ("the same, counted", &all, true, None, SortBy::Created, true),
        (
            "first page of 25 of all 100,000 for a user who is no administrator",
            &all,
            false,
            None,
            SortBy::Created,
            false,
        ),
        ("the same, counted up to the cost bound", &all, false, None, SortBy::Created, true),
    ] {
        let filter = Filter { access: AccessCriteria { responsible, shared: None }, ..filter.clone() };
        let plan = plan(&filter, &statistics, portal.shards);
        let listing = Listing {
            portal: &portal.id,
            filter: &filter,
            plan: &plan,
            expected: plan.expected(&statistics),
            caller: Caller { user: portal::user(0), is_admin },
            order: Order::new(Some(by), None),
            page: Page { count: 25, start_index: 0 },
            total,
            managers: true,
            deadline: None,
            has_manager_index: portal.has_manager_index,
            types: &lists.types,
        };
        let meter = world.store.meter().reading();
        let started = Instant::now();
        let listed = world.store.list_contacts(&listing).await?;
        let took = started.elapsed();
        let now = world.store.meter().reading();
        let (calls, units) = (now.calls - meter.calls, now.read_units - meter.read_units);
        let of = listed.total.map_or("uncounted".into(), |total| format!("of {total}"));
        let found = listed.contacts.len();
        writeln!(io::stdout(), "| {what} | {found} {of}: {calls} calls, {units:.1} read units, {took:.1?} | | |")?;
    }
    Ok(())
}

/// Makes a single PUT. Returns a description of its calls, and the number of round trips.
async fn single_put(world: &World) -> Result<(String, u64), WorldError> {
    let before = world.trips.so_far();
    let meter = world.store.meter().reading();
    let reply = world.put("2/access", portal::TOKEN, &json!({"isShared": true})).await?;
    expect("status", u64::from(reply.status.as_u16()), 200)?;
    let (calls, rounds) = (world.trips.so_far().0 - before.0, world.trips.so_far().1 - before.1);
    let now = world.store.meter().reading();
    let (read, written) = (now.read_units - meter.read_units, now.write_units - meter.write_units);
    Ok((format!("{rounds} ({calls} calls, {read:.1} read and {written:.1} write units)"), rounds))
}
