//! A million contacts, once: the duration of a job and of its undo, the units that they consume, and the worker's
//! memory compared with a job of ten thousand contacts. With the argument `preview`, the same for a preview and its
//! run.
//!
//! Three processes: the embedded engine, in memory; the worker, so that its memory can be measured alone; and a driver
//! that loads the portal, starts the jobs through the API and checks their results. `make bench-million` runs the
//! benchmark; an argument sets another number of contacts. `make bench-million-preview` runs it for a preview.

use std::io::{self, Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::portal::{PORTAL, TOKEN, user};
use benches::processes::{ChildProcess, engine, peak_kb, run_with_engine, runtime, this_program};
use futures::stream::{self, StreamExt as _};
use jobs::{Deadline, Jobs, Message};
use models::job::{JobId, State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;
use store::dynamodb::client::{Endpoint, connect};
use tests::{World, WorldError};

const CONTACTS: usize = 1_000_000;
/// The number of contacts of the small job, for the comparison of the worker's memory.
const FEW: usize = 10_000;
const SHARDS: u16 = 16;
/// The concurrent shards of one worker: the messages that Lambda passes to one call of `bulk-worker`.
const CONCURRENT_SHARDS: usize = 4;
const _: () = assert!(SHARDS as usize >= CONCURRENT_SHARDS);
/// The contacts per import.
const LOADED_AT_ONCE: usize = 50_000;
const TAG: &str = "all";

const MAX_WRITE_UNITS: f64 = 1.1;
const MAX_READ_UNITS: f64 = 0.65;
const MAX_PREVIEW_WRITE_UNITS: f64 = 0.02;
const MAX_APPLY_READ_UNITS: f64 = 1.02;
const MAX_MEMORY_RATIO: f64 = 1.5;

/// The report of a worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Work {
    seconds: f64,
    read_units: f64,
    write_units: f64,
    /// Peak resident memory before the first message (`idle_kb`) and at the end (`peak_kb`), in KB.
    idle_kb: u64,
    peak_kb: u64,
}

fn main() -> Result<(), WorldError> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["engine"] => runtime()?.block_on(engine()),
        ["work", url, table] => {
            // The runtime of a Lambda function.
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(url, table))
        }
        ["measure", pair, contacts] => runtime()?.block_on(measure(Pair::named(pair)?, contacts.parse()?)),
        [pair @ ("run" | "preview")] => run_with_engine(&["measure", pair, &CONTACTS.to_string()]),
        [pair @ ("run" | "preview"), contacts] => run_with_engine(&["measure", pair, contacts]),
        // `cargo bench` and `cargo test --benches` end here. The benchmark takes many minutes, so only the arguments
        // `run` and `preview` start it.
        _ => Ok(()),
    }
}

/// Runs the worker, which works on the messages on standard input.
async fn work(url: &str, table: &str) -> Result<(), WorldError> {
    let messages: Vec<Message> = serde_json::from_reader(io::stdin().lock())?;
    let store = Store::new(connect(Some(&Endpoint::at(url)), None).await, table);
    // No process receives requeued messages, but a worker without a deadline requeues nothing.
    let queue = tests::TestQueue::default();
    let jobs = Jobs::new(store, api::app::clock(), Arc::new(queue.clone()));
    let (idle_kb, started) = (peak_kb()?, Instant::now());
    let mut work = stream::iter(&messages)
        .map(|message| {
            let jobs = &jobs;
            async move { jobs.work(message, &Deadline::never()).await }
        })
        .buffer_unordered(CONCURRENT_SHARDS);
    while let Some(worked) = work.next().await {
        worked?;
    }
    if let Some(message) = queue.take() {
        return Err(format!("requeued: {message:?}").into());
    }
    let (seconds, spent) = (started.elapsed().as_secs_f64(), jobs.store.meter().reading());
    let work =
        Work { seconds, read_units: spent.read_units, write_units: spent.write_units, idle_kb, peak_kb: peak_kb()? };
    writeln!(io::stdout(), "{}", json!(work))?;
    Ok(())
}

/// Loads a portal with public contacts.
async fn load(contacts: usize, shards: u16) -> Result<World, WorldError> {
    let world = World::new().await?;
    world.set_clock(api::app::clock()());
    let begun = Instant::now();
    let portal = json!({"portal": {"Id": PORTAL, "Shards": shards}});
    let mut text = format!("{portal}\n");
    for number in 0..3 {
        let user = json!({"Id": user(number), "DisplayName": format!("User {number}"), "IsAdmin": number == 0});
        text.push_str(&format!("{}\n", json!({ "user": user })));
    }
    let token = json!({"Token": TOKEN, "UserId": user(0), "Scopes": ["read", "write"]});
    text.push_str(&format!("{}\n", json!({ "token": token })));
    for first in (1..=contacts).step_by(LOADED_AT_ONCE) {
        for id in first..=contacts.min(first + LOADED_AT_ONCE - 1) {
            let contact = json!({
                "id": id,
                "DisplayName": format!("Contact {id} of the measured portal"),
                "Created": format!("2020-{:02}-{:02}T12:{:02}:{:02}Z", id % 12 + 1, id % 28 + 1, id % 60, id / 60 % 60),
                "CreateBy": {"Id": user(0)},
                "Tags": [TAG],
            });
            text.push_str(&format!("{}\n", json!({ "contact": contact })));
        }
        world.import(&text).await?;
        text = format!("{portal}\n");
    }
    say(&format!("{contacts} contacts loaded in {:.0?}", begun.elapsed()))?;
    Ok(world)
}

fn say(text: &str) -> Result<(), WorldError> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Starts a worker on the messages in the world's queue, and checks the result of the job.
async fn done(world: &World, url: &str, id: JobId, contacts: usize) -> Result<Work, WorldError> {
    let messages = world.queue.waiting();
    world.queue.clear();
    let worker = this_program(&["work", url, &world.table])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut worker = ChildProcess(worker?);
    worker.0.stdin.take().ok_or("no input of the worker")?.write_all(&serde_json::to_vec(&messages)?)?;
    let mut report = String::new();
    worker.0.stdout.take().ok_or("no output of the worker")?.read_to_string(&mut report)?;
    let work: Work = serde_json::from_str(&report)?;
    let job = world.store.job(&PORTAL.parse()?, id).await?.ok_or("no record of the job")?;
    let outcome = (job.state, job.counts.updated, job.counts.failed, job.counts.conflicts);
    if outcome != (State::Done, contacts as u64, 0, 0) {
        return Err(format!("the job ended with {outcome:?}").into());
    }
    Ok(work)
}

/// A job over every contact of the world, and the job that follows.
#[derive(Clone, Copy, Debug)]
enum Pair {
    /// A run, and its undo.
    RunAndUndo,
    /// A preview, and its run.
    PreviewAndRun,
}

impl Pair {
    fn named(name: &str) -> Result<Self, WorldError> {
        match name {
            "run" => Ok(Self::RunAndUndo),
            "preview" => Ok(Self::PreviewAndRun),
            _ => Err(format!("no pair of jobs has the name {name}").into()),
        }
    }

    /// Returns the path and the query of the call that starts the first job.
    const fn path(self) -> &'static str {
        match self {
            Self::RunAndUndo => "filter/access",
            Self::PreviewAndRun => "filter/access?dryRun=true",
        }
    }

    /// Returns the end of the path of the call that starts the second job.
    const fn action(self) -> &'static str {
        match self {
            Self::RunAndUndo => "undo",
            Self::PreviewAndRun => "apply",
        }
    }

    /// Returns the names of the jobs.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::RunAndUndo => ["set", "undo"],
            Self::PreviewAndRun => ["preview", "apply"],
        }
    }

    /// Returns the maximum read units per contact of each job, if there is one. The run of a preview reads each contact
    /// consistently.
    const fn max_read_units(self) -> [Option<f64>; 2] {
        match self {
            Self::RunAndUndo => [Some(MAX_READ_UNITS), None],
            Self::PreviewAndRun => [Some(MAX_READ_UNITS), Some(MAX_APPLY_READ_UNITS)],
        }
    }

    /// Returns the maximum write units per contact.
    const fn max_write_units(self) -> [f64; 2] {
        match self {
            Self::RunAndUndo => [MAX_WRITE_UNITS, MAX_WRITE_UNITS],
            Self::PreviewAndRun => [MAX_PREVIEW_WRITE_UNITS, MAX_WRITE_UNITS],
        }
    }
}

/// Makes every contact of the world private by two jobs, or by one job that the second job undoes.
async fn work_through(pair: Pair, world: &World, url: &str, contacts: usize) -> Result<[Work; 2], WorldError> {
    let body = json!({"tags": [TAG], "isPrivate": true, "managerList": [user(1), user(2)]}).to_string();
    let reply = world.put_with(pair.path(), TOKEN, &body, &[("Prefer", "respond-async")]).await?;
    let id: JobId = reply.header("x-job-id").parse().map_err(|_| reply.text.clone())?;
    let first = done(world, url, id, contacts).await?;
    let reply = world.post(&format!("jobs/{id}/{}", pair.action()), TOKEN).await?;
    let id: JobId = reply.header("x-job-id").parse().map_err(|_| reply.text.clone())?;
    let second = done(world, url, id, contacts).await?;
    Ok([first, second])
}

async fn measure(pair: Pair, contacts: usize) -> Result<(), WorldError> {
    #[expect(clippy::disallowed_methods, reason = "the process that starts this one says where the engine is")]
    let url = std::env::var("CRM_ACCESS_TEST_DYNAMODB")?;
    let world = load(FEW, SHARDS).await?;
    let few = work_through(pair, &world, &url, FEW).await?;
    drop(world);
    let world = load(contacts, SHARDS).await?;
    let many = work_through(pair, &world, &url, contacts).await?;

    let [first, second] = pair.names();
    say(&format!("\n| what | {first}, {contacts} | {second}, {contacts} | bar | |\n| --- | --- | --- | --- | --- |"))?;
    let row = |what: &str, of: &dyn Fn(usize) -> String, bar: &str, is_met: Option<bool>| {
        let verdict = is_met.map_or("", |is_met| if is_met { "met" } else { "NOT MET" });
        say(&format!("| {what} | {} | {} | {bar} | {verdict} |", of(0), of(1)))
    };
    let per_contact = |units: f64| units / contacts as f64;
    let memory = |of: usize| many[of].peak_kb as f64 / few[of].peak_kb as f64;
    let (most_writes, most_reads) =
        (pair.max_write_units(), pair.max_read_units().map(|most| most.unwrap_or(f64::MAX)));
    let within = |most: [f64; 2], units: fn(&Work) -> f64| (0..2).all(|of| per_contact(units(&many[of])) <= most[of]);
    row("time", &|of| format!("{:.0?}", Duration::from_secs_f64(many[of].seconds)), "", None)?;
    row("contacts a second", &|of| format!("{:.0}", 1.0 / per_contact(many[of].seconds)), "", None)?;
    row(
        "write units per contact",
        &|of| format!("{:.4}", per_contact(many[of].write_units)),
        &format!("{first}: at most {}, {second}: at most {}", most_writes[0], most_writes[1]),
        Some(within(most_writes, |work| work.write_units)),
    )?;
    let bars = [first, second].into_iter().zip(pair.max_read_units());
    let bars: Vec<String> = bars.filter_map(|(name, most)| Some(format!("{name}: at most {}", most?))).collect();
    row(
        "read units per contact",
        &|of| format!("{:.4}", per_contact(many[of].read_units)),
        &bars.join(", "),
        Some(within(most_reads, |work| work.read_units)),
    )?;
    let megabytes = |kb: u64| format!("{:.1} MB", kb as f64 / 1024.0);
    row("worker's peak memory", &|of| megabytes(many[of].peak_kb), "", None)?;
    row(&format!("worker's peak memory, {FEW} contacts"), &|of| megabytes(few[of].peak_kb), "", None)?;
    row("worker's memory before its first message", &|of| megabytes(many[of].idle_kb), "", None)?;
    row(
        "worker's peak memory, relative to the small job",
        &|of| format!("{:.2} times", memory(of)),
        &format!("under {MAX_MEMORY_RATIO}"),
        Some((0..many.len()).all(|of| memory(of) < MAX_MEMORY_RATIO)),
    )?;

    let over = |what: &str, found: f64, limit: f64| {
        if found <= limit { Ok(()) } else { Err(format!("{what}: {found:.3}, more than {limit}")) }
    };
    for (of, work) in many.iter().enumerate() {
        over("write units per contact", per_contact(work.write_units), most_writes[of])?;
        over("read units per contact", per_contact(work.read_units), most_reads[of])?;
        over("the worker's memory", memory(of), MAX_MEMORY_RATIO)?;
    }
    Ok(())
}
