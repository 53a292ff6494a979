//! Compares the service with a model: random portals and calls, then every answer and the final state.
//!
//! The portals of a run share one table and the identifiers of contacts and users, so that the comparison also finds
//! leaks between portals.

mod cases;
mod lists;
mod portal;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use models::values::id::{ContactId, PortalId};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use serde_json::{Value, json};
use store::contacts::AccessState;
use tests::{Reply, World, WorldError};

use cases::{Case, Step};
use portal::{Contact, Expected, Model, user_id};

/// Number of all cases; with `CRM_ACCESS_TEST_CASES=all`, `PROPTEST_CASES` can raise the number.
const CASES: u32 = 512;
/// Number of cases on an external engine, which is slower.
const CASES_ELSEWHERE: u32 = 32;
/// Maximum number of shrinking steps.
const SHRINK_STEPS: u32 = 2000;
/// Seeds of earlier failures, run first. The file is committed.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/model.txt");

/// Outcomes that a run of all [`CASES`] must include to be meaningful.
const MUST_HAPPEN: [&str; 22] = [
    "one 200",
    "one 400",
    "one 401",
    "one 403",
    "one 404",
    "one 412",
    "one dry run",
    "one unchanged",
    "If-Match holds",
    "many 200",
    "many 400",
    "many 401",
    "many 403",
    "many 422",
    "many dry run",
    "many updated",
    "many unchanged",
    "many skipped",
    "many invisible",
    "page cut",
    "more than 100 updated",
    "reloaded",
];

/// Counts of outcomes.
#[derive(Debug, Default)]
struct Outcomes(RefCell<BTreeMap<&'static str, u32>>);

impl Outcomes {
    fn record(&self, what: &'static str) {
        *self.0.borrow_mut().entry(what).or_default() += 1;
    }
}

#[test]
fn service_behaves_like_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new()).unwrap();
    let cases = match (world.is_embedded(), tests::cases::are_all()) {
        (true, true) => CASES.max(Config::default().cases),
        (true, false) => tests::cases::random(CASES),
        (false, _) => CASES_ELSEWHERE,
    };
    let config = Config {
        cases,
        max_shrink_iters: SHRINK_STEPS,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..Config::default()
    };
    let (outcomes, portals) = (Outcomes::default(), Cell::new(0));
    let result = TestRunner::new(config).run(&cases::any_case(), |case| {
        portals.set(portals.get() + 1);
        let name = format!("portal-{}", portals.get());
        runtime.block_on(run(&world, &name, case, &outcomes)).map_err(|error| TestCaseError::fail(error.to_string()))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| !outcomes.0.borrow().contains_key(*what)).collect();
    assert!(cases < CASES || missing.is_empty(), "never happened: {missing:?}");
}

/// Loads a case's portal, makes its calls, and compares each answer and then every contact's final state.
async fn run(world: &World, name: &str, case: Case, outcomes: &Outcomes) -> Result<(), WorldError> {
    let model = play(world, name, &case, outcomes).await?;
    check_state(world, &name.parse()?, &model).await
}

/// Loads a case's portal, makes its calls and compares each answer. Returns the resulting model.
async fn play(world: &World, name: &str, case: &Case, outcomes: &Outcomes) -> Result<Model, WorldError> {
    let id: PortalId = name.parse()?;
    let (mut model, lines) = case.portal(name);
    world.import(&lines).await?;
    learn(world, &id, model.contacts.values_mut()).await?;
    for step in &case.steps {
        let context = |error: WorldError| format!("at {step:?}: {error}");
        match step {
            Step::One(call) => {
                let (path, token, body, headers) = case.one_request(&model, name, call);
                let headers: Vec<(&str, &str)> = headers.iter().map(|value| ("if-match", value.as_str())).collect();
                let reply = world.put_with(&path, &token, &body, &headers).await?;
                let expected = model.set_one(call, &path);
                check_one(&expected, &reply, call.dry_run).map_err(context)?;
                model.take_over(&expected, call.dry_run, job(&reply));
                record_one(outcomes, &expected, call);
            }
            Step::Many(call) => {
                let (path, token, body) = case.many_request(name, call);
                let reply = world.put_with(&path, &token, &body, &[]).await?;
                let expected = model.set_many(call);
                check_many(&expected, &reply, call.dry_run).map_err(context)?;
                model.take_over(&expected, call.dry_run, job(&reply));
                record_many(outcomes, &expected, call);
            }
            Step::Load(at, draft) => {
                let Some(contact) = case.contact(*at, draft) else { continue };
                world.import(&case.contact_lines(name, &contact)).await?;
                let number = contact.id;
                if model.load(contact) {
                    learn(world, &id, model.contacts.get_mut(&number)).await?;
                }
                outcomes.record("reloaded");
            }
            Step::Remove(at) => {
                let Some(contact) = case.id_at(*at) else { continue };
                world.import(&case.remove_lines(name, contact)).await?;
                model.contacts.remove(&contact);
            }
        }
    }
    Ok(model)
}

fn same(what: &str, expected: &Value, found: &Value) -> Result<(), WorldError> {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected}, found {found}").into()) }
}

fn job(reply: &Reply) -> Option<String> {
    Some(reply.header("x-job-id").to_owned()).filter(|job| !job.is_empty())
}

/// Returns the parts of a shown contact that concern identity and access.
fn shown(contact: &Value, id: &str) -> Value {
    let members = ["DisplayName", "IsCompany", "IsPrivate", "IsShared", "ShareType", "CanEdit", "CanDelete"];
    let mut shown: serde_json::Map<String, Value> =
        members.iter().map(|&member| (member.to_owned(), contact[member].clone())).collect();
    let managers = contact["AccessList"].as_array().into_iter().flatten();
    shown.insert("AccessList".into(), managers.map(|manager| manager["Id"].clone()).collect());
    shown.insert("id".into(), contact[id].clone());
    shown.into()
}

fn check_one(expected: &Expected, reply: &Reply, dry_run: bool) -> Result<(), WorldError> {
    same("status", &expected.status.into(), &reply.status.as_u16().into())?;
    if expected.status != 200 {
        return Ok(());
    }
    same("contact", &expected.shown[0], &shown(&reply.json()["response"], "id"))?;
    let writes = !dry_run && !expected.changed.is_empty();
    same("X-Job-Id", &writes.into(), &job(reply).is_some().into())?;
    let revision = job(reply).or_else(|| expected.revision.clone());
    same("ETag", &format!("\"{}\"", revision.as_deref().unwrap_or("0")).into(), &reply.header("etag").into())
}

fn check_many(expected: &Expected, reply: &Reply, dry_run: bool) -> Result<(), WorldError> {
    same("status", &expected.status.into(), &reply.status.as_u16().into())?;
    if expected.status != 200 {
        return Ok(());
    }
    let found: Value = reply.json().as_array().into_iter().flatten().map(|contact| shown(contact, "ID")).collect();
    let ids = |contacts: &[Value]| contacts.iter().map(|contact| contact["id"].clone()).collect::<Value>();
    same("ids", &ids(&expected.shown), &json!(reply.ids()))?;
    same("contacts", &expected.shown.clone().into(), &found)?;
    for (header, count) in expected.counts() {
        same(header, &json!(count), &json!(reply.count(header)))?;
    }
    same("X-Job-Id", &(!dry_run).into(), &job(reply).is_some().into())
}

async fn states(
    world: &World,
    portal: &PortalId,
    contacts: impl Iterator<Item = i32>,
) -> Result<HashMap<i32, AccessState>, WorldError> {
    let ids: Vec<ContactId> = contacts.map(|id| i64::from(id).try_into()).collect::<Result<_, _>>()?;
    let accesses = world.store.access_of(portal, &ids).await?;
    ids.into_iter().map(|id| Ok((id.get(), accesses.of(id)?.clone()))).collect()
}

/// Reads the revisions that a load gave. Exactly the contacts with an access that was set have one.
async fn learn(
    world: &World,
    portal: &PortalId,
    contacts: impl IntoIterator<Item = &mut Contact>,
) -> Result<(), WorldError> {
    let mut contacts: Vec<&mut Contact> = contacts.into_iter().collect();
    let states = states(world, portal, contacts.iter().map(|contact| contact.id)).await?;
    for contact in &mut contacts {
        contact.revision = states.get(&contact.id).and_then(|state| state.job()).map(|job| job.to_string());
        let what = format!("contact {} has a record", contact.id);
        same(&what, &contact.access.is_set().into(), &contact.revision.is_some().into())?;
    }
    Ok(())
}

/// Compares every contact's access, and the job that set it.
async fn check_state(world: &World, portal: &PortalId, model: &Model) -> Result<(), WorldError> {
    let states = states(world, portal, model.contacts.keys().copied()).await?;
    for (&id, contact) in &model.contacts {
        let state = states.get(&id).cloned().unwrap_or(AccessState::UNRECORDED);
        let managers: Vec<String> = contact.access.managers.iter().map(|&user| user_id(user)).collect();
        let found: Vec<String> = state.access.managers.iter().map(ToString::to_string).collect();
        same(
            &format!("contact {id} in the end"),
            &json!([contact.access.share, managers, contact.revision]),
            &json!([state.access.share.number(), found, state.job().map(|job| job.to_string())]),
        )?;
    }
    Ok(())
}

fn record_one(outcomes: &Outcomes, expected: &Expected, call: &cases::One) {
    outcomes.record(match expected.status {
        200 => "one 200",
        400 => "one 400",
        401 => "one 401",
        403 => "one 403",
        404 => "one 404",
        _ => "one 412",
    });
    if expected.status == 200 {
        let notes = [
            (call.dry_run, "one dry run"),
            (expected.changed.is_empty(), "one unchanged"),
            (call.if_match == cases::IfMatch::Current, "If-Match holds"),
        ];
        notes.into_iter().filter(|(happened, _)| *happened).for_each(|(_, what)| outcomes.record(what));
    }
}

fn record_many(outcomes: &Outcomes, expected: &Expected, call: &cases::Many) {
    outcomes.record(match expected.status {
        200 => "many 200",
        400 => "many 400",
        401 => "many 401",
        403 => "many 403",
        _ => "many 422",
    });
    if expected.status == 200 {
        let notes = [
            (call.dry_run, "many dry run"),
            (!expected.changed.is_empty() && !call.dry_run, "many updated"),
            (expected.unchanged > 0, "many unchanged"),
            (expected.skipped > 0, "many skipped"),
            (expected.invisible > 0, "many invisible"),
            (expected.next.is_some(), "page cut"),
            (expected.changed.len() > 100 && !call.dry_run, "more than 100 updated"),
        ];
        notes.into_iter().filter(|(happened, _)| *happened).for_each(|(_, what)| outcomes.record(what));
    }
}
