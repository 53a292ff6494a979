//! `PUT …/contact/filter/access`: changes, counts, pages, limits, records and costs of a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use jobs::{Applied, Deadline, FilterRun, Outcome, RunError};
use models::access::{Access, Actor, Author, Caller, ShareType};
use models::filter::Filter;
use models::filter::plan::plan;
use models::import::parse_line;
use models::job::{Change, Counts, Job, JobId, Kind, State};
use models::limits::MAX_ANSWER_BYTES;
use models::request::Page;
use models::values::id::UserId;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::contacts::AccessState;
use store::import::{Importer, Options};
use store::keys::{IndexPosition, Key, PK, Partition, SK};
use tests::{Reply, Spent, World, cases};
use tokio::time::Instant;
use uuid::Uuid;

use crate::portal::{
    ADA, ADA_TOKEN, CREATED, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access, access_of, acme, acme_with, contact, contact_id,
    contact_with, id, job, lines, of_every_access, portal, private, public, stage, user,
};

async fn run(world: &World, token: &str, query: &str, body: &Value) -> Reply {
    world.put(&format!("filter/access?{query}"), token, body).await.unwrap()
}

fn lock(managers: &[UserId]) -> Value {
    json!({"isPrivate": true, "managerList": managers})
}

/// Returns matched, updated, unchanged, skipped.
fn counts(reply: &Reply) -> [u64; 4] {
    ["matched", "updated", "unchanged", "skipped"].map(|what| reply.count(&format!("x-{what}-count")).unwrap())
}

async fn record(world: &World, id: JobId) -> Job {
    world.store.job(&crate::portal::id("acme"), id).await.unwrap().unwrap()
}

async fn before(world: &World, id: JobId) -> BTreeMap<i32, Change> {
    let job = record(world, id).await;
    let changes = world.jobs().changes(&crate::portal::id("acme"), &job, 0, usize::MAX).await.unwrap();
    let count = changes.len();
    let by_contact: BTreeMap<i32, Change> = changes.into_iter().map(|change| (change.contact.get(), change)).collect();
    assert_eq!(by_contact.len(), count, "a contact is in two chunks");
    by_contact
}

#[tokio::test]
async fn run_changes_editable_contacts_and_its_dry_run_predicts_them() {
    for (token, user, expected_ids, expected_counts) in [
        (ADA_TOKEN, ADA, &[6, 5, 4, 3, 2, 1][..], [6, 5, 1, 0]),
        // Contacts private to others are not counted. Contacts shared for reading are skipped unless the caller is a
        // manager.
        (MIKE_TOKEN, MIKE, &[5, 2, 1], [4, 2, 1, 1]),
        (SAM_TOKEN, SAM, &[1], [3, 1, 0, 2]),
    ] {
        let world = acme_with(of_every_access()).await;
        let state = access(&world, "acme", 1..=6).await;
        let writes = world.trips.spent().writes;

        let dry = run(&world, token, "dryRun=true", &lock(&[MIKE])).await;
        assert_eq!((dry.status.as_u16(), job(&dry)), (200, None), "{}", dry.text);
        assert_eq!(access(&world, "acme", 1..=6).await, state);
        assert_eq!(world.trips.spent().writes, writes);

        let reply = run(&world, token, "", &lock(&[MIKE])).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.ids(), expected_ids);
        assert_eq!(counts(&reply), expected_counts);
        assert_eq!((&dry.text, counts(&dry)), (&reply.text, expected_counts));

        let changed: BTreeSet<i64> = expected_ids.iter().copied().filter(|id| *id != 2).collect();
        let job_id = job(&reply).unwrap();
        let after = access(&world, "acme", 1..=6).await;
        for number in 1..=6i32 {
            let (was, is) = (state.get(&number), after.get(&number));
            if changed.contains(&i64::from(number)) {
                let is = is.unwrap();
                assert_eq!((&is.access, is.job()), (&private(&[MIKE]), Some(job_id)), "contact {number}");
            } else {
                assert_eq!(is, was, "contact {number}");
            }
        }
        // The answer shows each contact after the run, to this caller.
        for shown in reply.json().as_array().unwrap() {
            assert_eq!(shown["IsPrivate"], true);
            assert_eq!(shown["AccessList"][0]["Id"], json!(MIKE));
            assert_eq!(shown["CanEdit"], json!(user != SAM));
        }

        let job = record(&world, job_id).await;
        let [matched, updated, unchanged, skipped] = expected_counts;
        assert_eq!(job.counts, Counts { matched, updated, unchanged, skipped, ..Counts::default() });
        let was = before(&world, job_id).await;
        assert_eq!(was.keys().map(|id| i64::from(*id)).collect::<BTreeSet<_>>(), changed);
        for (number, was) in was {
            let state = state.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
            assert_eq!((was.before, was.revision), (state.access, state.revision), "contact {number}");
            assert_eq!((was.after, was.conflict), (None, false), "contact {number}");
        }
    }
}

#[tokio::test]
async fn is_private_has_its_documented_meaning() {
    let world = acme_with(of_every_access()).await;
    let reply = run(&world, ADA_TOKEN, "", &json!({"isPrivate": false, "managerList": [SAM, MIKE, SAM]})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    for state in access(&world, "acme", 1..=6).await.into_values() {
        assert_eq!(state.access, public(&[SAM, MIKE]));
    }
    for shown in reply.json().as_array().unwrap() {
        assert_eq!(
            (&shown["IsPrivate"], &shown["ShareType"], &shown["AccessList"]),
            (&json!(false), &json!(1), &json!([]))
        );
    }
}

#[tokio::test]
async fn job_of_a_run_records_its_user_target_and_times() {
    let world = acme_with([
        contact(1, json!({"Tags": ["VIP"], "ContactStatus": {"id": 2}})),
        contact(2, json!({"Tags": ["vip"]})),
    ])
    .await;
    let body = json!({"tags": [" Vip"], "contactStage": 2, "contactListView": "Person", "fromDate": "2020-12-08",
        "isPrivate": true, "managerList": [MIKE]});
    let reply = run(&world, MIKE_TOKEN, "filterValue=CONTACT", &body).await;
    assert_eq!(reply.ids(), [1], "{}", reply.text);
    let job = record(&world, job(&reply).unwrap()).await;
    let filter = job.task.filter().unwrap().clone();
    assert_eq!(
        (filter.tags, filter.stages, filter.words),
        (vec!["vip".to_owned()], vec![2], vec!["contact".to_owned()])
    );
    assert_eq!(filter.from_date, Some("2020-12-07T22:00:00Z".parse().unwrap()));
    assert_eq!(
        (job.task.kind(), job.state, job.created_by, job.error.as_deref()),
        (Kind::Filter, State::Done, Author::User(MIKE), None)
    );
    let now = world.app.now();
    assert_eq!((job.created, job.started, job.finished), (now, Some(now), Some(now)));
    assert_eq!((job.task.replacement(), job.percent), (Some(&private(&[MIKE])), 100));
    assert_eq!(job.counts, Counts { matched: 1, updated: 1, ..Counts::default() });
}

#[tokio::test]
async fn unknown_managers_change_nothing() {
    let world = acme_with(of_every_access()).await;
    let writes = world.trips.spent().writes;
    let reply = run(&world, ADA_TOKEN, "", &lock(&[MIKE, crate::portal::NOBODY])).await;
    assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (400, "unknown-manager"));
    assert_eq!(world.trips.spent().writes, writes);
}

#[tokio::test]
async fn paging_limits_the_answer_and_not_the_change() {
    const CONTACTS: i64 = 7;
    for (query, expected, next) in [
        ("count=3", &[7, 6, 5][..], Some(3)),
        ("count=3&startIndex=3", &[4, 3, 2], Some(6)),
        ("count=3&startIndex=6", &[1], None),
        ("count=7", &[7, 6, 5, 4, 3, 2, 1], None),
        ("startIndex=5", &[2, 1], None),
        ("count=1&startIndex=6", &[1], None),
        ("count=3&startIndex=7", &[], None),
        ("startIndex=2147483647", &[], None),
    ] {
        let world = acme_with((1..=CONTACTS).map(|id| contact(id, json!({})))).await;
        let dry = run(&world, ADA_TOKEN, &format!("{query}&dryRun=true"), &lock(&[])).await;
        let reply = run(&world, ADA_TOKEN, query, &lock(&[])).await;
        for reply in [dry, reply] {
            assert_eq!(reply.ids(), expected, "{query}");
            assert_eq!(reply.count("x-next-index"), next, "{query}");
            assert_eq!(counts(&reply), [7, 7, 0, 0], "{query}");
        }
        let after = access(&world, "acme", 1..=CONTACTS).await;
        assert_eq!(after.len(), 7, "{query}");
        assert!(after.values().all(|state| state.access == private(&[])), "{query}");
        // The pages of a repeated call continue those of the first call.
        let again = run(&world, ADA_TOKEN, query, &lock(&[])).await;
        assert_eq!((again.ids(), counts(&again)), (expected.to_vec(), [7, 0, 7, 0]), "{query}");
    }
}

#[tokio::test]
async fn empty_page_still_changes_all_contacts() {
    let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
    let reply = run(&world, ADA_TOKEN, "count=0", &lock(&[])).await;
    assert_eq!((reply.text.as_str(), counts(&reply)), ("[]", [3, 3, 0, 0]));
}

#[tokio::test]
async fn oversized_page_ends_early_and_names_the_next_start() {
    let about = "x".repeat(150_000);
    let world = acme_with((1..=40).map(|id| contact(id, json!({"About": about})))).await;
    let mut shown = Vec::new();
    let mut start = Some(0);
    let mut pages = 0;
    while let Some(index) = start {
        let reply = run(&world, ADA_TOKEN, &format!("startIndex={index}"), &lock(&[MIKE])).await;
        assert_eq!(reply.status, 200);
        assert!(reply.text.len() <= MAX_ANSWER_BYTES, "{} bytes", reply.text.len());
        assert_eq!(counts(&reply)[0], 40);
        assert_eq!(index, shown.len() as u64);
        shown.extend(reply.ids());
        start = reply.count("x-next-index");
        pages += 1;
    }
    // 40 contacts of 150 KB; an answer holds 18.
    assert_eq!((shown, pages), ((1..=40).rev().collect(), 3));
}

#[tokio::test]
async fn max_affected_limits_changes() {
    let world = acme_with(of_every_access()).await;
    let state = access(&world, "acme", 1..=6).await;
    let writes = world.trips.spent().writes;
    // Five of six contacts would change. The sixth already matches.
    for query in ["maxAffected=4", "maxAffected=0", "maxaffected=4&dryRun=true"] {
        let reply = run(&world, ADA_TOKEN, query, &lock(&[MIKE])).await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (422, "too-many-affected"), "{query}");
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("5 contacts"), "{message}");
        assert_eq!(job(&reply), None);
        assert_eq!(world.trips.spent().writes, writes, "{query}");
    }
    assert_eq!(access(&world, "acme", 1..=6).await, state);
    let reply = run(&world, ADA_TOKEN, "maxAffected=5", &lock(&[MIKE])).await;
    assert_eq!((reply.status.as_u16(), counts(&reply)), (200, [6, 5, 1, 0]), "{}", reply.text);
    let reply = run(&world, ADA_TOKEN, "maxAffected=0", &lock(&[MIKE])).await;
    assert_eq!((reply.status.as_u16(), counts(&reply)), (200, [6, 0, 6, 0]), "{}", reply.text);
}

#[tokio::test]
async fn future_creation_date_makes_no_difference() {
    let world = acme_with([
        contact(1, json!({"Created": "2026-05-31T23:59:59.9999999Z", "Tags": ["new"]})),
        contact(2, json!({"Created": "2026-06-01T00:00:00.0000001Z", "Tags": ["new"]})),
    ])
    .await;
    world.set_clock("2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap());
    for (query, body) in [
        ("tags=new&toDate=2030-01-01", json!({"tags": ["new"], "toDate": "2030-01-01", "isPrivate": true})),
        ("", lock(&[SAM])),
        ("fromDate=2026-06-01", json!({"fromDate": "2026-06-01", "isPrivate": true})),
    ] {
        let listed = world.contact(&format!("filter?{query}"), ADA_TOKEN).await.unwrap();
        let reply = run(&world, ADA_TOKEN, "", &body).await;
        assert!(reply.ids().contains(&2), "{body}");
        assert_eq!(reply.ids(), listed.ids(), "{body}");
        assert_eq!(counts(&reply)[0], reply.ids().len() as u64, "{body}");
        assert_eq!(access_of(&world, 2).await.job(), job(&reply), "{body}");
    }
}

#[tokio::test]
async fn plan_includes_a_stage_loaded_just_before() {
    let world = World::lagging().await.unwrap();
    world.import(&lines(acme())).await.unwrap();
    let options = Options { overwrite_access: false, clock: world.jobs().clock.clone() };
    let mut importer = Importer::new(&world.store, options);
    for line in lines([portal("acme", "Europe/Riga", 4), stage(7)]).lines() {
        importer.push(parse_line(line, &importer.time_zone()).unwrap()).await.unwrap();
    }
    importer.finish().await.unwrap();
    // Other reads do not see the stage yet.
    let entries = world.store.entries(&id("acme"), Some(7), None, []).await.unwrap();
    assert!(entries.stages.is_empty(), "{entries:?}");
    assert!(world.store.lists(&id("acme")).await.unwrap().stages.contains_key(&7));
}

/// A portal whose contacts have 40 managers each, rotated from 60 users.
struct Crowd {
    users: Vec<UserId>,
}

const MANAGERS: usize = 40;

impl Crowd {
    fn new() -> Self {
        Self { users: (1..=60).map(|n| UserId::from_u128(0x7_0000_0000 + n)).collect() }
    }

    fn managers(&self, of: i64) -> Vec<UserId> {
        let first = usize::try_from(of).unwrap() * 7;
        (0..MANAGERS).map(|i| self.users[(first + i) % self.users.len()]).collect()
    }

    fn contact(&self, id: i64) -> Value {
        contact_with(id, ShareType::None, &self.managers(id))
    }

    /// Creates the portal `acme` with two shards and this many contacts.
    async fn world(&self, contacts: i64) -> World {
        let mut values = vec![portal("acme", "Europe/Riga", 2)];
        values.extend(acme().into_iter().skip(1));
        values.extend(self.users.iter().map(|&id| user(id, "One of the crowd", false)));
        values.extend((1..=contacts).map(|id| self.contact(id)));
        World::with(&lines(values)).await.unwrap()
    }
}

async fn spent_by(world: &World, call: impl Future<Output = Reply>) -> (Reply, Spent) {
    let before = world.trips.spent();
    let reply = call.await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    (reply, world.trips.spent() - before)
}

#[tokio::test]
async fn run_over_three_thousand_contacts_is_recorded_and_within_cost_bounds() {
    const CONTACTS: i64 = 3000;
    let crowd = Crowd::new();
    let world = crowd.world(CONTACTS).await;
    let body = lock(&crowd.managers(1)[..MANAGERS]);
    let (reply, spent) = spent_by(&world, run(&world, ADA_TOKEN, "count=1", &body)).await;
    let loaded: Vec<i64> = (1..=CONTACTS).filter(|&id| crowd.managers(id) == crowd.managers(1)).collect();
    let unchanged = loaded.len() as u64;
    let updated = 3000 - unchanged;
    assert_eq!(counts(&reply), [3000, updated, unchanged, 0]);
    assert_eq!((reply.ids(), reply.count("x-next-index")), (vec![3000], Some(1)));

    // The cost bound is per changed contact.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let each = updated as f64;
    assert!(spent.write_units / each <= 1.1, "{} write units per contact", spent.write_units / each);
    assert!(spent.read_units / each <= 0.65, "{} read units per contact", spent.read_units / each);
    // Each record costs one write unit, so a lower sum would mean that units were not counted.
    assert!(spent.write_units / each >= 1.0 && spent.read_units / each >= 0.5, "{spent:?}");

    let job_id = job(&reply).unwrap();
    let after = access(&world, "acme", 1..=CONTACTS).await;
    assert_eq!(after.len(), 3000);
    assert!(after.values().all(|state| state.access == private(&crowd.managers(1))));
    let written = after.values().filter(|state| state.is_written_by(job_id)).count();
    assert_eq!(written as u64, updated);

    let was = before(&world, job_id).await;
    assert_eq!(was.len() as u64, updated);
    for (number, was) in &was {
        assert_eq!(was.before, private(&crowd.managers(i64::from(*number))), "contact {number}");
        assert!(was.replaced_job().is_some_and(|replaced| replaced != job_id), "contact {number}");
    }

    // Both shards need more than one chunk.
    let job = record(&world, job_id).await;
    let shards = world.store.shards(&id("acme"), &job).await.unwrap();
    assert_eq!(shards.len(), 2);
    assert!(shards.iter().all(|shard| shard.done && shard.progress.next_chunk == 2), "{shards:?}");
    let total: Counts = shards.iter().map(|shard| shard.progress.counts).sum();
    assert_eq!((job.state, job.counts.updated), (State::Done, updated));
    assert_eq!(total, job.counts);

    // Reading a page in the middle does not read all contacts.
    let reply = run(&world, ADA_TOKEN, "dryRun=true&count=2&startIndex=1500", &body).await;
    assert_eq!((reply.ids(), reply.count("x-next-index")), (vec![1500, 1499], Some(1502)));

    // A run without changes writes only the job, however many contacts there are.
    let (reply, many) = spent_by(&world, run(&world, ADA_TOKEN, "count=1", &body)).await;
    assert_eq!(counts(&reply), [3000, 0, 3000, 0]);
    let small = crowd.world(300).await;
    run(&small, ADA_TOKEN, "count=1", &body).await;
    let (reply, few) = spent_by(&small, run(&small, ADA_TOKEN, "count=1", &body)).await;
    assert_eq!(counts(&reply), [300, 0, 300, 0]);
    assert!((many.write_units - few.write_units).abs() < f64::EPSILON, "{many:?} {few:?}");
    assert_eq!(many.writes, few.writes);
}

/// Runs the engine over all contacts of `acme`, as its administrator.
async fn engine_run(world: &World, target: Access, job: JobId, deadline: &Deadline) -> Result<Applied, RunError> {
    filter_run(world, target).await.apply(world.jobs(), job, deadline).await
}

/// Like `engine_run`, and the run must finish.
async fn complete_run(world: &World, target: Access) -> Outcome {
    match engine_run(world, target, Uuid::now_v7().into(), &Deadline::never()).await.unwrap() {
        Applied::Completed { outcome, .. } => outcome,
        Applied::Requeued(job) => panic!("{job:?} was requeued"),
    }
}

async fn filter_run(world: &World, target: Access) -> FilterRun {
    let portal = world.store.portal(&id("acme")).await.unwrap().unwrap();
    let lists = world.store.lists(&portal.id).await.unwrap();
    let statistics = world.store.statistics(&portal.id, &[], &lists.stage_counts).await.unwrap();
    let filter = Filter::default();
    let plan = plan(&filter, &statistics, portal.shards);
    FilterRun {
        actor: Actor::User(Caller { user: ADA, is_admin: true }),
        expected: plan.expected(&statistics),
        plan,
        portal: portal.id,
        filter,
        target: target.into(),
        page: Page::default(),
        max_affected: None,
        started: world.app.now(),
        rule: None,
        note: None,
    }
}

fn out_of_time() -> Deadline {
    Deadline::at(Instant::now())
}

fn in_millis(millis: u64) -> Deadline {
    Deadline::at(Instant::now() + Duration::from_millis(millis))
}

#[tokio::test]
async fn workers_finish_a_run_over_its_deadline() {
    let world = acme_with(of_every_access()).await;
    let state = access(&world, "acme", 1..=6).await;
    let job_id = Uuid::now_v7().into();
    let run = engine_run(&world, private(&[SAM]), job_id, &out_of_time()).await.unwrap();
    let Applied::Requeued(job) = run else { panic!("{run:?} was completed after its deadline") };
    assert_eq!((job.id, job.state, job.counts), (job_id, State::Running, Counts::default()));
    assert_eq!(record(&world, job_id).await, *job);
    assert_eq!(access(&world, "acme", 1..=6).await, state);
    assert!(before(&world, job_id).await.is_empty());

    // One message per shard is sent immediately.
    assert_eq!(world.queue.waiting().len(), 4);
    assert_eq!(world.work().await.unwrap(), 4);
    let done = record(&world, job_id).await;
    assert_eq!((done.state, done.error, done.percent), (State::Done, None, 100));
    assert_eq!(done.counts, Counts { matched: 6, updated: 6, ..Counts::default() });
    let after = access(&world, "acme", 1..=6).await;
    assert_eq!(after.len(), 6);
    assert!(after.values().all(|state| (&state.access, state.job()) == (&private(&[SAM]), Some(job_id))));
    let was = before(&world, job_id).await;
    assert_eq!(was.len(), 6);
    for (number, was) in was {
        let state = state.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
        assert_eq!((was.before, was.revision), (state.access, state.revision), "contact {number}");
    }
}

#[tokio::test]
async fn dry_run_over_its_deadline_fails_and_workers_count_a_limited_run() {
    let world = acme_with(of_every_access()).await;
    let state = access(&world, "acme", 1..=6).await;
    // One of the six already matches.
    for (limit, ends, updated) in [(4, State::Failed, 0), (5, State::Done, 5)] {
        let mut run = filter_run(&world, private(&[MIKE])).await;
        let writes = world.trips.spent().writes;
        let preview = run.preview(world.jobs(), &out_of_time()).await;
        assert!(matches!(preview, Err(RunError::NotCounted)));
        assert_eq!(world.trips.spent().writes, writes);

        run.max_affected = Some(limit);
        let job_id = Uuid::now_v7().into();
        let limited = run.apply(world.jobs(), job_id, &out_of_time()).await.unwrap();
        let Applied::Requeued(job) = limited else { panic!("{limited:?} was completed after its deadline") };
        assert_eq!((job.state, job.started), (State::Queued, None));
        assert_eq!(access(&world, "acme", 1..=6).await, state);
        world.work().await.unwrap();
        let job = record(&world, job_id).await;
        assert_eq!((job.state, job.counts.updated), (ends, updated), "{job:?}");
        assert_eq!(before(&world, job_id).await.len() as u64, updated);
        if ends == State::Failed {
            assert!(job.error.unwrap().contains("5 contacts would be"));
            assert_eq!(access(&world, "acme", 1..=6).await, state);
        }
    }
    let after = access(&world, "acme", 1..=6).await;
    assert!(after.len() == 6 && after.values().all(|state| state.access == private(&[MIKE])));
}

#[tokio::test]
async fn workers_finish_after_a_deadline_at_any_point_and_written_changes_are_recorded() {
    const CONTACTS: i64 = 2500;
    let mut values = vec![portal("acme", "UTC", 1)];
    values.extend(acme().into_iter().skip(1));
    values.extend((1..=CONTACTS).map(|id| contact(id, json!({}))));
    let world = World::with(&lines(values)).await.unwrap();
    for (round, millis) in cases::part([0, 20, 60, 120, 240].into_iter().enumerate(), 3) {
        let target = private(&[[MIKE, SAM][round % 2]]);
        let state = access(&world, "acme", 1..=CONTACTS).await;
        let job_id = Uuid::now_v7().into();
        let run = engine_run(&world, target.clone(), job_id, &in_millis(millis)).await.unwrap();
        let written = async || {
            let after = access(&world, "acme", 1..=CONTACTS).await;
            let ours = after.into_iter().filter(|(_, state)| state.is_written_by(job_id));
            ours.map(|(id, state)| (id, state.access)).collect::<BTreeMap<_, _>>()
        };
        if let Applied::Requeued(job) = run {
            assert_eq!(record(&world, job_id).await.state, State::Running);
            let (written, recorded) = (written().await, before(&world, job_id).await);
            assert!(written.keys().eq(recorded.keys()));
            assert_eq!(job.counts.updated, written.len() as u64);
            assert_eq!(world.work().await.unwrap(), 1);
        }
        let job = record(&world, job_id).await;
        assert_eq!((job.state, job.percent), (State::Done, 100));
        assert_eq!(job.counts, Counts { matched: 2500, updated: 2500, ..Counts::default() });
        let (written, recorded) = (written().await, before(&world, job_id).await);
        assert_eq!((written.len(), recorded.len()), (2500, 2500));
        assert!(written.values().all(|access| *access == target));
        for (number, was) in recorded {
            let state = state.get(&number).cloned().unwrap_or(AccessState::UNRECORDED);
            assert_eq!((was.before, was.revision), (state.access, state.revision), "contact {number}");
        }
        assert_eq!(complete_run(&world, target).await.counts.unchanged, 2500);
    }
}

#[tokio::test]
async fn concurrent_runs_leave_each_contact_with_one_of_their_targets() {
    const CONTACTS: i64 = 60;
    let world = acme_with((1..=CONTACTS).map(|id| contact(id, json!({})))).await;
    let (a, b) = (lock(&[MIKE]), lock(&[SAM]));
    let (a, b) = futures::join!(run(&world, ADA_TOKEN, "", &a), run(&world, ADA_TOKEN, "", &b));
    let by_job = HashMap::from([(job(&a).unwrap(), private(&[MIKE])), (job(&b).unwrap(), private(&[SAM]))]);
    for (number, state) in access(&world, "acme", 1..=CONTACTS).await {
        let expected = &by_job[&state.job().unwrap()];
        assert_eq!(&state.access, expected, "contact {number}");
    }
}

#[tokio::test]
async fn few_changes_among_many_contacts_are_written_before_the_run_ends() {
    const CONTACTS: i64 = 3000;
    const CHANGING: std::ops::RangeInclusive<i64> = 2996..=CONTACTS;
    for millis in cases::part([5, 10, 20, 40, 80, 160], 3) {
        let mut values = vec![portal("acme", "UTC", 1)];
        values.extend(acme().into_iter().skip(1));
        values.extend((1..CHANGING.min().unwrap()).map(|id| contact_with(id, ShareType::None, &[MIKE])));
        values.extend(CHANGING.map(|id| contact(id, json!({}))));
        let world = World::with(&lines(values)).await.unwrap();
        let counts =
            match engine_run(&world, private(&[MIKE]), Uuid::now_v7().into(), &in_millis(millis)).await.unwrap() {
                Applied::Completed { outcome, .. } => outcome.counts,
                Applied::Requeued(job) => job.counts,
            };
        // The latest contacts come first, so they are on the first page.
        assert!(counts.matched == 0 || counts.updated == 5, "{counts:?}");
        let changed = access(&world, "acme", CHANGING).await.len();
        assert_eq!(changed as u64, counts.updated);
        world.work().await.unwrap();
        assert_eq!(access(&world, "acme", CHANGING).await.len(), 5);
    }
}

#[tokio::test]
async fn contact_shown_twice_by_the_index_is_changed_and_counted_once() {
    let world = acme_with([contact(8, json!({"ContactStatus": {"id": 1}})), contact(9, json!({}))]).await;
    // The index briefly shows a contact twice while it moves from stage 1 to stage 2.
    let position = IndexPosition { created: CREATED.parse().unwrap(), contact: contact_id(8) };
    let partition = Partition::Stage(id("acme"), 0, 2);
    let index = partition.index();
    let (pk, sk) = Key::ContactTag(id("acme"), contact_id(8), "moving".into()).encode();
    let item = [(PK, pk), (SK, sk), (index.pk(), partition.encode()), (index.sk(), position.encode())]
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
        .into_iter()
        .chain(["stage", "type"].map(|name| (name.to_owned(), AttributeValue::N("0".into()))))
        .chain(["company", "opportunity"].map(|name| (name.to_owned(), AttributeValue::Bool(false))))
        .collect();
    world.client.put_item().table_name(&world.table).set_item(Some(item)).send().await.unwrap();

    let preview = run(&world, ADA_TOKEN, "dryRun=true", &lock(&[MIKE])).await;
    assert_eq!((preview.status.as_u16(), preview.ids()), (200, vec![9, 8]), "{}", preview.text);
    let reply = run(&world, ADA_TOKEN, "", &lock(&[MIKE])).await;
    assert_eq!((reply.status.as_u16(), reply.ids()), (200, vec![9, 8]), "{}", reply.text);
    assert_eq!([counts(&preview), counts(&reply)], [[2, 2, 0, 0]; 2]);
    assert_eq!(before(&world, job(&reply).unwrap()).await.len(), 2);
}
