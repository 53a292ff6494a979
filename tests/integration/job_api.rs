//! `/api/2.0/crm/access/jobs`: asynchronous runs, and showing, listing, undoing and cancelling jobs.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::Body;
use jiff::SignedDuration;
use lambda_http::RequestExt as _;
use lambda_http::http::Request;
use models::access::{Access, Author, Caller, ShareType};
use models::job::{Counts, Job, JobId, ShardSummary, State, Task};
use models::values::id::UserId;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};
use tests::{NEW_YEAR_2026, Reply, World};

use crate::portal::{
    ADA, ADA_TOKEN, CREATED, MIKE, MIKE_TOKEN, READER_TOKEN, SAM, SAM_TOKEN, ZOE_TOKEN, access, access_of, acme,
    acme_with, contact, contact_id, contact_with, id, job, lines, portal, private, shown_at, zenith,
};

/// The members of a job, in the order of SPEC section 8.
const MEMBERS: [&str; 21] = [
    "id",
    "kind",
    "state",
    "createdBy",
    "created",
    "started",
    "finished",
    "filter",
    "target",
    "rule",
    "undoOf",
    "matched",
    "updated",
    "unchanged",
    "skipped",
    "conflicts",
    "failed",
    "percent",
    "perSecond",
    "estimatedEnd",
    "error",
];

const ASYNC: (&str, &str) = ("prefer", "respond-async");

async fn run(world: &World, token: &str, query: &str, managers: &[UserId], headers: &[(&str, &str)]) -> Reply {
    let body = json!({"isPrivate": true, "managerList": managers}).to_string();
    world.put_with(&format!("filter/access?{query}"), token, &body, headers).await.unwrap()
}

/// Queues a job that makes private every contact that the caller may edit.
async fn queue(world: &World, token: &str, managers: &[UserId]) -> JobId {
    let reply = run(world, token, "", managers, &[ASYNC]).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

/// Returns the object in the envelope.
fn response(reply: &Reply) -> Value {
    let json = reply.json();
    assert_eq!(json["status"], 0, "{}", reply.text);
    json["response"].clone()
}

async fn shown(world: &World, token: &str, job: JobId) -> Value {
    let reply = world.get(&format!("jobs/{job}"), token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    response(&reply)
}

/// Returns the status and type of an error.
fn outcome(reply: &Reply) -> String {
    format!("{} {}", reply.status.as_u16(), reply.error_type())
}

/// Returns matched, updated, unchanged, skipped, conflicts, failed.
fn counts(job: &Value) -> [u64; 6] {
    ["matched", "updated", "unchanged", "skipped", "conflicts", "failed"].map(|name| job[name].as_u64().unwrap())
}

fn ids(list: &Value) -> Vec<String> {
    let list = list.get("response").unwrap_or(list);
    list.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(seconds)
}

/// Returns the items of all pages of a list, following `X-Next-Index`.
async fn pages(world: &World, path: &str, token: &str, size: usize) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        assert_eq!(start, all.len() as u64, "{path}");
        let reply = world.get(&format!("{path}?count={size}&startIndex={start}"), token).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        let page = reply.response().as_array().unwrap().clone();
        next = reply.count("x-next-index");
        assert!(next.is_none() || page.len() == size, "{path}: {} of {size}", page.len());
        all.extend(page);
    }
    all
}

/// Returns the access of contacts, without revisions.
async fn accesses(world: &World, ids: std::ops::RangeInclusive<i64>) -> BTreeMap<i32, Access> {
    let mut all: BTreeMap<i32, Access> =
        ids.clone().map(|id| (i32::try_from(id).unwrap(), Access::UNRECORDED)).collect();
    all.extend(access(world, "acme", ids).await.into_iter().map(|(id, state)| (id, state.access)));
    all
}

/// Contacts 1 to 5. Contact 2 already matches the runs' target.
fn five() -> Vec<Value> {
    (1..=5)
        .map(|id| if id == 2 { contact_with(id, ShareType::None, &[MIKE]) } else { contact(id, json!({})) })
        .collect()
}

#[tokio::test]
async fn respond_async_gets_a_queued_job_that_workers_run() {
    for prefer in [
        &["respond-async"][..],
        &["respond-async, wait=10"],
        &["wait=10,Respond-Async"],
        &["RESPOND-ASYNC;q=1"],
        &["wait=10", "respond-async"],
    ] {
        let world = acme_with(five()).await;
        let before = accesses(&world, 1..=5).await;
        let headers: Vec<_> = prefer.iter().map(|value| ("prefer", *value)).collect();
        let reply = run(&world, ADA_TOKEN, "", &[MIKE], &headers).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        assert_eq!(reply.header("preference-applied"), "respond-async", "{prefer:?}");
        let id = job(&reply).unwrap();
        assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{id}"));
        let queued = response(&reply);
        assert_eq!(
            (&queued["id"], &queued["state"], &queued["kind"]),
            (&json!(id), &json!("queued"), &json!("filter"))
        );
        assert_eq!((counts(&queued), &queued["percent"], &queued["started"]), ([0; 6], &json!(0), &Value::Null));
        assert_eq!(accesses(&world, 1..=5).await, before);

        let location = Request::get(reply.header("location")).header("authorization", ADA_TOKEN);
        let found = world.request(location.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!((found.status.as_u16(), found.response()), (200, reply.response()));

        assert_eq!(world.work().await.unwrap(), 4);
        let done = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&done["state"], &done["percent"], &done["error"]), (&json!("done"), &json!(100), &Value::Null));
        assert_eq!(counts(&done), [5, 4, 1, 0, 0, 0]);
        assert!(accesses(&world, 1..=5).await.values().all(|access| *access == private(&[MIKE])));
    }
}

#[tokio::test]
async fn other_preferences_do_not_make_a_run_asynchronous() {
    for prefer in ["wait=10", "respond-asynchronously", "return=minimal", ""] {
        let world = acme_with(five()).await;
        let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[("prefer", prefer)]).await;
        assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (200, ""), "{prefer}");
        assert_eq!(reply.count("x-updated-count"), Some(4), "{prefer}");
        assert_eq!(world.queue.waiting(), []);
    }
}

#[tokio::test]
async fn dry_run_is_synchronous_despite_respond_async() {
    let world = acme_with(five()).await;
    let reply = run(&world, ADA_TOKEN, "dryRun=true", &[MIKE], &[ASYNC]).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied"), job(&reply)), (200, "", None));
    assert_eq!(reply.count("x-updated-count"), Some(4));
    assert_eq!((world.queue.waiting(), world.get("jobs", ADA_TOKEN).await.unwrap().response()), (vec![], json!([])));
}

/// Sends a run whose deadline has passed.
async fn late(world: &World, query: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::put(format!("/api/2.0/crm/contact/filter/access?{query}"))
        .header("authorization", ADA_TOKEN)
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::from(json!({"isPrivate": true, "managerList": [MIKE]}).to_string());
    // The context's deadline is long past.
    world.request(request.body(body).unwrap().with_lambda_context(lambda_http::Context::default())).await.unwrap()
}

#[tokio::test]
async fn run_over_its_deadline_is_queued() {
    let world = acme_with(five()).await;
    let reply = late(&world, "", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, ""), "{}", reply.text);
    let id = job(&reply).unwrap();
    assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{id}"));
    assert_eq!(response(&reply)["state"], "running");
    assert_eq!(access_of(&world, 1).await.revision, None);
    assert_eq!(world.work().await.unwrap(), 4);
    let done = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [5, 4, 1, 0, 0, 0]));
    assert!(accesses(&world, 1..=5).await.values().all(|access| *access == private(&[MIKE])));
}

#[tokio::test]
async fn dry_run_over_its_deadline_is_refused() {
    let world = acme_with(five()).await;
    let reply = late(&world, "dryRun=true", &[]).await;
    assert_eq!(outcome(&reply), "503 not-counted-in-time");
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response(), json!([]));
}

#[tokio::test]
async fn queued_run_with_a_limit_counts_before_it_writes() {
    for (most, state, updated) in [(3, "failed", 0), (4, "done", 4)] {
        for prefers in [true, false] {
            let world = acme_with(five()).await;
            let query = format!("maxAffected={most}");
            let reply = match prefers {
                true => run(&world, ADA_TOKEN, &query, &[MIKE], &[ASYNC]).await,
                false => late(&world, &query, &[]).await,
            };
            assert_eq!(reply.status, 202, "{}", reply.text);
            assert_eq!(reply.header("preference-applied"), if prefers { "respond-async" } else { "" });
            assert_eq!(response(&reply)["state"], "queued");
            world.work().await.unwrap();
            let over = shown(&world, ADA_TOKEN, job(&reply).unwrap()).await;
            assert_eq!((&over["state"], &over["updated"]), (&json!(state), &json!(updated)), "{over}");
            if state == "failed" {
                let error = over["error"].as_str().unwrap();
                assert!(error.contains("4 contacts would be") && error.contains("maxAffected allows 3"), "{error}");
                assert_eq!(access_of(&world, 1).await.revision, None);
            } else {
                assert_eq!(counts(&over), [5, 4, 1, 0, 0, 0]);
            }
            assert_eq!(world.jobs().sweep(jobs::Abandoned::All, &jobs::Deadline::never()).await.unwrap(), 0);
        }
    }
}

/// Creates a world with a job that has every possible member.
async fn told_all() -> (World, JobId) {
    let world = acme_with([
        contact(1, json!({"Tags": ["VIP", "Old"], "ContactStatus": {"id": 2}, "ContactType": {"id": 3}})),
        contact(2, json!({})),
    ])
    .await;
    let body = json!({"tags": ["vip", " OLD "], "contactStage": [1, 2], "contactType": 3, "contactListView": "Person",
        "fromDate": "2020-12-08", "toDate": CREATED, "isPrivate": true, "managerList": [MIKE, SAM]});
    let path = "filter/access?filterValue=%20Contact%20%20ONTA";
    let reply = world.put_with(path, ADA_TOKEN, &body.to_string(), &[ASYNC]).await.unwrap();
    (world, job(&reply).unwrap())
}

#[tokio::test]
async fn job_has_the_specified_members_in_order() {
    let (world, id) = told_all().await;
    world.set_clock(after(5));
    let mut snapshot = String::new();
    for state in ["queued", "done"] {
        let json = world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap();
        let xml =
            world.access_with("GET", &format!("jobs/{id}"), ADA_TOKEN, "", &[("accept", "text/xml")]).await.unwrap();
        let list = world.access_with("GET", "jobs", ADA_TOKEN, "", &[("accept", "application/xml")]).await.unwrap();
        // An object and a list of one item have the same XML.
        assert_eq!(xml.text, list.text);
        assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response(), json!([response(&json)]));
        assert_eq!(xml.header("content-type"), "text/xml; charset=utf-8");

        let members: BTreeSet<String> = response(&json).as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, MEMBERS.map(str::to_owned).into());
        let place = |text: &str, member: String| text.find(&member).unwrap_or_else(|| panic!("{member} in {text}"));
        let places = MEMBERS.map(|member| place(&json.text, format!("\"{member}\":")));
        assert!(places.is_sorted(), "{}", json.text);
        let places = MEMBERS.map(|member| place(&xml.text, format!("<{member}")));
        assert!(places.is_sorted(), "{}", xml.text);
        let text = format!("{state}\n{}\n{}\n", json.text, xml.text).replace(&id.to_string(), "JOB");
        snapshot += &text.replace("><", ">\n<").replace(",\"", ",\n\"");
        world.work().await.unwrap();
    }
    crate::check_file("job", &snapshot);
}

#[tokio::test]
async fn running_job_shows_progress_and_estimated_end() {
    let world = acme_with((1..=80).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    world.set_clock(after(60));
    let mut looked = 0;
    for number in 0..4u16 {
        // A shard finishes every 10 s, the first one immediately.
        world.set_clock(after(60 + 10 * i64::from(number)));
        let message = world.queue.take().unwrap();
        world.jobs().work(&message, &jobs::Deadline::never()).await.unwrap();
        let shard = (1..=80).filter(|id| contact_id(*id).shard(4) == number).count();
        looked += shard;
        if number == 3 {
            break;
        }
        world.set_clock(after(70 + 10 * i64::from(number)));
        let job = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&job["state"], &job["started"]), (&json!("running"), &shown_at(after(60))));
        assert_eq!((&job["matched"], &job["updated"]), (&json!(looked), &json!(looked)));
        assert_eq!(job["percent"], 25 * (number + 1));
        #[expect(clippy::cast_precision_loss, reason = "80 contacts")]
        let per_second = (looked as f64 / f64::from(number + 1)).round() / 10.0;
        assert_eq!(job["perSecond"], per_second);
        // One shard took 10 s, two took 20, three took 30: the estimated end is 40 s after the start.
        assert_eq!(job["estimatedEnd"], shown_at(after(100)), "shard {number}");
        assert_eq!(job["finished"], Value::Null);
    }
    world.set_clock(after(1000));
    let job = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&job["state"], &job["percent"], &job["estimatedEnd"]), (&json!("done"), &json!(100), &Value::Null));
    assert_eq!((&job["finished"], &job["perSecond"]), (&shown_at(after(90)), &json!(2.7)));
    assert_eq!(counts(&job), [80, 80, 0, 0, 0, 0]);
}

/// A job started at New Year with 400 expected contacts.
fn running() -> Job {
    Job {
        id: JobId::from_u128(7),
        state: State::Running,
        created_by: Author::User(ADA),
        created: after(-10),
        started: Some(after(0)),
        finished: None,
        task: Task::Contact { target: Access::UNRECORDED },
        counts: Counts { matched: 9999, ..Counts::default() },
        error: None,
        percent: 0,
        shards: 4,
        expected: 400,
        changes_until: None,
    }
}

fn shard(done: bool, looked: u64, matched: u64) -> ShardSummary {
    ShardSummary { done, looked, counts: Counts { matched, updated: matched, ..Counts::default() } }
}

const ADMINISTRATOR: Caller = Caller { user: ADA, is_admin: true };
const EMPLOYEE: Caller = Caller { user: MIKE, is_admin: false };

/// Returns percent, matches a second, seconds until the estimated end.
fn told(job: &Job, shards: &[ShardSummary], now: Timestamp) -> (u8, f64, Option<f64>) {
    let view = job.view(shards, now, &ADMINISTRATOR);
    (view.percent, view.per_second, view.estimated_end.map(|end| end.since(now).as_secs_f64()))
}

#[test]
fn progress_of_a_job_follows_from_its_shards() {
    let none = [ShardSummary::default(); 4];
    let half = [shard(false, 50, 40); 4];
    // Nothing is known before any contact is checked or any time has passed.
    assert_eq!(told(&running(), &none, after(10)), (0, 0.0, None));
    assert_eq!(told(&running(), &[], after(10)), (0, 0.0, None));
    assert_eq!(told(&running(), &half, after(0)), (50, 0.0, None));
    // A clock set back gives no negative values.
    assert_eq!(told(&running(), &half, after(-5)), (50, 0.0, None));
    assert_eq!(told(&running(), &half, after(10)), (50, 16.0, Some(10.0)));
    assert_eq!(told(&running(), &half, after(1000)), (50, 0.2, Some(1000.0)));
    // All shards have equal weight. Percentages are rounded down.
    let some = [shard(true, 90, 90), shard(false, 33, 0), ShardSummary::default(), ShardSummary::default()];
    assert_eq!(told(&running(), &some, after(10)).0, 33);
    assert_eq!(running().view(&some, after(10), &ADMINISTRATOR).matched, 90);
    // An unfinished job shows at most 99 %, even with more matches than expected.
    let (percent, _, end) = told(&running(), &[shard(false, 1_000_000, 1); 4], after(10));
    assert_eq!((percent, end.is_some_and(|seconds| seconds > 0.0)), (99, true));
    let almost = [shard(true, 1, 1), shard(true, 1, 1), shard(true, 1, 1), shard(false, 900, 1)];
    assert_eq!(told(&running(), &almost, after(10)).0, 99);
    assert_eq!(told(&running(), &[shard(true, 1, 1); 4], after(10)), (100, 0.4, Some(0.0)));
    // No contacts were expected.
    assert_eq!(told(&Job { expected: 0, ..running() }, &half, after(10)), (0, 16.0, None));
    // The estimated end stays within the calendar, however slow the job.
    let slow = Job { expected: u64::MAX, ..running() };
    assert_eq!(told(&slow, &[shard(false, 1, 1); 4], after(10)), (0, 0.4, Some(100.0 * 365.25 * 86400.0)));
    assert!(slow.view(&half, Timestamp::MAX, &ADMINISTRATOR).estimated_end.is_some_and(|end| end <= Timestamp::MAX));
}

#[test]
fn ordinary_users_see_progress_in_steps_of_five() {
    for (percent, shown) in [(0, 0), (1, 0), (4, 0), (5, 5), (9, 5), (33, 30), (64, 60), (99, 95), (100, 100)] {
        let over = |state| Job { state, finished: Some(after(100)), percent, ..running() };
        for state in [State::Cancelled, State::Failed, State::Done] {
            assert_eq!(over(state).view(&[], after(200), &EMPLOYEE).percent, shown, "{state:?}");
            assert_eq!(over(state).view(&[], after(200), &ADMINISTRATOR).percent, percent, "{state:?}");
        }
        if percent < 100 {
            let shards = [shard(false, u64::from(percent), 1); 4];
            for state in [State::Running, State::Cancelled] {
                let job = Job { state, ..running() };
                assert_eq!(job.view(&shards, after(10), &EMPLOYEE).percent, shown, "{state:?}");
                // The estimated end derives from the displayed percentage, so it reveals nothing more.
                let end = job.view(&shards, after(10), &EMPLOYEE).estimated_end;
                let derived = Job { state, ..running() };
                let coarse = [shard(false, u64::from(shown), 1); 4];
                assert_eq!(end, derived.view(&coarse, after(10), &ADMINISTRATOR).estimated_end, "{percent} {state:?}");
            }
        }
    }
}

#[test]
fn only_a_running_job_has_an_estimated_end() {
    let half = [shard(false, 50, 40); 4];
    for (state, finished) in [
        (State::Queued, None),
        (State::Cancelled, None),
        (State::Cancelled, Some(after(10))),
        (State::Failed, Some(after(10))),
        (State::Done, Some(after(10))),
    ] {
        let job = Job { state, finished, ..running() };
        assert_eq!(told(&job, &half, after(20)).2, None, "{state:?}");
    }
    let waiting = Job { started: None, state: State::Queued, ..running() };
    assert_eq!(told(&waiting, &[], after(20)), (0, 0.0, None));
}

#[test]
fn ended_job_shows_its_final_values() {
    let over = Job { state: State::Failed, finished: Some(after(100)), percent: 41, ..running() };
    // Regardless of its shards and of the time of the request.
    for shards in [&[][..], &[shard(true, 5, 5); 4]] {
        assert_eq!(told(&over, shards, after(100_000)), (41, 100.0, None));
        assert_eq!(over.view(shards, after(100_000), &ADMINISTRATOR).matched, 9999);
    }
    let at_once = Job { state: State::Done, finished: Some(after(0)), percent: 100, ..running() };
    assert_eq!(told(&at_once, &[], after(50)), (100, 0.0, None));
}

/// Makes thirty single changes, one a second, every third by Mike. Returns the jobs, newest first, each with its user.
async fn thirty() -> (World, Vec<(String, UserId)>) {
    let mut values = acme();
    values.push(contact(1, json!({})));
    values.extend(zenith());
    values.push(contact(1, json!({})));
    let world = World::with(&lines(values)).await.unwrap();
    let mut jobs = Vec::new();
    for second in 0..30 {
        world.set_clock(after(second));
        let (token, user) = if second % 3 == 0 { (MIKE_TOKEN, MIKE) } else { (ADA_TOKEN, ADA) };
        let managers = if second % 2 == 0 { [SAM] } else { [MIKE] };
        let reply = world.put("1/access", token, &json!({"isShared": true, "managerList": managers})).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        jobs.push((reply.header("x-job-id").to_owned(), user));
    }
    let reply = world.put("1/access", ZOE_TOKEN, &json!({"isShared": false})).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    jobs.reverse();
    (world, jobs)
}

#[tokio::test]
async fn administrator_lists_all_jobs_and_user_its_own_newest_first() {
    let (world, jobs) = thirty().await;
    let all: Vec<String> = jobs.iter().map(|(id, _)| id.clone()).collect();
    let mikes: Vec<String> = jobs.iter().filter(|(_, user)| *user == MIKE).map(|(id, _)| id.clone()).collect();
    let first = world.get("jobs", ADA_TOKEN).await.unwrap();
    assert_eq!((ids(&first.json()), first.count("x-next-index")), (all[..25].to_vec(), Some(25)));
    let second = world.get("jobs?startIndex=25", ADA_TOKEN).await.unwrap();
    assert_eq!((ids(&second.json()), second.count("x-next-index")), (all[25..].to_vec(), None));
    // A read-only token is enough.
    assert_eq!(ids(&world.get("jobs?count=1000", READER_TOKEN).await.unwrap().json()), all);
    let own = world.get("jobs", MIKE_TOKEN).await.unwrap();
    assert_eq!((ids(&own.json()), own.count("x-next-index")), (mikes.clone(), None));
    assert_eq!(world.get("jobs", SAM_TOKEN).await.unwrap().response(), json!([]));
    assert_eq!(ids(&world.get("jobs", ZOE_TOKEN).await.unwrap().json()).len(), 1);

    for size in [1, 4, 7, 10, 29, 30, 31] {
        assert_eq!(ids(&json!(pages(&world, "jobs", ADA_TOKEN, size).await)), all, "{size}");
        assert_eq!(ids(&json!(pages(&world, "jobs", MIKE_TOKEN, size).await)), mikes, "{size}");
    }
    for query in ["count=0", "count=0&startIndex=3", "startIndex=30", "startIndex=10000"] {
        for token in [ADA_TOKEN, MIKE_TOKEN] {
            let reply = world.get(&format!("jobs?{query}"), token).await.unwrap();
            assert_eq!((reply.response(), reply.count("x-next-index")), (json!([]), None), "{query}");
        }
    }
    for second in [0, 1] {
        assert_eq!(shown(&world, ADA_TOKEN, jobs[second].0.parse().unwrap()).await, first.response()[second]);
    }
}

#[tokio::test]
async fn run_without_a_record_hides_no_other_job_of_its_user() {
    let (world, jobs) = thirty().await;
    let mut mikes: Vec<String> = jobs.iter().filter(|(_, user)| *user == MIKE).map(|(id, _)| id.clone()).collect();
    // The state left by a process that died between a job's entry in its user's list and the job's record.
    let died = mikes.remove(1).parse().unwrap();
    let (pk, sk) = Key::Job(id("acme"), died).encode();
    let request = world.client.delete_item().table_name(&world.table);
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
    let (mut found, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        let page = world.get(&format!("jobs?count=3&startIndex={start}"), MIKE_TOKEN).await.unwrap();
        found.extend(ids(&page.json()));
        next = page.count("x-next-index");
    }
    assert_eq!(found, mikes);
}

#[tokio::test]
async fn unknown_parameter_of_a_list_is_refused() {
    let (world, id) = told_all().await;
    for (path, field) in [
        ("jobs?state=done".to_owned(), "state"),
        ("jobs?count=-1".to_owned(), "count"),
        ("jobs?count=x".to_owned(), "count"),
        ("jobs?startIndex=10001".to_owned(), "startIndex"),
        ("jobs?count=1&count=2".to_owned(), "count"),
        (format!("jobs/{id}?count=1"), "count"),
        (format!("jobs/{id}/changes?page=1"), "page"),
    ] {
        let reply = world.get(&path, ADA_TOKEN).await.unwrap();
        assert_eq!(outcome(&reply), "400 invalid-request", "{path}: {}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{path}: {}", reply.text);
    }
    for path in [format!("jobs/{id}/undo?x=1"), format!("jobs/{id}/cancel?dryRun=true")] {
        assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "400 invalid-request", "{path}");
    }
    assert_eq!(shown(&world, ADA_TOKEN, id).await["state"], "queued");
}

#[tokio::test]
async fn invisible_job_is_answered_as_missing() {
    let mut values = acme();
    values.extend(five());
    values.extend(zenith());
    let world = World::with(&lines(values)).await.unwrap();
    let id = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    let unknown = JobId::from_u128(12345);
    for (token, id) in [(SAM_TOKEN, id), (ZOE_TOKEN, id), (ADA_TOKEN, unknown), (MIKE_TOKEN, unknown)] {
        for (method, rest) in [("GET", ""), ("GET", "/changes"), ("POST", "/undo"), ("POST", "/cancel")] {
            let reply = world.access_with(method, &format!("jobs/{id}{rest}"), token, "", &[]).await.unwrap();
            assert_eq!(outcome(&reply), "404 job-not-found", "{method} {rest}");
        }
    }
    for name in ["5", "x", "00000000-0000-0000-0000-00000000000g", "%20"] {
        for (method, rest) in [("GET", ""), ("GET", "/changes"), ("POST", "/undo"), ("POST", "/cancel")] {
            let reply = world.access_with(method, &format!("jobs/{name}{rest}"), ADA_TOKEN, "", &[]).await.unwrap();
            assert_eq!(outcome(&reply), "400 invalid-request", "{name}{rest}");
            assert_eq!(reply.json()["error"]["details"][0]["field"], "jobid");
        }
    }
    for rest in ["/undo", "/cancel"] {
        let reply = world.post(&format!("jobs/{id}{rest}"), READER_TOKEN).await.unwrap();
        assert_eq!(outcome(&reply), "403 scope-missing");
    }
    for token in [MIKE_TOKEN, ADA_TOKEN] {
        assert_eq!(shown(&world, token, id).await["state"], "queued");
    }
}

#[tokio::test]
async fn changes_show_before_and_after_with_names() {
    let world = acme_with([
        contact_with(1, ShareType::Read, &[SAM, MIKE]),
        contact(2, json!({"DisplayName": "Anna & Co"})),
        contact_with(3, ShareType::None, &[MIKE]),
    ])
    .await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    let path = format!("jobs/{id}/changes");
    // Nothing is changed yet.
    assert_eq!(world.get(&path, ADA_TOKEN).await.unwrap().response(), json!([]));
    world.work().await.unwrap();
    let json = world.get(&path, ADA_TOKEN).await.unwrap();
    let xml = world.access_with("GET", &path, ADA_TOKEN, "", &[("accept", "text/xml")]).await.unwrap();
    assert_eq!(json.response().as_array().unwrap().len(), 2);
    let text = format!("{}\n{}\n", json.text, xml.text);
    crate::check_file("changes", &text.replace("><", ">\n<").replace(",\"", ",\n\""));
    let empty = world.access_with("GET", &format!("{path}?count=0"), ADA_TOKEN, "", &[("accept", "text/xml")]).await;
    assert_eq!(
        empty.unwrap().text,
        "<result><count>0</count><startIndex>0</startIndex><status>0</status><statusCode>200</statusCode></result>"
    );
}

#[tokio::test]
async fn changes_hide_names_of_contacts_no_longer_visible() {
    let world = acme_with([contact(1, json!({})), contact(2, json!({})), contact(3, json!({}))]).await;
    let id = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    let reply = world.put("2/access", ADA_TOKEN, &json!({"isShared": false, "managerList": [SAM]})).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    for (token, hidden) in [(MIKE_TOKEN, true), (ADA_TOKEN, false)] {
        let changes = world.get(&format!("jobs/{id}/changes"), token).await.unwrap().response();
        let names: BTreeMap<i64, String> = changes
            .as_array()
            .unwrap()
            .iter()
            .map(|change| (change["contactId"].as_i64().unwrap(), change["displayName"].as_str().unwrap().to_owned()))
            .collect();
        let second = if hidden { "" } else { "Contact 2" };
        assert_eq!(names, [(1, "Contact 1"), (2, second), (3, "Contact 3")].map(|(id, n)| (id, n.to_owned())).into());
        // The caller may see the access that its own job set.
        assert!(changes.as_array().unwrap().iter().all(|change| change["after"]["shareType"] == 0));
    }
}

#[tokio::test]
async fn removed_contact_has_no_name_in_changes() {
    let world = acme_with([contact(1, json!({}))]).await;
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let removed = lines([portal("acme", "Europe/Riga", 4), json!({"delete": {"contact": 1}})]);
    world.import(&removed).await.unwrap();
    let changes = world.get(&format!("jobs/{}/changes", job(&reply).unwrap()), ADA_TOKEN).await.unwrap().response();
    assert_eq!((&changes[0]["contactId"], &changes[0]["displayName"]), (&json!(1), &json!("")));
}

/// Returns the contacts of changes.
fn changed(changes: &[Value]) -> Vec<i64> {
    changes.iter().map(|change| change["contactId"].as_i64().unwrap()).collect()
}

/// Checks that each of the contacts from 1 on appears in the changes exactly once.
fn assert_each_once(changes: &[Value], contacts: usize, what: &str) {
    let distinct: BTreeSet<i64> = changed(changes).into_iter().collect();
    assert_eq!((changes.len(), distinct.len()), (contacts, contacts), "{what}");
    assert_eq!((distinct.first(), distinct.last()), (Some(&1), Some(&i64::try_from(contacts).unwrap())), "{what}");
}

#[tokio::test]
async fn pages_of_changes_are_complete_across_shards() {
    let world = acme_with((1..=60).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    let path = format!("jobs/{id}/changes");
    // Two shards are finished, the others not started.
    for _ in 0..2 {
        world.jobs().work(&world.queue.take().unwrap(), &jobs::Deadline::never()).await.unwrap();
    }
    let so_far: BTreeSet<i64> = (1..=60).filter(|id| contact_id(*id).shard(4) < 2).collect();
    for size in [1, 7, 1000] {
        let changes = pages(&world, &path, ADA_TOKEN, size).await;
        assert_eq!((changes.len(), changed(&changes).into_iter().collect()), (so_far.len(), so_far.clone()), "{size}");
    }
    world.work().await.unwrap();
    let whole = pages(&world, &path, ADA_TOKEN, 1000).await;
    for size in [1, 2, 7, 13, 59, 60, 61] {
        let changes = pages(&world, &path, ADA_TOKEN, size).await;
        assert_each_once(&changes, 60, &format!("pages of {size}"));
        assert_eq!(changed(&changes), changed(&whole), "{size}");
    }
}

#[tokio::test]
async fn pages_of_changes_are_complete_across_chunks_and_undo_restores_all() {
    let mut values = acme();
    values[0] = portal("acme", "Europe/Riga", 1);
    values.extend(
        (1..=2500)
            .map(|id| if id % 100 == 0 { contact_with(id, ShareType::Read, &[SAM]) } else { contact(id, json!({})) }),
    );
    let world = World::with(&lines(values)).await.unwrap();
    let before = accesses(&world, 1..=2500).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    let path = format!("jobs/{id}/changes");
    for size in [1000, 999, 617] {
        assert_each_once(&pages(&world, &path, ADA_TOKEN, size).await, 2500, &format!("pages of {size}"));
    }
    // Pages around the ends of chunks.
    let whole = changed(&pages(&world, &path, ADA_TOKEN, 1000).await);
    for start in [0, 1, 998, 999, 1000, 1001, 1999, 2000, 2001, 2498, 2499, 2500] {
        let reply = world.get(&format!("{path}?count=3&startIndex={start}"), ADA_TOKEN).await.unwrap();
        let page = changed(reply.response().as_array().unwrap());
        let end = (start + 3).min(2500);
        assert_eq!(page, whole[start..end], "{start}");
        assert_eq!(reply.count("x-next-index"), (start + 3 < 2500).then_some(start as u64 + 3), "{start}");
    }

    let again: BTreeSet<i64> = [whole[0], whole[1200], whole[2499]].into();
    for contact in &again {
        let reply = world.put(&format!("{contact}/access"), ADA_TOKEN, &json!({"isShared": false})).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    let undo = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    world.work().await.unwrap();
    let undo = job(&undo).unwrap();
    let done = shown(&world, ADA_TOKEN, undo).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [2500, 2497, 0, 0, 3, 0]));
    let restored = accesses(&world, 1..=2500).await;
    for (contact, is) in restored {
        let expected = if again.contains(&i64::from(contact)) { &private(&[]) } else { &before[&contact] };
        assert_eq!(&is, expected, "contact {contact}");
    }
    let changes = pages(&world, &format!("jobs/{undo}/changes"), ADA_TOKEN, 900).await;
    assert_each_once(&changes, 2500, "undo");
    let conflicts = changes.iter().filter(|change| change["conflict"] == true).cloned().collect::<Vec<_>>();
    assert_eq!(changed(&conflicts).into_iter().collect::<BTreeSet<_>>(), again);
}

#[tokio::test]
async fn undo_restores_unchanged_contacts_and_lists_the_rest_as_conflicts() {
    let world = acme_with([
        contact(1, json!({})),
        contact_with(2, ShareType::Read, &[SAM]),
        contact_with(3, ShareType::None, &[ADA]),
        contact(4, json!({})),
    ])
    .await;
    let before = accesses(&world, 1..=4).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    // Set to the job's own target: the contact still counts as changed by someone else.
    for is_shared in [true, false] {
        let body = json!({"isShared": is_shared, "managerList": [MIKE]});
        assert_eq!(world.put("4/access", MIKE_TOKEN, &body).await.unwrap().status, 200);
    }
    world.set_clock(after(60));
    // The dry run counts what the undo will do, and writes nothing.
    let (now, jobs) = (accesses(&world, 1..=4).await, world.get("jobs", ADA_TOKEN).await.unwrap().text);
    let preview = world.post(&format!("jobs/{id}/undo?dryRun=true"), ADA_TOKEN).await.unwrap();
    let expected = json!({"matched": 4, "updated": 3, "unchanged": 0, "skipped": 0, "conflicts": 1});
    assert_eq!((preview.status.as_u16(), response(&preview)), (200, expected), "{}", preview.text);
    assert_eq!((preview.count("x-updated-count"), job(&preview)), (Some(3), None));
    assert_eq!(accesses(&world, 1..=4).await, now);
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().text, jobs);
    assert!(world.queue.waiting().is_empty());

    let reply = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, ""), "{}", reply.text);
    let undo = job(&reply).unwrap();
    assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{undo}"));
    let queued = response(&reply);
    assert_eq!((&queued["kind"], &queued["state"]), (&json!("undo"), &json!("queued")));
    assert_eq!((&queued["undoOf"], &queued["target"], &queued["filter"]), (&json!(id), &Value::Null, &Value::Null));
    assert_eq!(accesses(&world, 1..=1).await[&1], private(&[MIKE]));

    world.work().await.unwrap();
    let done = shown(&world, ADA_TOKEN, undo).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [4, 3, 0, 0, 1, 0]));
    let now = accesses(&world, 1..=4).await;
    for contact in 1..=3 {
        assert_eq!(now[&contact], before[&contact], "contact {contact}");
    }
    assert_eq!(now[&4], private(&[MIKE]));
    let changes = world.get(&format!("jobs/{undo}/changes"), ADA_TOKEN).await.unwrap().response();
    for change in changes.as_array().unwrap() {
        let contact = change["contactId"].as_i64().unwrap();
        assert_eq!(change["conflict"], json!(contact == 4), "{change}");
        if contact == 4 {
            assert_eq!((&change["before"], &change["after"]), (&Value::Null, &Value::Null));
        }
        if contact == 2 {
            assert_eq!((&change["before"]["shareType"], &change["after"]["shareType"]), (&json!(0), &json!(2)));
            assert_eq!(change["after"]["accessList"][0]["displayName"], "Sam");
        }
    }
    // The undone job is shown as before.
    assert_eq!(shown(&world, ADA_TOKEN, id).await["updated"], 4);
}

#[tokio::test]
async fn undo_can_be_undone() {
    let world = acme_with(five()).await;
    let id = queue(&world, ADA_TOKEN, &[SAM]).await;
    world.work().await.unwrap();
    let before = accesses(&world, 1..=5).await;
    let mut last = id;
    for (kept, seconds) in [(false, 1), (true, 2), (false, 3)] {
        world.set_clock(after(seconds));
        let reply = world.post(&format!("jobs/{last}/undo"), ADA_TOKEN).await.unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text);
        last = job(&reply).unwrap();
        world.work().await.unwrap();
        assert_eq!(counts(&shown(&world, ADA_TOKEN, last).await), [5, 5, 0, 0, 0, 0]);
        assert_eq!(accesses(&world, 1..=5).await == before, kept, "{seconds}");
    }
    assert_eq!(accesses(&world, 2..=2).await[&2], private(&[MIKE]));
    // An undone job has nothing left to restore: every contact was written again since.
    let reply = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, job(&reply).unwrap()).await), [5, 0, 0, 0, 5, 0]);
}

#[tokio::test]
async fn user_undoes_a_run_that_removed_its_own_access() {
    let world = acme_with(five()).await;
    let before = accesses(&world, 1..=5).await;
    let reply = run(&world, MIKE_TOKEN, "", &[], &[]).await;
    let id = job(&reply).unwrap();
    let denied = world.put("1/access", MIKE_TOKEN, &json!({"isShared": true})).await.unwrap();
    assert_eq!(outcome(&denied), "404 contact-not-found");
    assert_eq!(outcome(&world.post(&format!("jobs/{id}/undo"), SAM_TOKEN).await.unwrap()), "404 job-not-found");
    let undo = world.post(&format!("jobs/{id}/undo"), MIKE_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202, "{}", undo.text);
    world.work().await.unwrap();
    assert_eq!(accesses(&world, 1..=5).await, before);
    // An administrator may undo other users' jobs, in this case the undo itself.
    let undo = world.post(&format!("jobs/{}/undo", job(&undo).unwrap()), ADA_TOKEN).await.unwrap();
    assert_eq!((undo.status.as_u16(), &response(&undo)["createdBy"]), (202, &json!(ADA)));
}

#[tokio::test]
async fn unfinished_job_cannot_be_undone() {
    let world = acme_with((1..=40).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    let path = format!("jobs/{id}/undo");
    assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "409 job-not-over");
    world.jobs().work(&world.queue.take().unwrap(), &jobs::Deadline::never()).await.unwrap();
    assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "409 job-not-over");
    // A job that is still being cancelled cannot be undone either.
    assert_eq!(world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap().status, 200);
    assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "409 job-not-over");
    world.work().await.unwrap();
    assert_eq!(world.post(&path, ADA_TOKEN).await.unwrap().status, 202);
}

#[tokio::test]
async fn cancelled_job_keeps_its_changes_and_can_be_undone() {
    let world = acme_with((1..=40).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    world.jobs().work(&world.queue.take().unwrap(), &jobs::Deadline::never()).await.unwrap();
    let done: u64 = (1..=40).filter(|id| contact_id(*id).shard(4) == 0).count().try_into().unwrap();
    let path = format!("jobs/{id}/cancel");
    let reply = world.post(&path, MIKE_TOKEN).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let stopping = response(&reply);
    assert_eq!((&stopping["id"], &stopping["state"]), (&json!(id), &json!("cancelled")));
    assert_eq!((&stopping["finished"], &stopping["updated"]), (&Value::Null, &json!(done)));
    // A cancel may be repeated until the job has stopped.
    assert_eq!(world.post(&path, ADA_TOKEN).await.unwrap().status, 200);
    world.set_clock(after(30));
    world.work().await.unwrap();
    let stopped = shown(&world, MIKE_TOKEN, id).await;
    assert_eq!((&stopped["state"], &stopped["finished"]), (&json!("cancelled"), &shown_at(after(30))));
    assert_eq!((counts(&stopped), &stopped["error"]), ([done, done, 0, 0, 0, 0], &Value::Null));
    // One of four shards had finished. The cancelled one does not count fully.
    assert!((20..=25).contains(&stopped["percent"].as_u64().unwrap()), "{stopped}");
    let locked = || async { accesses(&world, 1..=40).await.values().filter(|a| **a == private(&[MIKE])).count() };
    assert_eq!(locked().await as u64, done);
    assert_eq!(outcome(&world.post(&path, MIKE_TOKEN).await.unwrap()), "409 job-over");

    let changes = pages(&world, &format!("jobs/{id}/changes"), MIKE_TOKEN, 5).await;
    assert_eq!(changes.len() as u64, done);
    let undo = world.post(&format!("jobs/{id}/undo"), MIKE_TOKEN).await.unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, MIKE_TOKEN, job(&undo).unwrap()).await), [done, done, 0, 0, 0, 0]);
    assert_eq!(locked().await, 0);
}

#[tokio::test]
async fn job_cancelled_before_its_start_writes_nothing() {
    let world = acme_with(five()).await;
    let before = accesses(&world, 1..=5).await;
    for query in ["", "maxAffected=100"] {
        let reply = run(&world, ADA_TOKEN, query, &[MIKE], &[ASYNC]).await;
        let id = job(&reply).unwrap();
        // Even with all messages lost: the cancel enqueues the shards again.
        world.queue.clear();
        assert_eq!(world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap().status, 200);
        world.work().await.unwrap();
        let job = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&job["state"], counts(&job)), (&json!("cancelled"), [0; 6]), "{job}");
        assert!(!job["finished"].is_null());
        assert_eq!(accesses(&world, 1..=5).await, before);
    }
}

#[tokio::test]
async fn ended_job_cannot_be_cancelled() {
    let world = acme_with(five()).await;
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let single = world.put("1/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap();
    for reply in [reply, single] {
        let id = job(&reply).unwrap();
        let before = shown(&world, ADA_TOKEN, id).await;
        assert_eq!(outcome(&world.post(&format!("jobs/{id}/cancel"), ADA_TOKEN).await.unwrap()), "409 job-over");
        assert_eq!(shown(&world, ADA_TOKEN, id).await, before);
    }
}

#[tokio::test]
async fn single_change_is_a_job_with_one_change_and_can_be_undone() {
    let world = acme_with([contact_with(1, ShareType::Read, &[SAM, MIKE])]).await;
    let reply = world.put("1/access", MIKE_TOKEN, &json!({"isShared": false, "managerList": [MIKE]})).await.unwrap();
    let id = job(&reply).unwrap();
    let shown_job = shown(&world, MIKE_TOKEN, id).await;
    assert_eq!(
        shown_job,
        json!({"id": id, "kind": "contact", "state": "done", "createdBy": MIKE, "created": shown_at(after(0)), "started": shown_at(after(0)),
            "finished": shown_at(after(0)), "filter": null, "target": {"isPrivate": true, "managerList": [MIKE]}, "rule": null,
            "undoOf": null, "matched": 1, "updated": 1, "unchanged": 0, "skipped": 0, "conflicts": 0, "failed": 0,
            "percent": 100, "perSecond": 0.0, "estimatedEnd": null, "error": null})
    );
    assert_eq!(world.get("jobs", MIKE_TOKEN).await.unwrap().response(), json!([shown_job]));
    let path = format!("jobs/{id}/changes");
    let changes = world.get(&path, MIKE_TOKEN).await.unwrap();
    assert_eq!((changes.response().as_array().unwrap().len(), changes.count("x-next-index")), (1, None));
    let change = &changes.response()[0];
    assert_eq!((&change["contactId"], &change["displayName"]), (&json!(1), &json!("Contact 1")));
    let side = |side: &str| -> (Value, Vec<Value>) {
        let list = change[side]["accessList"].as_array().unwrap();
        (change[side]["shareType"].clone(), list.iter().map(|user| user["displayName"].clone()).collect())
    };
    // The kept list of a shared contact shows the caller only itself.
    assert_eq!(side("before"), (json!(2), vec![json!("Mike")]));
    assert_eq!(side("after"), (json!(0), vec![json!("Mike")]));
    assert_eq!(change["conflict"], false);
    for query in ["startIndex=1", "count=0"] {
        assert_eq!(world.get(&format!("{path}?{query}"), MIKE_TOKEN).await.unwrap().response(), json!([]));
    }

    let undo = world.post(&format!("jobs/{id}/undo"), MIKE_TOKEN).await.unwrap();
    assert_eq!(undo.status, 202, "{}", undo.text);
    world.work().await.unwrap();
    let done = shown(&world, MIKE_TOKEN, job(&undo).unwrap()).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [1, 1, 0, 0, 0, 0]));
    assert_eq!(access_of(&world, 1).await.access, Access { share: ShareType::Read, managers: vec![SAM, MIKE] });
}

#[tokio::test]
async fn call_without_changes_makes_no_job_and_run_without_changes_makes_an_empty_job() {
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let reply = world.put("1/access", ADA_TOKEN, &json!({"isShared": false, "managerList": [MIKE]})).await.unwrap();
    assert_eq!((reply.status.as_u16(), job(&reply)), (200, None));
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response(), json!([]));
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let id = job(&reply).unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, id).await), [1, 0, 1, 0, 0, 0]);
    assert_eq!(world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap().response(), json!([]));
    let undo = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    world.work().await.unwrap();
    let done = shown(&world, ADA_TOKEN, job(&undo).unwrap()).await;
    assert_eq!((&done["state"], counts(&done), &done["percent"]), (&json!("done"), [0; 6], &json!(100)));
}

#[tokio::test]
async fn changes_of_a_run_expire_after_ninety_days_and_its_record_never() {
    const DAY: i64 = 86400;
    let world = acme_with(five()).await;
    let single = world.put("1/access", ADA_TOKEN, &json!({"isShared": true, "managerList": [SAM]})).await.unwrap();
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let (single, id) = (job(&single).unwrap(), job(&reply).unwrap());
    let changes = format!("jobs/{id}/changes");
    world.set_clock(after(90 * DAY - 1));
    assert_eq!(world.get(&changes, ADA_TOKEN).await.unwrap().response().as_array().unwrap().len(), 4);
    world.set_clock(after(90 * DAY));
    assert_eq!(outcome(&world.get(&changes, ADA_TOKEN).await.unwrap()), "410 changes-expired");
    assert_eq!(outcome(&world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap()), "410 changes-expired");
    assert_eq!(shown(&world, ADA_TOKEN, id).await["updated"], 4);
    // A single change is stored in its job's record.
    let changes = world.get(&format!("jobs/{single}/changes"), ADA_TOKEN).await.unwrap();
    assert_eq!(changes.response()[0]["after"]["accessList"][0]["id"], json!(SAM));
    assert_eq!(world.post(&format!("jobs/{single}/undo"), ADA_TOKEN).await.unwrap().status, 202);
}
