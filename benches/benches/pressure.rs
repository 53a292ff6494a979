//! A bulk job beside single calls: on a table with a limit of write units, and on the embedded engine of `serve`.
//!
//! The job sets the access of 25,000 contacts by a filter. A call sets the access of one other contact, and ten calls
//! start each second, whether or not earlier calls have ended. The calls are measured first without the job and then
//! beside it. A separate process measures the processor time of a job, without the engine.

use std::io::{self, Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::App;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use benches::limited::{Limit, Limited, Passed};
use benches::portal::{PORTAL, TOKEN, import, user};
use benches::processes::{ChildProcess, engine, processor_time, run_with_engine, runtime, this_program};
use benches::verdict::{HEAD, Row};
use engine::{Engine, Storage};
use futures::stream::{self, StreamExt as _};
use jobs::{Abandoned, Deadline, Jobs, Message};
use local::fair_queue::queue;
use local::workers::Workers;
use models::job::{JobId, State};
use models::values::id::UserId;
use serde_json::json;
use store::Store;
use store::dynamodb::client::{Endpoint, connect};
use store::dynamodb::in_process::{InProcess, connect_in_process};
use tests::{TestQueue, World, WorldError};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tower::ServiceExt as _;

/// The contacts that a job changes.
const CONTACTS: usize = 25_000;
/// The contacts that single calls change.
const OTHERS: usize = 1000;
const SHARDS: u16 = 4;
const TAG: &str = "all";
const TABLE: &str = "pressure";
/// Contacts per import.
const LOADED_AT_ONCE: usize = 5000;
/// `serve` caches no tokens.
const TOKEN_CACHE: Duration = Duration::ZERO;
/// The calls of one measurement, at least.
const CALLS: usize = 200;
/// The mean time between the starts of two calls.
const CALL_INTERVAL_MILLIS: u64 = 100;
/// The time between two looks at a running job.
const LOOK: Duration = Duration::from_millis(10);
/// The jobs whose processor time is measured. The first is a warm-up.
const MEASURED_JOBS: usize = 4;

const MIN_SHARE_OF_LIMIT: f64 = 0.9;
const MAX_IN_VAIN: f64 = 0.05;
const MAX_RATIO: f64 = 2.0;
const MAX_MICROS_PER_CONTACT: f64 = 25.0;
/// The jobs that four workers do beside each other.
const WORKERS_JOBS: usize = 5;
/// The time after which four workers are to have fair shares.
const SETTLE: Duration = Duration::from_secs(60);
/// The smallest and the largest share of a worker, relative to the mean.
const FAIR: (f64, f64) = (0.8, 1.2);

fn main() -> Result<(), WorldError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["engine"] => runtime()?.block_on(engine()),
        ["work", url, table] => {
            // The runtime of a Lambda function.
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(url, table))
        }
        ["processor"] => runtime()?.block_on(processor()),
        ["embedded"] => runtime()?.block_on(embedded()),
        ["limited", limit] => runtime()?.block_on(limited(limit.parse()?)),
        ["workers", limit] => runtime()?.block_on(workers(limit.parse()?)),
        // `cargo bench` starts the program like this.
        ["--bench"] => {
            writeln!(io::stdout(), "{HEAD}")?;
            for (mode, limit) in [("limited", "1000"), ("limited", "4000"), ("workers", "1000"), ("embedded", "")] {
                // A process for each measurement, so that no measurement meets the leftovers of another.
                let args: Vec<&str> = [mode, limit].into_iter().filter(|arg| !arg.is_empty()).collect();
                if !this_program(&args)?.status()?.success() {
                    return Err(format!("the measurement {mode} {limit} failed").into());
                }
            }
            run_with_engine(&["processor"])
        }
        // `cargo test --benches` starts the program like this.
        _ => Ok(()),
    }
}

/// Returns the import lines of the portal, in several parts.
fn portal_lines() -> Vec<String> {
    let portal = json!({"portal": {"Id": PORTAL, "Shards": SHARDS}});
    let mut parts = Vec::new();
    let mut text = format!("{portal}\n");
    for number in 0..4 {
        let user = json!({"Id": user(number), "DisplayName": format!("User {number}"), "IsAdmin": number == 0});
        text.push_str(&format!("{}\n", json!({ "user": user })));
    }
    let token = json!({"Token": TOKEN, "UserId": user(0), "Scopes": ["read", "write"]});
    text.push_str(&format!("{}\n", json!({ "token": token })));
    for id in 1..=CONTACTS + OTHERS {
        let contact = json!({
            "id": id,
            "DisplayName": format!("Contact {id} of the measured portal"),
            "Created": format!("2020-{:02}-{:02}T12:{:02}:{:02}Z", id % 12 + 1, id % 28 + 1, id % 60, id / 60 % 60),
            "CreateBy": {"Id": user(0)},
            "Tags": if id <= CONTACTS { vec![TAG] } else { vec![] },
            "ShareType": 0,
            "AccessList": [{"Id": user(1)}, {"Id": user(2)}],
        });
        text.push_str(&format!("{}\n", json!({ "contact": contact })));
        if id % LOADED_AT_ONCE == 0 {
            parts.push(std::mem::replace(&mut text, format!("{portal}\n")));
        }
    }
    parts.push(text);
    parts
}

/// Two managers, different for each of three successive turns.
fn managers(turn: usize) -> [UserId; 2] {
    [user(1 + turn % 3), user(1 + (turn + 1) % 3)]
}

/// The service in this process, as `serve` runs it.
struct Service {
    /// The table, without a limit.
    direct: Store,
    router: Router,
    workers: Workers,
    turn: usize,
}

impl Service {
    async fn start(engine: &Engine, served: Store) -> Result<Self, WorldError> {
        let direct = Store::new(connect_in_process(engine.in_process(), None).await, TABLE);
        load(&direct).await?;
        let (queue, messages) = queue();
        let jobs = Jobs::new(served, api::app::clock(), Arc::new(queue));
        let workers = Workers::start(&jobs, messages, Abandoned::All).await?;
        let router = local::router::router(&App::new(jobs, TOKEN_CACHE));
        Ok(Self { direct, router, workers, turn: 0 })
    }

    /// Runs the job to its end, and returns its duration.
    async fn job(&mut self) -> Result<Duration, WorldError> {
        self.turn += 1;
        let started = Instant::now();
        let id = start_job(&self.router, self.turn).await?;
        loop {
            sleep(LOOK).await;
            if is_done(&self.direct, id).await? {
                return Ok(started.elapsed());
            }
        }
    }
}

async fn load(store: &Store) -> Result<(), WorldError> {
    store.ensure_table().await?;
    for part in portal_lines() {
        import(store, &part).await?;
    }
    Ok(())
}

/// Starts a job by a filter, for workers, and returns its identifier.
async fn start_job(router: &Router, turn: usize) -> Result<JobId, WorldError> {
    let body = json!({"tags": [TAG], "isPrivate": true, "managerList": managers(turn)}).to_string();
    let request = Request::put("/api/2.0/crm/contact/filter/access")
        .header("authorization", TOKEN)
        .header("content-type", "application/json")
        .header("prefer", "respond-async");
    let response = router.clone().oneshot(request.body(Body::from(body))?).await?;
    let id = response.headers().get("x-job-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    if let Some(Ok(id)) = id.map(|id| id.parse()) {
        return Ok(id);
    }
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    Err(String::from_utf8_lossy(&body).into_owned().into())
}

/// Returns whether the job has ended.
///
/// # Errors
///
/// When the job did not change every contact.
async fn is_done(store: &Store, id: JobId) -> Result<bool, WorldError> {
    let job = store.job(&PORTAL.parse()?, id).await?.ok_or("no record of the job")?;
    let outcome = (job.state, job.counts.updated, job.counts.failed, job.counts.conflicts);
    match job.state {
        State::Queued | State::Running => Ok(false),
        State::Done if outcome.1 == CONTACTS as u64 => Ok(true),
        _ => Err(format!("the job ended with {outcome:?}").into()),
    }
}

/// The durations of single calls, and the number of calls that failed.
#[derive(Debug, Default)]
struct Calls {
    durations: Vec<Duration>,
    failed: usize,
}

impl Calls {
    fn add(&mut self, other: Self) {
        self.durations.extend(other.durations);
        self.failed += other.failed;
    }

    /// Returns the duration in milliseconds that `share` of the calls do not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.durations.clone();
        sorted.sort();
        let is_within = |(number, _): &(usize, &Duration)| *number as f64 + 1.0 >= sorted.len() as f64 * share;
        let found = sorted.iter().enumerate().find(is_within);
        found.map_or(0.0, |(_, duration)| duration.as_secs_f64() * 1e3)
    }
}

/// Makes single calls for as long as `beside` runs.
async fn calls_beside<T>(
    router: &Router,
    number: &mut usize,
    beside: impl Future<Output = Result<T, WorldError>>,
) -> Result<(Calls, T), WorldError> {
    let mut calls = JoinSet::new();
    let mut beside = std::pin::pin!(beside);
    let mut next = tokio::time::Instant::now();
    let result = loop {
        next += Duration::from_millis(fastrand::u64(CALL_INTERVAL_MILLIS / 2..CALL_INTERVAL_MILLIS * 3 / 2));
        tokio::select! {
            result = &mut beside => break result?,
            () = sleep_until(next) => {}
        }
        calls.spawn(single_call(router.clone(), *number));
        *number += 1;
    };
    let mut done = Calls::default();
    while let Some(call) = calls.join_next().await {
        let (duration, succeeded) = call??;
        done.durations.push(duration);
        done.failed += usize::from(!succeeded);
    }
    Ok((done, result))
}

/// Sets the access of one contact, and returns the duration and whether the call succeeded.
async fn single_call(router: Router, number: usize) -> Result<(Duration, bool), WorldError> {
    let (contact, turn) = (CONTACTS + 1 + number % OTHERS, number / OTHERS);
    let body = json!({"isShared": false, "managerList": managers(turn + 1)}).to_string();
    let request = Request::put(format!("/api/2.0/crm/contact/{contact}/access"))
        .header("authorization", TOKEN)
        .header("content-type", "application/json")
        .body(Body::from(body))?;
    let started = Instant::now();
    let response = router.oneshot(request).await?;
    let succeeded = response.status().is_success();
    to_bytes(response.into_body(), usize::MAX).await?;
    Ok((started.elapsed(), succeeded))
}

/// The measurements of calls and jobs beside each other.
struct Measured {
    quiet: Calls,
    beside: Calls,
    jobs: Vec<Duration>,
}

/// Measures calls without a job and then beside jobs.
async fn measure(service: &mut Service, before_jobs: impl FnOnce()) -> Result<Measured, WorldError> {
    let mut number = 0;
    // The first calls set up connections and caches.
    let warm_up = async {
        sleep(Duration::from_secs(2)).await;
        Ok(())
    };
    calls_beside(&service.router, &mut number, warm_up).await?;
    let time = Duration::from_millis(CALL_INTERVAL_MILLIS) * u32::try_from(CALLS)?;
    let waiting = async {
        sleep(time).await;
        Ok(())
    };
    let (quiet, ()) = calls_beside(&service.router, &mut number, waiting).await?;
    before_jobs();
    let (mut beside, mut jobs) = (Calls::default(), Vec::new());
    while beside.durations.len() < CALLS {
        let router = service.router.clone();
        let (calls, took) = calls_beside(&router, &mut number, service.job()).await?;
        beside.add(calls);
        jobs.push(took);
    }
    Ok(Measured { quiet, beside, jobs })
}

fn print_calls(what: &str, measured: &Measured) -> Result<(), WorldError> {
    let Measured { quiet, beside, .. } = measured;
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (alone, busy) = (quiet.quantile(share), beside.quantile(share));
        Row::new(format!("single PUT beside the job, {what}: {name} of {} calls", beside.durations.len()))
            .measured(format!("{busy:.1} ms, {:.2} times the {alone:.1} ms without the job", busy / alone))
            .bar(format!("under {MAX_RATIO} times"), busy < MAX_RATIO * alone)
            .print()?;
    }
    Row::new(format!("single PUT beside the job, {what}: calls that failed"))
        .measured(format!("{}", beside.failed))
        .bar("0", beside.failed == 0)
        .print()
}

/// Returns the write units a second that a job uses on a table without a limit.
async fn unlimited() -> Result<f64, WorldError> {
    let engine = Engine::open(&Storage::Memory)?;
    let limit = Limit::new(f64::MAX);
    let mut service = Service::start(&engine, limited_store(&engine, &limit).await).await?;
    // The first job sets up connections and caches.
    service.job().await?;
    let before = limit.passed().units;
    let took = service.job().await?;
    service.workers.stop().await;
    Ok((limit.passed().units - before) / took.as_secs_f64())
}

/// Measures the job and single calls on a table with a limit. If this machine cannot use the limit, the bar is what
/// this machine uses without a limit.
async fn limited(limit: u32) -> Result<(), WorldError> {
    let unlimited = unlimited().await?;
    let rate = f64::from(limit);
    let engine = Engine::open(&Storage::Memory)?;
    let limit = Limit::new(rate);
    let mut service = Service::start(&engine, limited_store(&engine, &limit).await).await?;
    let mut before = (Passed::default(), 0.0);
    let measured = measure(&mut service, || before = (limit.passed(), limit.saved())).await?;
    let passed = limit.passed();
    let time: f64 = measured.jobs.iter().map(Duration::as_secs_f64).sum();
    // Subtract the units that the table had saved before the job.
    let units = passed.units - before.0.units - before.1;
    let speed = (measured.jobs.len() * CONTACTS) as f64 / time;
    let share = units / time / rate.min(unlimited);
    let what = format!("table limited to {rate} units a second");
    Row::new(format!("units that the job and the calls use, {what} ({unlimited:.0} without a limit)"))
        .measured(format!("{share:.3} of the smaller, {speed:.0} contacts a second in {} jobs", measured.jobs.len()))
        .bar(format!("at least {MIN_SHARE_OF_LIMIT}"), share >= MIN_SHARE_OF_LIMIT)
        .print()?;
    let (refused, accepted) = (passed.refused - before.0.refused, passed.accepted - before.0.accepted);
    let in_vain = refused as f64 / accepted as f64;
    Row::new(format!("items sent in vain, {what}"))
        .measured(format!("{:.2} %: {refused} for {accepted} written", in_vain * 100.0))
        .bar(format!("under {} %", MAX_IN_VAIN * 100.0), in_vain < MAX_IN_VAIN)
        .print()?;
    print_calls(&what, &measured)?;
    writeln!(io::stdout(), "| attempts of single calls that the table refused | {} | |", passed.refused_calls)?;
    service.workers.stop().await;
    Ok(())
}

async fn limited_store(engine: &Engine, limit: &Arc<Limit>) -> Store {
    let connect = |engine: Arc<dyn InProcess>| connect_in_process(Limited::new(engine, limit.clone()), None);
    let bulk = connect(engine.in_process_for_bulk()).await;
    Store::new(connect(engine.in_process()).await, TABLE).with_bulk_client(bulk)
}

/// Measures the shares of four workers, each with a limiter of its own, on one table with a limit. Each worker changes
/// one shard of several jobs, one job after another.
async fn workers(limit: u32) -> Result<(), WorldError> {
    let rate = f64::from(limit);
    let engine = Engine::open(&Storage::Memory)?;
    let limit = Limit::new(rate);
    let direct = Store::new(connect_in_process(engine.in_process(), None).await, TABLE);
    load(&direct).await?;
    let queue = TestQueue::default();
    let jobs = Jobs::new(direct, api::app::clock(), Arc::new(queue.clone()));
    let router = local::router::router(&App::new(jobs, TOKEN_CACHE));
    for turn in 1..=WORKERS_JOBS {
        start_job(&router, turn).await?;
    }
    let mut working = JoinSet::new();
    let mut stores = Vec::new();
    for shard in 0..SHARDS {
        let store = limited_store(&engine, &limit).await;
        stores.push(store.clone());
        let messages: Vec<_> = queue.waiting().into_iter().filter(|message| message.shard == Some(shard)).collect();
        let jobs = Jobs::new(store, api::app::clock(), Arc::new(TestQueue::default()));
        working.spawn(async move {
            for message in messages {
                jobs.work(&message, &Deadline::never()).await?;
            }
            Ok::<_, WorldError>(())
        });
    }
    let units = || stores.iter().map(|store| store.meter().reading().write_units).collect::<Vec<f64>>();
    sleep(SETTLE).await;
    let (settled, before) = (Instant::now(), units());
    working.join_next().await.ok_or("no worker")???;
    let (time, after) = (settled.elapsed().as_secs_f64(), units());
    working.abort_all();
    let shares: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 {
        return Err("the workers ended before their shares had settled".into());
    }
    let mean = sum / f64::from(SHARDS);
    let least = shares.iter().copied().fold(f64::MAX, f64::min) / mean;
    let most = shares.iter().copied().fold(0.0, f64::max) / mean;
    let settle = SETTLE.as_secs();
    Row::new(format!(
        "shares of four workers on one table limited to {rate} units a second, {settle} s after the start"
    ))
    .measured(format!(
        "{least:.2} to {most:.2} of the mean; {:.0} units a second together, for {time:.0} s",
        sum / time
    ))
    .bar(format!("{} to {}", FAIR.0, FAIR.1), least >= FAIR.0 && most <= FAIR.1)
    .print()
}

/// Measures the job and single calls on the embedded engine, with its data in a file.
async fn embedded() -> Result<(), WorldError> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::open(&Storage::Folder(folder.path().join("data")))?;
    let bulk = connect_in_process(engine.in_process_for_bulk(), None).await;
    let served = Store::new(connect_in_process(engine.in_process(), None).await, TABLE).with_bulk_client(bulk);
    let mut service = Service::start(&engine, served).await?;
    let alone = service.job().await?;
    let measured = measure(&mut service, || {}).await?;
    print_calls("embedded engine", &measured)?;
    let time: f64 = measured.jobs.iter().map(Duration::as_secs_f64).sum();
    let speed = (measured.jobs.len() * CONTACTS) as f64 / time;
    let alone = CONTACTS as f64 / alone.as_secs_f64();
    writeln!(io::stdout(), "| contacts a second of the job, embedded engine, alone | {alone:.0} | | |")?;
    writeln!(io::stdout(), "| contacts a second of the job, embedded engine, beside the calls | {speed:.0} | | |")?;
    service.workers.stop().await;
    Ok(())
}

/// Works on the messages on standard input, and prints the processor time of this process in microseconds.
async fn work(url: &str, table: &str) -> Result<(), WorldError> {
    let messages: Vec<Message> = serde_json::from_reader(io::stdin().lock())?;
    let store = Store::new(connect(Some(&Endpoint::at(url)), None).await, table);
    let jobs = Jobs::new(store, api::app::clock(), Arc::new(TestQueue::default()));
    let before = processor_time()?;
    let mut work = stream::iter(&messages)
        .map(|message| {
            let jobs = &jobs;
            async move { jobs.work(message, &Deadline::never()).await }
        })
        .buffer_unordered(usize::from(SHARDS));
    while let Some(worked) = work.next().await {
        worked?;
    }
    writeln!(io::stdout(), "{}", (processor_time()? - before).as_micros())?;
    Ok(())
}

/// Measures the processor time of a job alone, in a process of its own.
async fn processor() -> Result<(), WorldError> {
    #[expect(clippy::disallowed_methods, reason = "the process that starts this one says where the engine is")]
    let url = std::env::var("CRM_ACCESS_TEST_DYNAMODB")?;
    let world = World::new().await?;
    world.set_clock(api::app::clock()());
    load(&world.store).await?;
    let router = local::router::router(&world.app);
    let mut times = Vec::new();
    for turn in 0..MEASURED_JOBS {
        let id = start_job(&router, turn + 1).await?;
        let messages = world.queue.waiting();
        world.queue.clear();
        let worker = this_program(&["work", &url, &world.table])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut worker = ChildProcess(worker?);
        worker.0.stdin.take().ok_or("no input of the worker")?.write_all(&serde_json::to_vec(&messages)?)?;
        let mut report = String::new();
        worker.0.stdout.take().ok_or("no output of the worker")?.read_to_string(&mut report)?;
        if !is_done(&world.store, id).await? {
            return Err("the job has not ended".into());
        }
        let micros: f64 = report.trim().parse()?;
        if turn > 0 {
            times.push(micros / CONTACTS as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    Row::new("processor time of a job alone, without the engine")
        .measured(format!(
            "{median:.1} us a contact (median of {}: {:.1} to {:.1})",
            times.len(),
            times[0],
            times[times.len() - 1]
        ))
        .bar(format!("under {MAX_MICROS_PER_CONTACT} us"), median < MAX_MICROS_PER_CONTACT)
        .print()
}
