//! Measures the memory that a page of contacts with long manager lists, or many concurrent sign-ins, need in addition
//! to the memory of an idle process.
//!
//! Three processes: the embedded engine, in memory; a process that answers a single call, so that only this call uses
//! its memory; and a driver that loads the portal and starts a process for each call.

use std::io::{self, Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use api::App;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use benches::portal::{PORTAL, TOKEN};
use benches::processes::{ChildProcess, engine, peak_kb, run_with_engine, runtime, this_program};
use benches::verdict::{HEAD, Row};
use jobs::Jobs;
use models::sign_in::password::{Password, SALT_BYTES};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Store;
use store::dynamodb::client::{Endpoint, connect};
use tests::{World, WorldError};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use uuid::Uuid;

/// The contacts of the portal, all on one page.
const CONTACTS: usize = 1000;
/// The users of the portal, all in the manager list of each contact.
const USERS: usize = 1000;
/// The token of an ordinary user; [`TOKEN`] is an administrator's.
const USER_TOKEN: &str = "page-memory-user-token-0123456789abcdef";
/// The contacts per import.
const LOADED_AT_ONCE: usize = 50;
/// The maximum memory above idle, in KB.
const MAX_KB: u64 = 64 * 1024;
/// The concurrent sign-ins.
const SIGN_INS: usize = 150;
const EMAIL: &str = "administrator@bench.example";
const PASSWORD: &str = "correct horse battery staple";
/// The maximum memory of the sign-ins above idle, in KB.
const MAX_SIGN_IN_KB: u64 = 60 * 1024;
/// The time for which the measured process caches a token.
const TOKEN_CACHE: Duration = Duration::from_secs(60);

/// A measured call.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    token: String,
    method: String,
    path: String,
    body: String,
}

/// The figures that a process reports of its call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Measured {
    status: u16,
    bytes: usize,
    idle_kb: u64,
    peak_kb: u64,
}

fn main() -> Result<(), WorldError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["engine"] => runtime()?.block_on(engine()),
        ["answer", url, table] => {
            // The runtime of a Lambda function.
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(answer(url, table))
        }
        // The runtime of `serve`.
        ["sign_in", url, table] => runtime()?.block_on(sign_in(url, table)),
        ["measure"] => runtime()?.block_on(measure()),
        // `cargo bench` starts the program like this.
        ["--bench"] => run_with_engine(&["measure"]),
        // `cargo test --benches` starts the program like this.
        _ => Ok(()),
    }
}

/// Answers a small call, and then the call on standard input.
async fn answer(url: &str, table: &str) -> Result<(), WorldError> {
    let call: Call = serde_json::from_reader(io::stdin().lock())?;
    let store = Store::new(connect(Some(&Endpoint::at(url)), None).await, table);
    let jobs = Jobs::new(store, api::app::clock(), Arc::new(tests::TestQueue::default()));
    let router = local::router::router(&App::new(jobs, TOKEN_CACHE));
    let request = |method: &str, path: &str, body: String| {
        let request = Request::builder().method(method).uri(path).header("authorization", &call.token);
        let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
        request.body(Body::from(body))
    };
    let small = request("GET", "/api/2.0/crm/access/jobs?count=1", String::new())?;
    to_bytes(router.clone().oneshot(small).await?.into_body(), usize::MAX).await?;
    let idle_kb = peak_kb()?;
    let response = router.oneshot(request(&call.method, &call.path, call.body)?).await?;
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await?.len();
    writeln!(io::stdout(), "{}", json!(Measured { status, bytes, idle_kb, peak_kb: peak_kb()? }))?;
    Ok(())
}

/// Makes concurrent sign-ins. The status is that of the first.
async fn sign_in(url: &str, table: &str) -> Result<(), WorldError> {
    let store = Store::new(connect(Some(&Endpoint::at(url)), None).await, table);
    let jobs = Jobs::new(store, api::app::clock(), Arc::new(tests::TestQueue::default()));
    let router = local::router::router(&App::new(jobs, TOKEN_CACHE));
    let small = Request::get("/api/2.0/crm/access/jobs?count=1").header("authorization", TOKEN);
    to_bytes(router.clone().oneshot(small.body(Body::empty())?).await?.into_body(), usize::MAX).await?;
    let idle_kb = peak_kb()?;
    let mut sign_ins = JoinSet::new();
    for _ in 0..SIGN_INS {
        let body = json!({"userName": EMAIL, "password": PASSWORD}).to_string();
        let request = Request::post("/api/2.0/authentication").header("content-type", "application/json");
        sign_ins.spawn(router.clone().oneshot(request.body(Body::from(body))?));
    }
    let mut statuses = Vec::new();
    while let Some(answered) = sign_ins.join_next().await {
        statuses.push(answered??.status().as_u16());
    }
    let status = statuses.into_iter().min().ok_or("no sign-in")?;
    writeln!(io::stdout(), "{}", json!(Measured { status, bytes: 0, idle_kb, peak_kb: peak_kb()? }))?;
    Ok(())
}

/// Measures the sign-ins in a separate process, and prints a row.
fn measure_sign_ins(url: &str, world: &World) -> Result<(), WorldError> {
    let report = this_program(&["sign_in", url, &world.table])?.stderr(Stdio::inherit()).output()?.stdout;
    let Measured { status, idle_kb, peak_kb, .. } = serde_json::from_slice(&report)?;
    if status != 201 {
        return Err(format!("no sign-in succeeded: {status}").into());
    }
    let above = peak_kb - idle_kb;
    writeln!(io::stdout(), "{HEAD}")?;
    Row::new(format!("memory above idle of {SIGN_INS} concurrent sign-ins"))
        .measured(format!("{:.1} MB", above as f64 / 1024.0))
        .bar(format!("under {} MB", MAX_SIGN_IN_KB / 1024), above < MAX_SIGN_IN_KB)
        .print()
}

fn user(number: usize) -> Uuid {
    Uuid::from_u128(0xbe4c_0000_0000_4000_8000_0000_0000_0000 + number as u128)
}

/// Returns all users, beginning with a different user for each `turn`.
fn managers(turn: usize) -> Vec<Uuid> {
    (0..USERS).map(|number| user((number + turn) % USERS)).collect()
}

/// Loads a portal in which every user is in the manager list of every contact.
async fn load() -> Result<World, WorldError> {
    let world = World::new().await?;
    world.set_clock(api::app::clock()());
    let portal = json!({"portal": {"Id": PORTAL, "Shards": 4}});
    let mut text = format!("{portal}\n");
    for number in 0..USERS {
        let mut user = json!({"Id": user(number), "DisplayName": format!("User {number} of the measured portal"),
            "Title": "Key account manager", "AvatarSmall": format!("/avatars/{number}.png"), "IsAdmin": number == 0});
        if number == 0 {
            let hash = Password::check(PASSWORD).map_err(|error| error.to_string())?.hash(&[7; SALT_BYTES]);
            user["Email"] = json!(EMAIL);
            user["PasswordHash"] = json!(hash.map_err(|error| error.to_string())?.as_str());
        }
        text.push_str(&format!("{}\n", json!({ "user": user })));
    }
    for (token, user) in [(TOKEN, user(0)), (USER_TOKEN, user(1))] {
        let token = json!({"Token": token, "UserId": user, "Scopes": ["read", "write"]});
        text.push_str(&format!("{}\n", json!({ "token": token })));
    }
    for first in (1..=CONTACTS).step_by(LOADED_AT_ONCE) {
        for id in first..first + LOADED_AT_ONCE {
            let list: Vec<Value> = managers(id).into_iter().map(|id| json!({"Id": id})).collect();
            let contact = json!({"id": id, "DisplayName": format!("Contact {id}"), "Created": "2020-01-01T00:00:00Z",
                "ShareType": 0, "AccessList": list});
            text.push_str(&format!("{}\n", json!({ "contact": contact })));
        }
        world.import(&text).await?;
        text = format!("{portal}\n");
    }
    Ok(world)
}

/// Measures a call in a separate process.
fn measured(url: &str, world: &World, call: &Call) -> Result<Measured, WorldError> {
    let process = this_program(&["answer", url, &world.table])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = ChildProcess(process?);
    process.0.stdin.take().ok_or("no input of the process")?.write_all(&serde_json::to_vec(call)?)?;
    let mut report = String::new();
    process.0.stdout.take().ok_or("no output of the process")?.read_to_string(&mut report)?;
    Ok(serde_json::from_str(&report)?)
}

async fn measure() -> Result<(), WorldError> {
    #[expect(clippy::disallowed_methods, reason = "the process that starts this one says where the engine is")]
    let url = std::env::var("CRM_ACCESS_TEST_DYNAMODB")?;
    let world = load().await?;
    measure_sign_ins(&url, &world)?;
    let filter = json!({"isPrivate": true, "managerList": managers(1)}).to_string();
    let set = world.put_with("filter/access?count=0", TOKEN, &filter, &[]).await?;
    world.work().await?;
    let job = set.header("x-job-id");
    let ids: Vec<usize> = (1..=CONTACTS).collect();
    let named = json!({"contactid": ids, "isShared": false, "managerList": managers(3)}).to_string();
    let again = json!({"isPrivate": true, "managerList": managers(2)}).to_string();
    let call = |token: &str, method: &str, path: &str, body: String| Call {
        token: token.into(),
        method: method.into(),
        path: format!("/api/2.0/crm/{path}"),
        body,
    };
    writeln!(
        io::stdout(),
        "| one page, {USERS} users in each of {CONTACTS} manager lists | above idle | answer | bar | |"
    )?;
    let mut over = Vec::new();
    for call in [
        call(TOKEN, "GET", "contact/filter.json", String::new()),
        call(TOKEN, "GET", "contact/filter.json?count=1000&fields=id,displayName", String::new()),
        call(USER_TOKEN, "GET", "contact/filter.json?count=1000", String::new()),
        call(USER_TOKEN, "GET", "contact/filter.json?count=1000&sortBy=displayName", String::new()),
        call(USER_TOKEN, "GET", "contact/filter.json?count=1000&isShared=false", String::new()),
        call(TOKEN, "GET", &format!("access/jobs/{job}/changes.json?count=1000"), String::new()),
        call(TOKEN, "PUT", "contact/filter/access.json?count=1000", again),
        call(TOKEN, "PUT", "contact/access.json?count=1000", named),
    ] {
        let Measured { status, bytes, idle_kb, peak_kb } = measured(&url, &world, &call)?;
        let (above, path) = (peak_kb - idle_kb, &call.path);
        let verdict = if above < MAX_KB { "met" } else { "NOT MET" };
        let text = format!(
            "| {} {path} ({status}) | {} MB | {bytes} B | under {} MB | {verdict} |",
            call.method,
            above / 1024,
            MAX_KB / 1024
        );
        writeln!(io::stdout(), "{text}")?;
        if above >= MAX_KB || status != 200 {
            over.push(text);
        }
    }
    if over.is_empty() { Ok(()) } else { Err(over.join("\n").into()) }
}
