//! Killed workers: SIGKILL ends the program in the middle of jobs for 10,000 contacts, and no work is lost.
//!
//! The child is `crm-access serve` on the embedded engine's file, so the engine dies with the worker. Each seed starts
//! from a copy of one prepared portal: a job sets the access of every match, the server is killed at a random moment of
//! the job and restarted, the job completes, and the test undoes it. A fifth of the seeds kill the job twice, and
//! another fifth also kill the undo.
//!
//! `CRM_ACCESS_KILLS` is the number of seeds, `CRM_ACCESS_KILL_SEED` the first seed. To repeat a failure, set the
//! variables to 1 and to the failed seed. By default the test runs a few seeds; `make soak` runs more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use jobs::Jobs;
use local::workers::WORKERS;
use models::access::{Access, ShareType};
use models::contact::ContactRecord;
use models::job::{Counts, Job, JobId, State};
use models::values::id::{ContactId, PortalId, UserId};
use serde_json::{Value, json};
use store::Store;
use store::contacts::AccessState;
use store::dynamodb::client::{Endpoint, connect};
use store::keys::OPEN_BUCKETS;
use tempfile::TempDir;
use tokio::runtime::Runtime;

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_crm-access");
/// The timeout for a process or a job.
const TIMEOUT: Duration = Duration::from_secs(180);
/// The interval at which the state of a job is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Number of seeds, unless `CRM_ACCESS_KILLS` is set.
const KILLS: u64 = 5;
/// The latest moment of a kill, as a multiple of the duration of an undisturbed job.
const LATEST_KILL: f64 = 1.05;
/// The maximum number of concurrent seeds: each server has a file and two busy threads.
const LANES: usize = 4;

const PORTAL: &str = "killed";
const ADMIN: &str = "killed-administrator-token-0000000000000";
const TAG: &str = "everyone";
/// The contacts of the portal.
const CONTACTS: i64 = 11_000;
/// The size of a group of contacts: one contact of each group lacks the tag, and `ALREADY_SET` already have the target
/// access.
const GROUP: i64 = 11;
const ALREADY_SET: i64 = 4;
const UNMATCHED: usize = 1_000;
const UNCHANGED: usize = 4_000;
const CHANGED: usize = 6_000;
/// The contacts that match the job's filter.
const MATCHED: usize = UNCHANGED + CHANGED;
const _: () = assert!(UNMATCHED as u64 * GROUP.unsigned_abs() == CONTACTS.unsigned_abs());
const _: () = assert!(UNCHANGED as u64 == UNMATCHED as u64 * ALREADY_SET.unsigned_abs());
const _: () = assert!((MATCHED + UNMATCHED) as u64 == CONTACTS.unsigned_abs());
/// The shards of the two portals. The first portal has few shards with many chunks each. The second portal has more
/// shards than workers, with few chunks each.
const SHARDS: [u16; 2] = [2, 10];
const _: () = assert!(SHARDS[1] as usize > WORKERS);
/// Users of the portal.
const USERS: i64 = 60;

fn user(number: i64) -> UserId {
    UserId::from_u128(0x6b11_0000_0000_4000_8000_0000_0000_0000 + u128::from((number % USERS).unsigned_abs()))
}

fn is_match(id: i64) -> bool {
    id % GROUP != 0
}

/// Returns the access that the job sets.
fn target() -> Access {
    Access { share: ShareType::None, managers: vec![user(1), user(2)] }
}

/// Returns the access of a contact before the job: public with and without an access record, private and read-only with
/// various managers, and some that already match the target.
fn access_before(id: i64) -> Access {
    let managers = |count: i64| (0..count).map(|manager| user(id + 3 * manager)).collect();
    match id % GROUP {
        1..=ALREADY_SET => target(),
        _ => match id % 6 {
            0 => Access { share: ShareType::None, managers: managers(if id % 100 == 0 { 20 } else { 2 }) },
            2 => Access { share: ShareType::Read, managers: managers(3) },
            3 => Access { share: ShareType::None, managers: Vec::new() },
            4 => Access { share: ShareType::ReadWrite, managers: managers(1) },
            _ => Access::UNRECORDED,
        },
    }
}

/// Returns the portal's import lines.
fn lines(shards: u16) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |value: Value| writeln!(text, "{value}").unwrap_or(());
    line(json!({"portal": {"Id": PORTAL, "TimeZone": "Europe/Riga", "Shards": shards}}));
    for number in 0..USERS {
        line(json!({"user": {"Id": user(number), "DisplayName": format!("User {number}"), "IsAdmin": number == 0}}));
    }
    line(json!({"token": {"Token": ADMIN, "UserId": user(0), "Scopes": ["read", "write"], "Expires": null}}));
    for id in 1..=CONTACTS {
        let access = access_before(id);
        let managers: Vec<Value> = access.managers.iter().map(|id| json!({"Id": id})).collect();
        line(json!({"contact": {
            "id": id,
            "DisplayName": format!("Contact {id}"),
            "Created": format!("2020-{:02}-{:02}T12:{:02}:00Z", id % 12 + 1, id % 28 + 1, id % 60),
            "Tags": if is_match(id) { vec![TAG] } else { vec!["other"] },
            "ShareType": access.share.number(),
            "AccessList": managers,
        }}));
    }
    text
}

fn contact(id: i64) -> TestResult<ContactId> {
    Ok(ContactId::try_from(id).map_err(|_| format!("{id} is no contact's number"))?)
}

/// Returns an error with this message unless the condition holds.
fn ensure(holds: bool, words: impl FnOnce() -> String) -> TestResult {
    if holds { Ok(()) } else { Err(words().into()) }
}

/// A prepared portal: an unchanged data folder and its contents.
struct Prepared {
    folder: PathBuf,
    before: HashMap<ContactId, AccessState>,
    records: HashMap<ContactId, ContactRecord>,
}

impl Prepared {
    fn new(folder: &Path, shards: u16) -> TestResult<Self> {
        let (data, file) = (folder.join(format!("prepared-{shards}")), folder.join(format!("{shards}.ndjson")));
        fs::write(&file, lines(shards))?;
        let import = Command::new(PROGRAM).arg("import").arg("--data-dir").arg(&data).arg(&file).output()?;
        ensure(import.status.success(), || String::from_utf8_lossy(&import.stderr).into_owned())?;

        let read = folder.join(format!("read-{shards}"));
        copy(&data, &read)?;
        let server = Server::start(&read)?;
        let table = Table::of(&server)?;
        let ids: Vec<ContactId> = (1..=CONTACTS).map(contact).collect::<TestResult<_>>()?;
        let accesses = table.block_on(table.store.current_access_of(&table.portal, &ids))?;
        let records = table.block_on(table.store.contacts(&table.portal, &ids))?;
        drop(server);
        for (id, key) in (1..).zip(&ids) {
            let found = accesses.of(*key)?;
            ensure(found.access == access_before(id), || format!("contact {id} was loaded with {found:?}"))?;
        }
        ensure(records.len() as u64 == CONTACTS.unsigned_abs(), || format!("{} contacts were loaded", records.len()))?;
        let before = ids.iter().map(|&id| Ok((id, accesses.of(id)?.clone())));
        let before: HashMap<ContactId, AccessState> = before.collect::<TestResult<_>>()?;
        let has_record = |state: &AccessState| state.revision.is_some();
        ensure(!before.values().all(has_record), || "every contact has an access record".into())?;
        Ok(Self { folder: data, before, records })
    }

    fn before(&self, id: ContactId) -> AccessState {
        self.before.get(&id).cloned().unwrap_or(AccessState::UNRECORDED)
    }
}

/// Replaces `to` by a copy of a data folder that no process uses.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A running server.
struct Server {
    child: Child,
    data: PathBuf,
    port: u16,
    dynamodb: Option<Endpoint>,
    table: String,
    /// A channel without messages, whose receive timeout serves as a pause.
    pauses: (Sender<()>, Receiver<()>),
}

impl Server {
    fn start(data: &Path) -> TestResult<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--port", "0", "--dynamodb-port", "0", "--data-dir"]).arg(data);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let (dynamodb, table) = (None, String::new());
        let mut server = Self { child, data: data.to_owned(), port: 0, dynamodb, table, pauses: channel() };
        loop {
            let line = lines.recv_timeout(TIMEOUT)?;
            if let Some(of) = line.strip_prefix("dynamodb on ") {
                let (url, of) = of.split_once(" table ").ok_or("no table")?;
                let (table, access_key) = of.split_once(" access key ").ok_or("no access key")?;
                server.dynamodb = Some(Endpoint::at(url).with_access_key(access_key));
                server.table = table.to_owned();
            } else if let Some(port) = line.strip_prefix("listening on http://127.0.0.1:") {
                server.port = port.parse()?;
                return Ok(server);
            }
        }
    }

    /// Waits while the server runs.
    fn pause(&self, pause: Duration) {
        // No message is ever sent, so this always times out.
        self.pauses.1.recv_timeout(pause).unwrap_or(());
    }

    /// Kills the process by SIGKILL, and starts another process on the same data.
    fn killed(mut self) -> TestResult<Self> {
        self.child.kill()?;
        let status = self.child.wait()?;
        const SIGKILL: i32 = 9;
        ensure(status.signal() == Some(SIGKILL), || format!("the server ended without SIGKILL: {status}"))?;
        let data = self.data.clone();
        drop(self);
        Self::start(&data)
    }

    /// Sends one HTTP/1.1 request, and returns the answer's status, head and body.
    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> TestResult<(u16, String, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let length = body.len();
        write!(
            stream,
            "{method} /api/2.0/crm/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Authorization: {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok((status, head.to_owned(), body.to_owned()))
    }

    /// Starts a job, and returns its identifier.
    fn start_job(&self, method: &str, path: &str, headers: &str, body: &str) -> TestResult<JobId> {
        let (status, head, answer) = self.call(method, path, headers, body)?;
        ensure(status == 202, || format!("{method} {path}: {status} {answer}"))?;
        let id = head.lines().filter_map(|line| line.split_once(": "));
        let id = id.filter(|(name, _)| name.eq_ignore_ascii_case("x-job-id")).map(|(_, id)| id).next();
        Ok(JobId::from_str(id.ok_or("no X-Job-Id")?)?)
    }

    /// Starts the job that sets the access of every match.
    fn set_access(&self) -> TestResult<JobId> {
        let body = json!({"tags": [TAG], "isPrivate": true, "managerList": target().managers}).to_string();
        self.start_job("PUT", "contact/filter/access", "Prefer: respond-async\r\n", &body)
    }

    fn undo(&self, job: JobId) -> TestResult<JobId> {
        self.start_job("POST", &format!("access/jobs/{job}/undo"), "", "")
    }

    /// Reads a job through the API.
    fn job(&self, id: JobId) -> TestResult<Value> {
        let (status, _, body) = self.call("GET", &format!("access/jobs/{id}"), "", "")?;
        ensure(status == 200, || format!("job {id}: {status} {body}"))?;
        Ok(serde_json::from_str::<Value>(&body)?["response"].take())
    }

    /// Waits until a job has ended.
    fn wait_for(&self, id: JobId) -> TestResult<Value> {
        let begun = Instant::now();
        loop {
            let job = self.job(id)?;
            if !job["finished"].is_null() {
                return Ok(job);
            }
            ensure(begun.elapsed() < TIMEOUT, || format!("the job does not end: {job}"))?;
            self.pause(POLL_INTERVAL);
        }
    }

    fn changes(&self, job: JobId, start: usize, count: usize) -> TestResult<Vec<Value>> {
        let path = format!("access/jobs/{job}/changes?startIndex={start}&count={count}");
        let (status, _, body) = self.call("GET", &path, "", "")?;
        ensure(status == 200, || format!("{path}: {status} {body}"))?;
        Ok(serde_json::from_value(serde_json::from_str::<Value>(&body)?["response"].take())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test must leave no running server. A server that has already exited needs no kill.
        match self.child.kill().and_then(|()| self.child.wait()) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// The table of a running server, accessed through the engine's port.
struct Table {
    runtime: Runtime,
    store: Store,
    portal: PortalId,
}

impl Table {
    fn of(server: &Server) -> TestResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(connect(server.dynamodb.as_ref(), None));
        Ok(Self { store: Store::new(client, &server.table), runtime, portal: PORTAL.parse()? })
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn job(&self, id: JobId) -> TestResult<Job> {
        Ok(self.block_on(self.store.job(&self.portal, id))?.ok_or("no record of the job")?)
    }

    /// Checks that a job is done and has the expected counts.
    fn check_done(&self, id: JobId, counts: Counts) -> TestResult {
        let job = self.job(id)?;
        let found = (job.state, job.counts, job.percent, &job.error);
        ensure(found == (State::Done, counts, 100, &None), || {
            format!("the job ended with {found:?}, expected {counts:?}")
        })
    }

    /// Checks every contact's access against `expected`, which maps a contact's access before the job to the access
    /// after the job.
    fn check_access(
        &self,
        of: &Prepared,
        expected: impl Fn(i64, AccessState) -> (Access, Option<JobId>),
    ) -> TestResult {
        let ids: Vec<ContactId> = (1..=CONTACTS).map(contact).collect::<TestResult<_>>()?;
        let found = self.block_on(self.store.current_access_of(&self.portal, &ids))?;
        let mut wrong = Vec::new();
        for (number, id) in (1..).zip(&ids) {
            let (found, before) = (found.of(*id)?, of.before(*id));
            let found = (found.access.clone(), found.job());
            let expected = expected(number, before.clone());
            if found != expected {
                wrong.push((number, before, expected, found));
            }
        }
        ensure(wrong.is_empty(), || {
            let (id, before, expected, found) = &wrong[0];
            format!(
                "{} contacts have the wrong access; contact {id} had {before:?}, has {found:?}, not {expected:?}",
                wrong.len()
            )
        })
    }

    /// Checks that a random sample of contacts is unchanged apart from the access.
    fn check_records(&self, of: &Prepared, random: &mut Rng) -> TestResult {
        let some: HashSet<ContactId> =
            (0..300).map(|_| contact(random.i64(1..=CONTACTS))).collect::<TestResult<_>>()?;
        let some: Vec<ContactId> = some.into_iter().collect();
        let found = self.block_on(self.store.contacts(&self.portal, &some))?;
        let changed = some.iter().find(|id| found.get(id) != of.records.get(id));
        ensure(changed.is_none(), || format!("contact {changed:?} itself was changed"))
    }

    /// Checks that a job has recorded the access from before each of its changes, and that the API shows a page of
    /// these changes.
    fn check_changes(&self, server: &Server, of: &Prepared, id: JobId, random: &mut Rng) -> TestResult {
        let (queue, _messages) = local::fair_queue::queue();
        let jobs = Jobs::new(self.store.clone(), api::app::clock(), Arc::new(queue));
        let changes = self.block_on(jobs.changes(&self.portal, &self.job(id)?, 0, usize::MAX))?;
        ensure(changes.len() == CHANGED, || format!("{} changes are recorded", changes.len()))?;
        let mut recorded = HashSet::with_capacity(changes.len());
        for change in &changes {
            let before = of.before(change.contact);
            ensure(recorded.insert(change.contact), || format!("{change:?} is recorded twice"))?;
            ensure(change.before == before.access && change.revision == before.revision && !change.conflict, || {
                format!("{change:?} does not record the access before the job: {before:?}")
            })?;
        }
        let start = random.usize(..CHANGED);
        let shown = server.changes(id, start, 50)?;
        ensure(shown.len() == 50.min(CHANGED - start), || format!("{} changes from {start} on", shown.len()))?;
        let view =
            |access: &Access| (json!(access.share), access.managers.iter().map(|id| json!(id)).collect::<Vec<_>>());
        let access = |value: &Value| {
            let managers = value["accessList"].as_array().into_iter().flatten();
            (value["shareType"].clone(), managers.map(|manager| manager["id"].clone()).collect::<Vec<_>>())
        };
        for (shown, change) in shown.iter().zip(&changes[start..]) {
            let same = shown["contactId"] == json!(change.contact)
                && shown["conflict"] == false
                && access(&shown["before"]) == view(&change.before)
                && access(&shown["after"]) == view(&target());
            ensure(same, || format!("{shown} is shown for {change:?}"))?;
        }
        ensure(server.changes(id, CHANGED, 50)?.is_empty(), || "changes are shown after the last change".into())
    }

    /// Checks that no job is open.
    fn check_closed(&self, server: &Server) -> TestResult {
        let begun = Instant::now();
        loop {
            let mut open = Vec::new();
            for bucket in 0..OPEN_BUCKETS {
                open.extend(self.block_on(self.store.open_jobs(bucket, None))?.jobs);
            }
            // A job is closed shortly after the API shows it as ended.
            if open.is_empty() {
                return Ok(());
            }
            ensure(begun.elapsed() < TIMEOUT, || format!("jobs stay open: {open:?}"))?;
            server.pause(POLL_INTERVAL);
        }
    }
}

/// The state of a job at a kill.
#[derive(Clone, Copy)]
struct Hit {
    is_undo: bool,
    /// The progress of the job, if it was still running.
    percent: Option<u64>,
}

/// The durations of an undisturbed job and of its undo.
#[derive(Clone, Copy, Default)]
struct Times {
    job: Duration,
    undo: Duration,
}

/// The number of kills of the job and of its undo.
struct Kills {
    job: u32,
    undo: u32,
}

/// Runs a job to its end, with `kills` kills at random moments within the expected duration `time`.
fn run(
    mut server: Server,
    id: JobId,
    (kills, time, is_undo): (u32, Duration, bool),
    random: &mut Rng,
    hits: &mut Vec<Hit>,
) -> TestResult<Server> {
    let mut rest = time.mul_f64(LATEST_KILL);
    for kill in (0..kills).rev() {
        // The first of several kills comes early, so that the job still runs at the later kills.
        let moment = rest.mul_f64(random.f64() / f64::from(kill + 1));
        server.pause(moment);
        server = server.killed()?;
        let found = server.job(id)?;
        hits.push(Hit { is_undo, percent: found["percent"].as_u64().filter(|_| found["finished"].is_null()) });
        rest = rest.saturating_sub(moment);
    }
    server.wait_for(id)?;
    Ok(server)
}

/// Runs one seed: the killed job and its undo.
fn attempt(data: &Path, of: &Prepared, kills: &Kills, times: Times, random: &mut Rng) -> TestResult<(Vec<Hit>, Times)> {
    let mut hits = Vec::new();
    copy(&of.folder, data)?;
    let server = Server::start(data)?;

    let begun = Instant::now();
    let job = server.set_access()?;
    let server = run(server, job, (kills.job, times.job, false), random, &mut hits)?;
    let job_time = begun.elapsed();
    let table = Table::of(&server)?;
    let count = |of: usize| of as u64;
    let counts =
        Counts { matched: count(MATCHED), updated: count(CHANGED), unchanged: count(UNCHANGED), ..Counts::default() };
    table.check_done(job, counts)?;
    let changes = |id, before: &AccessState| is_match(id) && before.access != target();
    table.check_access(of, |id, before| match changes(id, &before) {
        true => (target(), Some(job)),
        false => (before.access.clone(), before.job()),
    })?;
    table.check_records(of, random)?;
    table.check_changes(&server, of, job, random)?;

    let begun = Instant::now();
    let undo = server.undo(job)?;
    let server = run(server, undo, (kills.undo, times.undo, true), random, &mut hits)?;
    let undo_time = begun.elapsed();
    let table = Table::of(&server)?;
    table.check_done(undo, Counts { matched: count(CHANGED), updated: count(CHANGED), ..Counts::default() })?;
    table.check_access(of, |id, before| match changes(id, &before) {
        true => (before.access, Some(undo)),
        false => (before.access.clone(), before.job()),
    })?;
    table.check_records(of, random)?;
    table.check_closed(&server)?;
    Ok((hits, Times { job: job_time, undo: undo_time }))
}

/// Reads a number from the environment.
fn number(name: &str) -> TestResult<Option<u64>> {
    #[expect(clippy::disallowed_methods, reason = "the environment names the number of kills")]
    let text = std::env::var(name).ok();
    Ok(text.map(|text| text.parse().map_err(|error| format!("{name}={text}: {error}"))).transpose()?)
}

/// Runs one lane: a thread that runs seeds until no seed is left.
fn lane(
    lane: usize,
    folder: &Path,
    prepared: &[Prepared],
    (first, seeds, next, failed): (u64, u64, &AtomicU64, &AtomicBool),
) -> TestResult<Vec<Hit>> {
    let data = folder.join(format!("lane-{lane}"));
    // First run a job without kills, to measure its duration while the other lanes run.
    let mut random = Rng::with_seed(first);
    let no_kills = Kills { job: 0, undo: 0 };
    let (_, times) = attempt(&data, &prepared[lane % prepared.len()], &no_kills, Times::default(), &mut random)
        .map_err(|error| format!("a job without kills: {error}"))?;
    writeln!(
        io::stdout(),
        "lane {lane}: without kills, a job takes {:.1?} and its undo {:.1?}",
        times.job,
        times.undo
    )?;

    let mut hits = Vec::new();
    while !failed.load(Ordering::SeqCst) {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= seeds {
            break;
        }
        let seed = first + number;
        let mut random = Rng::with_seed(seed);
        let kills = Kills { job: if seed % 5 == 1 { 2 } else { 1 }, undo: u32::from(seed % 5 == 3) };
        let of = &prepared[random.usize(..prepared.len())];
        let hit = attempt(&data, of, &kills, times, &mut random).inspect_err(|_| failed.store(true, Ordering::SeqCst));
        let (hit, _) = hit.map_err(|error| {
            format!(
                "seed {seed}: {error}\nTo try it again: CRM_ACCESS_KILLS=1 CRM_ACCESS_KILL_SEED={seed} cargo test …"
            )
        })?;
        hits.extend(hit);
    }
    Ok(hits)
}

/// Returns the number of all hits, the number of hits on running jobs, and the hits on running jobs by tenths of
/// progress.
fn spread<'a>(hits: impl Iterator<Item = &'a Hit>) -> (usize, usize, BTreeMap<u64, usize>) {
    let (mut all, mut running, mut tenths) = (0, 0, BTreeMap::new());
    for hit in hits {
        all += 1;
        if let Some(percent) = hit.percent {
            running += 1;
            *tenths.entry(percent / 10 * 10).or_default() += 1;
        }
    }
    (all, running, tenths)
}

#[test]
fn job_ends_and_can_be_undone_after_a_kill_at_any_time() -> TestResult {
    let seeds = number("CRM_ACCESS_KILLS")?.unwrap_or(KILLS);
    let first = number("CRM_ACCESS_KILL_SEED")?.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let begun = Instant::now();
    let folder: TempDir = tempfile::tempdir()?;
    let folder = folder.path();
    let prepared: Vec<Prepared> = thread::scope(|scope| {
        let prepared = SHARDS.map(|shards| scope.spawn(move || Prepared::new(folder, shards)));
        prepared.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect::<TestResult<_>>()
    })?;
    writeln!(
        io::stdout(),
        "{seeds} seeds from {first} on; portals of {CONTACTS} contacts prepared in {:.0?}",
        begun.elapsed()
    )?;

    let lanes = thread::available_parallelism()?.get().clamp(1, LANES);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let hits: Vec<Hit> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|number| {
                let (prepared, seeds) = (&prepared, (first, seeds, &next, &failed));
                scope.spawn(move || lane(number, folder, prepared, seeds))
            })
            .collect();
        let hits = lanes.into_iter().map(|lane| lane.join().map_err(|_| "a lane panicked")?);
        hits.collect::<TestResult<Vec<_>>>().map(|hits| hits.concat())
    })?;

    let mut out = io::stdout();
    for (what, is_undo) in [("jobs", false), ("undos", true)] {
        let (all, running, tenths) = spread(hits.iter().filter(|hit| hit.is_undo == is_undo));
        writeln!(
            out,
            "{what}: killed {all} times, {running} of them while running; kills by progress in per cent: {tenths:?}"
        )?;
        if all >= 10 {
            assert!(running * 2 >= all, "most kills came too late: {running} of {all}");
        }
        if running >= 20 {
            assert!(tenths.len() >= 4, "the kills hit the same moments: {tenths:?}");
        }
    }
    writeln!(out, "{seeds} seeds in {:.0?}", begun.elapsed())?;
    Ok(())
}
