//! Lists of contacts as the table answers them: round trips and units, writes of postings, and left-out contacts.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use models::access::{Caller, ShareType};
use models::filter::listing::{Order, SortBy};
use models::filter::plan::plan;
use models::filter::{AccessCriteria, Filter};
use models::request::Page;
use models::values::id::{ContactId, PortalId, UserId};
use serde_json::json;
use store::keys::{Key, PK, SK};
use store::listing::{ListError, Listed, Listing};
use tests::faults::{Fault, When};
use tests::{Spent, World};
use tokio::time::Instant;

use crate::job_faults::{Bed, Step, at, target};
use crate::portal::{ADA, ADA_TOKEN, MIKE, SAM, access, acme, acme_with, contact, contact_id, contact_with, id, lines};

/// A list request. The default is the first page of 25, for the administrator, without a total.
#[derive(Clone, Debug)]
struct List {
    filter: Filter,
    user: UserId,
    order: Order,
    page: Page,
    total: bool,
    deadline: Option<Instant>,
}

impl Default for List {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            user: ADA,
            order: Order::default(),
            page: Page { count: 25, start_index: 0 },
            total: false,
            deadline: None,
        }
    }
}

impl List {
    fn of(responsible: UserId) -> Self {
        Self {
            filter: Filter {
                access: AccessCriteria { responsible: Some(responsible), shared: None },
                ..Filter::default()
            },
            ..Self::default()
        }
    }

    fn private(user: UserId) -> Self {
        let access = AccessCriteria { shared: Some(false), responsible: None };
        Self { filter: Filter { access, ..Filter::default() }, user, ..Self::default() }
    }

    fn by(by: SortBy) -> Self {
        Self { order: Order::new(Some(by), None), ..Self::default() }
    }

    fn tagged(tag: &str) -> Self {
        Self { filter: Filter { tags: vec![tag.into()], ..Filter::default() }, ..Self::default() }
    }

    /// Reads the list. Returns the result, its sequential round trips and its cost.
    async fn read(&self, world: &World) -> (Result<Listed, ListError>, u64, Spent) {
        let portal = world.store.portal(&acme_id()).await.unwrap().unwrap();
        let lists = world.store.lists(&portal.id).await.unwrap();
        let statistics = world.store.statistics(&portal.id, &self.filter.tags, &lists.stage_counts).await.unwrap();
        let plan = plan(&self.filter, &statistics, portal.shards);
        let listing = Listing {
            portal: &portal.id,
            filter: &self.filter,
            plan: &plan,
            expected: plan.expected(&statistics),
            caller: Caller { user: self.user, is_admin: self.user == ADA },
            order: self.order,
            page: self.page,
            total: self.total,
            managers: true,
            deadline: self.deadline,
            has_manager_index: portal.has_manager_index,
            types: &lists.types,
        };
        let (before, spent) = (world.trips.so_far().1, world.trips.spent());
        let listed = world.store.list_contacts(&listing).await;
        (listed, world.trips.so_far().1 - before, world.trips.spent() - spent)
    }

    async fn ids(&self, world: &World) -> Vec<i32> {
        let listed = self.read(world).await.0.unwrap();
        listed.contacts.iter().map(|(record, _)| record.id.get()).collect()
    }
}

fn acme_id() -> PortalId {
    id("acme")
}

async fn indexed(world: &World, manager: UserId) -> BTreeSet<ContactId> {
    world.catch_up().await.unwrap();
    world
        .store
        .contacts_indexed_for(&acme_id(), manager, usize::MAX)
        .await
        .unwrap()
        .unwrap()
        .contacts
        .into_iter()
        .collect()
}

/// Checks that the postings of each manager name the manager's contacts. A reader can then skip all other contacts.
async fn check_indexed(world: &World, contacts: impl IntoIterator<Item = i64>) {
    let indexed =
        [(ADA, indexed(world, ADA).await), (MIKE, indexed(world, MIKE).await), (SAM, indexed(world, SAM).await)];
    for (number, state) in access(world, "acme", contacts).await {
        for manager in &state.access.managers {
            let (_, of) = indexed.iter().find(|(of, _)| of == manager).unwrap();
            assert!(of.contains(&contact_id(number.into())), "contact {number} is not in the postings of {manager}");
        }
    }
}

/// Creates 500 contacts in four stages: every second has a tag, every 20th is Mike's, every 50th is hidden.
async fn five_hundred() -> World {
    let contacts = (1..=500).map(|n| {
        let managers = if n % 20 == 0 { vec![json!({"Id": MIKE})] } else { vec![] };
        contact(
            n,
            json!({
                "Created": format!("2020-{:02}-{:02}T00:00:00Z", n % 12 + 1, n % 28 + 1),
                "DisplayName": format!("Contact {}", (n * 7919) % 500),
                "ContactStatus": {"id": n % 4},
                "Tags": if n % 2 == 0 { vec!["even"] } else { vec![] },
                "ShareType": if n % 50 == 0 { 0 } else { 1 },
                "AccessList": managers,
            }),
        )
    });
    acme_with(contacts).await
}

#[tokio::test]
async fn first_page_takes_two_rounds_or_three_with_access_checks_or_sorting() {
    let world = five_hundred().await;
    let counted = List { total: true, ..List::default() };
    let mine = List::private(MIKE);
    for (list, found, total, rounds) in [
        // First sixteen partitions concurrently, then the contacts with their access.
        (List::default(), 25, None, 2),
        (List { order: Order::new(None, Some(false)), ..List::default() }, 25, None, 2),
        (List::tagged("even"), 25, None, 2),
        // Counting runs concurrently with the page.
        (counted, 25, Some(500), 2),
        (List { total: true, ..List::tagged("even") }, 25, Some(250), 2),
        (List { page: Page { count: 25, start_index: 480 }, total: true, ..List::default() }, 20, Some(500), 2),
        // An ordinary caller's page needs the access of its contacts first.
        (List { user: SAM, ..List::default() }, 25, None, 3),
        // First the postings, then the current access, then the contacts.
        (List { total: true, ..List::of(MIKE) }, 25, Some(25), 3),
        (List { total: true, page: Page { count: 5, start_index: 0 }, ..List::of(MIKE) }, 5, Some(25), 3),
        (List { total: true, ..mine }, 5, Some(5), 3),
        // First the complete index, eight partitions at a time, then the contacts. Eight partitions that finish
        // together make a round of their own.
        (List { total: true, ..List::by(SortBy::Id) }, 25, Some(500), 3),
    ] {
        let (listed, took, spent) = list.read(&world).await;
        let listed = listed.unwrap();
        assert_eq!((listed.contacts.len(), listed.total), (found, total), "{list:?}");
        assert!(took <= rounds, "{took} rounds: {list:?}");
        assert!(spent.writes == 0 && spent.read_units < 100.0, "{spent:?}: {list:?}");
    }
}

#[tokio::test]
async fn page_continues_where_the_previous_page_ended() {
    let world = five_hundred().await;
    for order in SortBy::ALL.into_iter().flat_map(|(_, by)| [false, true].map(|descending| Order { by, descending })) {
        let complete = List { order, page: Page { count: 1000, start_index: 0 }, ..List::default() };
        let all = complete.ids(&world).await;
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 500, "{order:?}");
        for start_index in (0..600).step_by(120) {
            let list = List { page: Page { count: 120, start_index }, ..complete.clone() };
            let listed = list.read(&world).await.0.unwrap();
            let ids: Vec<i32> = listed.contacts.iter().map(|(record, _)| record.id.get()).collect();
            let page: Vec<i32> = all.iter().skip(start_index).take(120).copied().collect();
            assert_eq!((ids, listed.more), (page, start_index + 120 < 500), "{list:?}");
        }
    }
}

#[tokio::test]
async fn contacts_of_a_busy_manager_are_found_in_the_stage_index() {
    let world = acme_with((1..=400).map(|n| contact_with(n, ShareType::ReadWrite, &[MIKE]))).await;
    // Four hundred index entries would be checked one by one. The first page of the stage index has as many as
    // requested.
    let (listed, _, spent) = List::of(MIKE).read(&world).await;
    assert_eq!(listed.unwrap().contacts.len(), 25);
    assert!(spent.read_units < 60.0, "{spent:?}");
    let (listed, ..) = List { total: true, ..List::of(MIKE) }.read(&world).await;
    assert_eq!(listed.unwrap().total, Some(400));
}

#[tokio::test]
async fn list_over_its_deadline_fails() {
    let world = five_hundred().await;
    for list in [List::default(), List::by(SortBy::DisplayName), List::of(MIKE)] {
        let late = List { deadline: Some(Instant::now()), ..list };
        assert!(matches!(late.read(&world).await.0, Err(ListError::NotInTime)), "{late:?}");
    }
}

#[tokio::test]
async fn removed_contact_is_skipped_and_contact_in_two_partitions_is_shown_once() {
    let mut values: Vec<_> =
        (1..=4).map(|n| contact(n, json!({"Tags": ["vip"], "AccessList": [{"Id": MIKE}]}))).collect();
    values.push(contact_with(5, ShareType::None, &[MIKE]));
    let world = acme_with(values).await;
    let key = |key: &Key| {
        let (pk, sk) = key.encode();
        [(PK, AttributeValue::S(pk)), (SK, AttributeValue::S(sk))].map(|(name, value)| (name.to_owned(), value))
    };
    // The contact is removed, but its tag entry remains.
    let gone = Key::Contact(acme_id(), contact_id(2));
    let request = world.client.delete_item().table_name(&world.table).set_key(Some(key(&gone).into()));
    request.send().await.unwrap();
    world.catch_up().await.unwrap();
    let listed = List::tagged("vip").read(&world).await.0.unwrap();
    assert_eq!((listed.contacts.len(), listed.covered, listed.more), (3, 4, false));
    assert_eq!(List::of(MIKE).ids(&world).await, [5, 4, 3, 1]);

    // A contact moved during the read: the old entry of the stage index is still visible.
    for id in [3, 5] {
        let contact = Key::Contact(acme_id(), contact_id(id));
        let found = world.client.get_item().table_name(&world.table).set_key(Some(key(&contact).into()));
        let mut stale = found.send().await.unwrap().item.unwrap();
        let moved = |name: &str, from: &str, to: &str| {
            let text = stale[name].as_s().unwrap();
            assert!(text.contains(from), "{name} {text}");
            (name.to_owned(), AttributeValue::S(text.replace(from, to)))
        };
        // Contact 3 moves to another stage. Contact 5 moves to another stage and another date.
        let mut was = vec![moved("stage_pk", "#0000000000", "#0000000001")];
        was.extend((id == 5).then(|| moved("stage_sk", "20", "19")));
        stale.extend(was);
        stale.extend(key(&Key::ContactTag(acme_id(), contact_id(id), "stale".into())));
        world.client.put_item().table_name(&world.table).set_item(Some(stale)).send().await.unwrap();
    }
    world.catch_up().await.unwrap();
    for (_, by) in SortBy::ALL {
        let mut ids = List::by(by).ids(&world).await;
        ids.sort_unstable();
        assert_eq!(ids, [1, 3, 4, 5], "{by:?}");
        // A contact with two index entries is still hidden from other users.
        let mut ids = List { user: SAM, ..List::by(by) }.ids(&world).await;
        ids.sort_unstable();
        assert_eq!(ids, [1, 3, 4], "{by:?}");
    }
}

#[tokio::test]
async fn single_put_indexes_only_the_new_managers_of_a_contact() {
    let world = acme_with([contact(1, json!({"ContactStatus": {"id": 1}, "CreateBy": {"Id": ADA}}))]).await;
    let put = async |query: &str, is_shared: bool, managers: &[UserId]| {
        let body = json!({"isShared": is_shared, "managerList": managers});
        let (before, rounds) = (world.trips.spent(), world.trips.so_far().1);
        let reply = world.put(&format!("1/access{query}"), ADA_TOKEN, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        (world.trips.spent().write_units - before.write_units, world.trips.so_far().1 - rounds)
    };
    // The token is cached from here on.
    put("?dryRun=true", false, &[MIKE]).await;
    for (query, is_shared, managers, units, rounds) in [
        ("?dryRun=true", false, vec![MIKE, SAM], 0.0, 2),
        // Two units for each of the three items of the transaction, and one for each manager new to the contact.
        ("", false, vec![MIKE], 7.0, 3),
        ("", false, vec![MIKE], 0.0, 2),
        ("", true, vec![MIKE], 6.0, 3),
        ("", true, vec![SAM, MIKE, ADA], 8.0, 3),
        ("", false, vec![], 6.0, 3),
        // A restored manager is written to the index again, as the same item.
        ("", false, vec![MIKE], 7.0, 3),
    ] {
        let found = put(query, is_shared, &managers).await;
        assert!((found.0 - units).abs() < f64::EPSILON && found.1 == rounds, "{query} {managers:?}: {found:?}");
        check_indexed(&world, [1]).await;
    }
    assert_eq!(List::of(MIKE).ids(&world).await, [1]);
    assert_eq!(List::of(SAM).ids(&world).await, [0; 0]);
    assert_eq!(indexed(&world, SAM).await.len(), 1);
    let request = world.client.query().table_name(&world.table).key_condition_expression("pk = :pk");
    let pk = Key::Posting(acme_id(), MIKE, [0; 16]).encode().0;
    let items = request.expression_attribute_values(":pk", AttributeValue::S(pk)).send().await.unwrap();
    assert_eq!(items.count, 1);
}

#[tokio::test]
async fn run_indexes_managers_before_it_writes_access_despite_any_failure() {
    for step in [Step::Post, Step::Chunk, Step::Batch] {
        for fault in
            [Fault::Die(When::Before), Fault::Die(When::After), Fault::Refuse, Fault::InternalError(When::After)]
        {
            for page in 1..=2 {
                let bed = Bed::new(1).await;
                let (job, message) = bed.enqueue_one().await;
                let process = bed.process().await;
                process.proxy.inject(at(step, page, fault.clone()));
                // The worker may finish or fail. Only the state it leaves matters.
                let worked = process.work(&message).await.map_err(|error| error.to_string());
                check_indexed(&bed.world, bed.numbers()).await;
                drop(process);
                bed.recover().await;
                bed.check_done(job).await;
                check_indexed(&bed.world, bed.numbers()).await;
                let list = List { page: Page::default(), ..List::of(ADA) };
                let states = bed.states().await;
                let all = states.iter().filter(|(_, state)| state.access == target()).count();
                assert_eq!(list.ids(&bed.world).await.len(), all, "{step:?} {fault:?} {page}: {worked:?}");
            }
        }
    }
}

#[tokio::test]
async fn undo_indexes_the_managers_it_restores() {
    let bed = Bed::new(1).await;
    let (job, message) = bed.enqueue_one().await;
    bed.world.jobs().work(&message, &jobs::Deadline::never()).await.unwrap();
    let process = bed.process().await;
    let undo = bed.undo(job).await;
    process.work(&bed.world.queue.take().unwrap()).await.unwrap();
    assert_eq!(bed.job(undo).await.state, models::job::State::Done);
    check_indexed(&bed.world, bed.numbers()).await;
}

#[tokio::test]
async fn load_indexes_managers_and_removed_contact_is_in_no_list() {
    let world = acme_with((1..=3).map(|n| contact_with(n, ShareType::None, &[MIKE]))).await;
    check_indexed(&world, 1..=3).await;
    let head = || acme().into_iter().take(1);
    // The access of an existing contact stays, unless it is overwritten on request.
    let line = || contact_with(1, ShareType::None, &[SAM, MIKE]);
    world.import(&lines(head().chain([line()]))).await.unwrap();
    assert_eq!(indexed(&world, SAM).await.len(), 0);
    world.import_as(&lines(head().chain([line()])), true).await.unwrap();
    assert_eq!((indexed(&world, SAM).await.len(), indexed(&world, MIKE).await.len()), (1, 3));
    check_indexed(&world, 1..=3).await;
    world.import(&lines(head().chain([json!({"delete": {"contact": 1}})]))).await.unwrap();
    assert_eq!((List::of(SAM).ids(&world).await, List::of(MIKE).ids(&world).await), (vec![], vec![3, 2]));
    assert_eq!(indexed(&world, SAM).await.len(), 1);
}

#[tokio::test]
async fn manager_index_of_a_portal_starts_with_its_first_load_or_never() {
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let mark = async || world.store.portal(&acme_id()).await.unwrap().unwrap().has_manager_index;
    assert!(mark().await);
    let again = || lines(acme().into_iter().chain([contact_with(2, ShareType::None, &[MIKE])]));
    world.import(&again()).await.unwrap();
    // A line with another zone writes the portal again.
    let moved = again().replace("Europe/Riga", "UTC");
    world.import(&moved).await.unwrap();
    assert!(mark().await);

    // The state left by a program version without postings.
    let (pk, sk) = Key::Portal(acme_id()).encode();
    let request = world.client.update_item().table_name(&world.table).update_expression("REMOVE managers_indexed");
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
    let (pk, _) = Key::Posting(acme_id(), MIKE, [0; 16]).encode();
    let found = world.client.query().table_name(&world.table).key_condition_expression("pk = :pk");
    let found = found.expression_attribute_values(":pk", AttributeValue::S(pk)).send().await.unwrap();
    for item in found.items() {
        let request = world.client.delete_item().table_name(&world.table);
        request.key(PK, item[PK].clone()).key(SK, item[SK].clone()).send().await.unwrap();
    }
    world.import(&again()).await.unwrap();
    assert!(!mark().await);
    assert_eq!(List::of(MIKE).ids(&world).await, [2, 1]);
}
