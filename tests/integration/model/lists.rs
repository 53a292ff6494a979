//! Compares lists of contacts with the model: after random changes every list has the model's contacts in the model's
//! order, whichever way the service reads it.

use std::cell::Cell;
use std::cmp::Ordering;

use models::access::Caller;
use models::filter::AccessCriteria;
use models::filter::listing::{Order, SortBy};
use models::filter::plan::plan;
use models::request::{Page, SetFilterAccess};
use models::values::id::{ContactId, PortalId};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use store::contacts::AccessState;
use store::listing::{Listed, Listing};
use tests::{World, WorldError};

use super::cases::{Case, Draft, FilterRequest, any_case, any_draft, any_filter, token};
use super::portal::{Access, Contact, Model, SEARCHES, USERS, display_name, user_id};
use super::{Outcomes, SEEDS, SHRINK_STEPS, play, states};

/// Number of all cases.
const CASES: u32 = 96;
/// Fewest cases that find contacts of every kind.
const FEWEST_CASES: u32 = 24;
/// Number of cases on an external engine, which is slower.
const CASES_ELSEWHERE: u32 = 16;
/// Maximum number of lists in a case.
const MAX_LISTS: usize = 8;

/// A requested list.
#[derive(Clone, Debug)]
struct List {
    user: usize,
    filter: FilterRequest,
    shared: Option<bool>,
    responsible: Option<usize>,
    by: SortBy,
    descending: bool,
    count: usize,
    start_index: usize,
    total: bool,
}

/// A change of a portal other than a call.
#[derive(Clone, Debug)]
enum OtherChange {
    /// Undoes the job of an earlier call.
    Undo(Index),
    /// Loads a contact with its access.
    Overwrite(Index, Draft),
}

fn any_list() -> impl Strategy<Value = List> {
    let size = || prop_oneof![3 => 0..6_usize, 1 => 0..400_usize];
    (
        (0..USERS, any_filter(), weighted(0.3, any::<bool>()), weighted(0.5, 0..USERS)),
        // The model does not know when an access was set.
        (
            select(SortBy::ALL.map(|(_, by)| by).into_iter().filter(|by| *by != SortBy::History).collect::<Vec<_>>()),
            any::<bool>(),
        ),
        (size(), prop_oneof![2 => Just(0), 1 => size()], any::<bool>()),
    )
        .prop_map(|((user, filter, shared, responsible), (by, descending), (count, start_index, total))| List {
            user,
            filter,
            shared,
            responsible,
            by,
            descending,
            count,
            start_index,
            total,
        })
}

fn any_other_change() -> impl Strategy<Value = OtherChange> {
    prop_oneof![
        any::<Index>().prop_map(OtherChange::Undo),
        (any::<Index>(), any_draft()).prop_map(|(at, draft)| OtherChange::Overwrite(at, draft)),
    ]
}

#[test]
fn lists_match_the_model_whichever_way_they_are_read() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new()).unwrap();
    let cases = if world.is_embedded() { tests::cases::random(CASES).max(FEWEST_CASES) } else { CASES_ELSEWHERE };
    let config = Config {
        cases,
        max_shrink_iters: SHRINK_STEPS,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..Config::default()
    };
    let (portals, full, by_name) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let any = (any_case(), vec(any_other_change(), 0..4), vec(any_list(), 1..=MAX_LISTS));
    let result = TestRunner::new(config).run(&any, |(case, other_changes, lists)| {
        portals.set(portals.get() + 1);
        let name = format!("lists-{}", portals.get());
        let run = async {
            let model = grown(&world, &name, &case, &other_changes).await?;
            for list in &lists {
                let found = check(&world, &name, &model, list).await.map_err(|error| format!("{list:?}: {error}"))?;
                full.set(full.get() + usize::from(found > 0));
                by_name.set(by_name.get() + usize::from(found > 0 && list.responsible.is_some()));
            }
            Ok::<(), WorldError>(())
        };
        runtime.block_on(run).map_err(|error| TestCaseError::fail(error.to_string()))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let enough = usize::try_from(cases / 4).unwrap();
    assert!(!world.is_embedded() || (full.get() > enough && by_name.get() > enough / 4), "{full:?} {by_name:?}");
}

/// Plays a case and the further changes. Returns the resulting model.
async fn grown(world: &World, name: &str, case: &Case, other_changes: &[OtherChange]) -> Result<Model, WorldError> {
    let portal: PortalId = name.parse()?;
    let mut model = play(world, name, case, &Outcomes::default()).await?;
    for other_change in other_changes {
        match other_change {
            OtherChange::Undo(at) => {
                let jobs = world.jobs_of(&portal, None).await?;
                if !jobs.is_empty() {
                    let job = jobs[at.index(jobs.len())].id;
                    world.post(&format!("jobs/{job}/undo"), &token(name, super::cases::Caller::User(0))).await?;
                    world.work().await?;
                }
            }
            OtherChange::Overwrite(at, draft) => {
                let Some(contact) = case.contact(*at, draft) else { continue };
                world.import_as(&case.contact_lines(name, &contact), true).await?;
                model.contacts.insert(contact.id, contact);
            }
        }
    }
    // Other tests check the result of an undo. This model takes the access from the table.
    let states = states(world, &portal, model.contacts.keys().copied()).await?;
    for contact in model.contacts.values_mut() {
        let state = states.get(&contact.id).cloned().unwrap_or(AccessState::UNRECORDED);
        let user = |id: &models::values::id::UserId| (0..USERS).find(|&user| user_id(user) == id.to_string());
        contact.access = Access {
            share: state.access.share.number(),
            managers: state.access.managers.iter().filter_map(user).collect(),
        };
    }
    Ok(model)
}

fn compared(list: &List, a: &Contact, b: &Contact) -> Ordering {
    // The model's names in the form that the order compares.
    let name = |contact: &Contact| display_name(&contact.name).to_lowercase().replace('ß', "ss");
    let names = |contact: &Contact| match name(contact) {
        name if contact.is_company => (name, String::new()),
        name => match name.split_once(' ') {
            Some((first, rest)) => (first.to_owned(), rest.to_owned()),
            None => (name, String::new()),
        },
    };
    let last_name_first = |contact: &Contact| {
        let (first, last) = names(contact);
        if contact.is_company { (first, last) } else { (last, first) }
    };
    let ascending = match list.by {
        SortBy::Created => a.created.cmp(&b.created),
        SortBy::DisplayName => name(a).cmp(&name(b)),
        SortBy::Id | SortBy::History => Ordering::Equal,
        SortBy::FirstName => names(a).cmp(&names(b)),
        SortBy::LastName => last_name_first(a).cmp(&last_name_first(b)),
        SortBy::ContactType => a.kind.cmp(&b.kind),
    }
    .then(a.id.cmp(&b.id));
    if list.descending { ascending.reverse() } else { ascending }
}

/// Reads a list each way and compares it with the model's. Returns the number of its contacts.
async fn check(world: &World, name: &str, model: &Model, list: &List) -> Result<usize, WorldError> {
    let filter = list.filter.resolve(&model.zone);
    if model.is_backwards(&filter) {
        // The service refuses such a list, which other tests check.
        return Ok(0);
    }
    let mut expected: Vec<&Contact> = model
        .contacts
        .values()
        .filter(|contact| model.selects(&filter, contact) && contact.access.is_visible_to(list.user))
        .filter(|contact| list.shared.is_none_or(|shared| shared == (contact.access.share != 0)))
        .filter(|contact| {
            // Administrators see the stored list of a shared contact. A manager sees only itself in this list.
            let is_known = |user| list.user == 0 || list.user == user || contact.access.share == 0;
            list.responsible.is_none_or(|user| is_known(user) && contact.access.managers.contains(&user))
        })
        .collect();
    expected.sort_by(|a, b| compared(list, a, b));
    let page: Vec<i32> = expected.iter().skip(list.start_index).take(list.count).map(|contact| contact.id).collect();

    for by_postings in [false, true] {
        let listed = read(world, name, model, list, by_postings).await?;
        let found: Vec<i32> = listed.contacts.iter().map(|(record, _)| record.id.get()).collect();
        let more = expected.len() > list.start_index + list.count;
        if (&found, listed.covered, listed.more) != (&page, page.len(), more) {
            let (covered, follows) = (listed.covered, listed.more);
            return Err(format!("by postings {by_postings}: {found:?} {covered} {follows}, not {page:?} {more}").into());
        }
        let total_is_right = match listed.total {
            None => !list.total,
            Some(_) if !list.total => false,
            // An ordinary user's list is counted on the first page only. A later page with more to follow has a lower
            // bound.
            Some(total) if listed.total_is_lower_bound => {
                let shown = (list.start_index + page.len()) as u64;
                list.user != 0 && list.start_index > 0 && more && shown < total && total <= expected.len() as u64
            }
            Some(total) => total == expected.len() as u64,
        };
        if !total_is_right {
            return Err(format!("by postings {by_postings}: total {:?}, not {}", listed.total, expected.len()).into());
        }
        for (record, state) in &listed.contacts {
            let contact = &model.contacts[&record.id.get()];
            // The list of a shared contact is hidden. The caller sees only its own entry.
            let is_there = |user: &&usize| contact.access.share == 0 || **user == list.user;
            let managers: Vec<String> =
                contact.access.managers.iter().filter(is_there).map(|user| user_id(*user)).collect();
            let has: Vec<String> = state.access.managers.iter().map(ToString::to_string).collect();
            if (record.display_name != display_name(&contact.name)) || has != managers {
                return Err(format!("contact {} is {record:?} {state:?}", contact.id).into());
            }
        }
    }
    Ok(expected.len())
}

async fn read(world: &World, name: &str, model: &Model, list: &List, by_postings: bool) -> Result<Listed, WorldError> {
    let id: PortalId = name.parse()?;
    let portal = world.store.portal(&id).await?.ok_or("no portal")?;
    if !portal.has_manager_index {
        return Err("the postings of a new portal do not name all contacts of their managers".into());
    }
    let mut body = list.filter.members(&model.zone);
    body.insert("isPrivate".into(), true.into());
    let words: Vec<&str> = list.filter.resolve(&model.zone).searches.iter().map(|&search| SEARCHES[search].0).collect();
    let body = serde_json::Value::Object(body).to_string();
    let words = Some(words.join(" ")).filter(|words| !words.is_empty());
    let user = |user: usize| user_id(user).parse();
    let access = AccessCriteria { shared: list.shared, responsible: list.responsible.map(user).transpose()? };
    let filter =
        SetFilterAccess::parse(body.as_bytes(), words.as_deref(), access)?.filter.resolve(&portal.time_zone)?;
    let lists = world.store.lists(&id).await?;
    let statistics = world.store.statistics(&id, &filter.tags, &lists.stage_counts).await?;
    let plan = plan(&filter, &statistics, portal.shards);
    let listing = Listing {
        portal: &id,
        filter: &filter,
        plan: &plan,
        // Forces both ways of reading, whatever they cost in a portal this small.
        expected: if by_postings { u64::from(u32::MAX) } else { 0 },
        caller: Caller { user: user(list.user)?, is_admin: list.user == 0 },
        order: Order { by: list.by, descending: list.descending },
        page: Page { count: list.count, start_index: list.start_index },
        total: list.total,
        managers: true,
        deadline: None,
        has_manager_index: by_postings,
        types: &lists.types,
    };
    let listed = world.store.list_contacts(&listing).await?;
    let mut ids: Vec<ContactId> = listed.contacts.iter().map(|(record, _)| record.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() == listed.contacts.len() { Ok(listed) } else { Err(format!("{ids:?} twice").into()) }
}
