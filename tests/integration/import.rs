//! Loading a portal: repeatedly, in parts, after an interruption. Refused lines, and the effects on indexes and
//! counters.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use models::access::{Author, ShareType};
use models::import::parse_line;
use models::job::Revision;
use models::values::id::UserId;
use serde_json::{Value, json};
use store::contacts::AccessRecord;
use store::dynamodb::batch::Priority;
use store::import::{ImportError, Importer, Options, Summary};
use store::keys::{Key, PK, SK};
use tests::World;
use uuid::Uuid;

use crate::portal::{
    ADA_TOKEN, MIKE, NOBODY, SAM, ZOE_TOKEN, access, access_of, acme, acme_with, contact, contact_id, contact_with, id,
    lines, portal, private, public, stage, token, zenith,
};

fn acme_lines(contacts: impl IntoIterator<Item = Value>) -> String {
    let mut values = vec![portal("acme", "Europe/Riga", 4)];
    values.extend(contacts);
    lines(values)
}

/// Returns the counters of stages and of these tags. Zero counters are left out.
async fn counters(world: &World, of: &str, tags: &[&str]) -> (BTreeMap<i32, u64>, BTreeMap<String, u64>) {
    let lists = world.store.lists(&id(of)).await.unwrap();
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let statistics = world.store.statistics(&id(of), &tags, &lists.stage_counts).await.unwrap();
    let stages = statistics.stages.into_iter().filter(|(_, count)| *count > 0).collect();
    (stages, statistics.tags.into_iter().filter(|(_, count)| *count > 0).collect())
}

async fn check_counters(world: &World, stages: &[(i32, u64)], tags: &[(&str, u64)]) {
    const TAGS: [&str; 4] = ["vip", "north", "south", "straße"];
    let tags: BTreeMap<String, u64> =
        tags.iter().map(|(tag, count)| (models::values::fold::fold_tag(tag), *count)).collect();
    let folded: Vec<String> = TAGS.iter().map(|tag| models::values::fold::fold_tag(tag)).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    assert_eq!(counters(world, "acme", &folded).await, (BTreeMap::from_iter(stages.iter().copied()), tags));
}

async fn selected(world: &World, filter: &Value) -> Vec<i64> {
    let mut body = filter.clone();
    body["isPrivate"] = json!(true);
    let reply = world.put("filter/access?dryRun=true", ADA_TOKEN, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.ids()
}

fn contacts() -> Vec<Value> {
    vec![
        contact(1, json!({"Tags": ["VIP", "North"], "ContactStatus": {"id": 1}, "ContactType": {"id": 2}})),
        contact(2, json!({"Tags": ["vip"], "ContactStatus": {"id": 1}, "ShareType": 0, "AccessList": [{"Id": MIKE}]})),
        contact(3, json!({"Tags": ["Straße"]})),
    ]
}

fn summary(added: u64, replaced: u64, unchanged: u64, deleted: u64) -> Summary {
    Summary { added, replaced, unchanged, deleted, ..Summary::default() }
}

#[tokio::test]
async fn loading_twice_changes_nothing() {
    let world = World::new().await.unwrap();
    let mut file = acme();
    file.extend(contacts());
    assert_eq!(world.import(&lines(file.clone())).await.unwrap(), summary(3, 0, 0, 0));
    check_counters(&world, &[(0, 1), (1, 2)], &[("vip", 2), ("north", 1), ("straße", 1)]).await;
    let state = access(&world, "acme", 1..=3).await;

    assert_eq!(world.import(&lines(file)).await.unwrap(), summary(0, 0, 3, 0));
    for overwrite in [false, true] {
        let writes = world.trips.spent().writes;
        let loaded = world.import_as(&acme_lines(contacts()), overwrite).await.unwrap();
        assert_eq!(loaded, summary(0, 0, 3, 0));
        assert_eq!(world.trips.spent().writes, writes);
    }
    check_counters(&world, &[(0, 1), (1, 2)], &[("vip", 2), ("north", 1), ("straße", 1)]).await;
    assert_eq!(access(&world, "acme", 1..=3).await, state);
}

#[tokio::test]
async fn reloaded_contact_moves_in_the_indexes() {
    let world = acme_with(contacts()).await;
    let replaced = contact(
        1,
        json!({"Tags": ["South", "NORTH"], "ContactStatus": {"id": 2}, "ContactType": {"id": 1}, "IsCompany": true,
            "HasOpportunity": true, "DisplayName": "Renamed", "Created": "2021-01-01T00:00:00Z"}),
    );
    assert_eq!(world.import(&acme_lines([replaced])).await.unwrap(), summary(0, 1, 0, 0));
    for (filter, expected) in [
        (json!({"tags": ["vip"]}), &[2][..]),
        (json!({"tags": ["north"]}), &[1]),
        (json!({"tags": ["south"]}), &[1]),
        (json!({"contactStage": 1}), &[2]),
        (json!({"contactStage": 2}), &[1]),
        (json!({"tags": ["north"], "contactStage": 1}), &[]),
        (json!({"contactType": 1}), &[1]),
        (json!({"contactType": 2}), &[]),
        (json!({"contactListView": "Company"}), &[1]),
        (json!({"tags": ["north"], "contactListView": "WithOpportunity"}), &[1]),
        (json!({"tags": ["north"], "toDate": "2020-12-31"}), &[]),
        (json!({"fromDate": "2021-01-01"}), &[1]),
        (json!({}), &[1, 3, 2]),
    ] {
        assert_eq!(selected(&world, &filter).await, expected, "{filter}");
    }
    check_counters(&world, &[(0, 1), (1, 1), (2, 1)], &[("vip", 1), ("north", 1), ("south", 1), ("straße", 1)]).await;

    // When a file has a contact twice, the last line applies.
    let twice = [contact(3, json!({"Tags": ["vip"]})), contact(3, json!({"Tags": ["south"]}))];
    assert_eq!(world.import(&acme_lines(twice)).await.unwrap(), summary(0, 2, 0, 0));
    assert_eq!(selected(&world, &json!({"tags": ["vip"]})).await, [2]);
    check_counters(&world, &[(0, 1), (1, 1), (2, 1)], &[("vip", 1), ("north", 1), ("south", 2)]).await;
}

#[tokio::test]
async fn access_is_kept_unless_overwriting_is_requested() {
    let world = acme_with(contacts()).await;
    // New contacts get the access of their lines.
    assert_eq!(access_of(&world, 2).await.access, private(&[MIKE]));
    assert_eq!(access_of(&world, 1).await.revision, None);

    let set = world.put("2/access", ADA_TOKEN, &json!({"isShared": true, "managerList": [SAM]})).await.unwrap();
    assert_eq!(set.status, 200);
    let set = access_of(&world, 2).await;
    let about = contact(2, json!({"About": "new", "ShareType": 2, "AccessList": [{"Id": MIKE}]}));
    assert_eq!(world.import(&acme_lines([about.clone()])).await.unwrap(), summary(0, 1, 0, 0));
    assert_eq!(access_of(&world, 2).await, set);

    // The contact is unchanged, but its access changes.
    assert_eq!(world.import_as(&acme_lines([about.clone()]), true).await.unwrap(), summary(0, 1, 0, 0));
    assert_eq!(world.import_as(&acme_lines([about]), true).await.unwrap(), summary(0, 0, 1, 0));
    let state = access_of(&world, 2).await;
    assert_eq!((state.access.share, state.access.managers), (ShareType::Read, vec![MIKE]));
    assert_ne!(state.revision, set.revision);

    // With overwriting, a line without access makes a contact public. Without overwriting, the access stays.
    world.import(&acme_lines([contact(2, json!({}))])).await.unwrap();
    assert_eq!(access_of(&world, 2).await.access.share, ShareType::Read);
    world.import_as(&acme_lines([contact(2, json!({}))]), true).await.unwrap();
    assert_eq!(access_of(&world, 2).await.access, public(&[]));
}

#[tokio::test]
async fn deleted_contact_leaves_no_items() {
    let world = acme_with(contacts()).await;
    let delete = json!({"delete": {"contact": 2}});
    assert_eq!(world.import(&acme_lines([delete.clone()])).await.unwrap(), summary(0, 0, 0, 1));
    assert_eq!(selected(&world, &json!({})).await, [3, 1]);
    assert_eq!(selected(&world, &json!({"tags": ["vip"]})).await, [1]);
    check_counters(&world, &[(0, 1), (1, 1)], &[("vip", 1), ("north", 1), ("straße", 1)]).await;
    let reply = world.put("2/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap();
    assert_eq!(reply.status, 404);
    assert!(access(&world, "acme", [2]).await.is_empty());

    let writes = world.trips.spent().writes;
    let never = json!({"delete": {"contact": 99}});
    assert_eq!(world.import(&acme_lines([delete.clone(), never])).await.unwrap(), Summary::default());
    assert_eq!(world.trips.spent().writes, writes);

    // A contact that returns is a new contact, public unless its line says otherwise.
    assert_eq!(world.import(&acme_lines([contact(2, json!({"Tags": ["vip"]}))])).await.unwrap(), summary(1, 0, 0, 0));
    assert_eq!(access_of(&world, 2).await.revision, None);

    // One file may add and remove a contact, or remove and add a contact.
    let both =
        [contact(7, json!({"Tags": ["south"]})), json!({"delete": {"contact": 7}}), delete, contact(2, json!({}))];
    assert_eq!(world.import(&acme_lines(both)).await.unwrap(), summary(2, 0, 0, 2));
    assert_eq!(selected(&world, &json!({})).await, [3, 2, 1]);
    check_counters(&world, &[(0, 2), (1, 1)], &[("vip", 1), ("north", 1), ("straße", 1)]).await;
}

/// Loads lines and stops without finishing, like a killed load.
async fn interrupted(world: &World, text: &str) {
    let options = Options { overwrite_access: false, clock: world.jobs().clock.clone() };
    let mut importer = Importer::new(&world.store, options);
    for line in text.lines() {
        let line = parse_line(line, &importer.time_zone()).unwrap();
        importer.push(line).await.unwrap();
    }
}

#[tokio::test]
async fn next_load_repairs_an_interrupted_load() {
    let world = acme_with([contact(9, json!({"Tags": ["vip", "south"], "ContactStatus": {"id": 2}}))]).await;
    // A second line of a pending contact flushes the pending writes.
    let mut before = contacts();
    before.push(contact(9, json!({"Tags": ["north"], "ContactStatus": {"id": 3}})));
    before.push(contact(1, json!({})));
    interrupted(&world, &acme_lines(before)).await;
    assert_eq!(selected(&world, &json!({})).await, [9, 3, 2, 1]);
    let stale = &[(2, 1)];
    check_counters(&world, stale, &[("vip", 1), ("south", 1)]).await;

    // Counters affect a filter's cost, never its result.
    assert_eq!(selected(&world, &json!({"tags": ["vip"]})).await, [2, 1]);
    assert_eq!(selected(&world, &json!({"contactStage": [1, 3]})).await, [9, 2, 1]);

    let mut again = contacts();
    again.push(contact(9, json!({"Tags": ["north"], "ContactStatus": {"id": 3}})));
    assert_eq!(world.import(&acme_lines(again.clone())).await.unwrap(), summary(0, 0, 4, 0));
    let stages = [(0, 1), (1, 2), (3, 1)];
    let tags = [("vip", 2), ("north", 2), ("straße", 1)];
    check_counters(&world, &stages, &tags).await;

    // After the repair, the next load does not count again.
    let writes = world.trips.spent().writes;
    world.import(&acme_lines(again)).await.unwrap();
    assert_eq!(world.trips.spent().writes, writes);
    check_counters(&world, &stages, &tags).await;
}

#[tokio::test]
async fn load_of_other_contacts_repairs_an_interrupted_load() {
    let world = acme_with([]).await;
    let mut before = contacts();
    before.push(contact(1, json!({})));
    interrupted(&world, &acme_lines(before)).await;
    let other = contact(4, json!({"Tags": ["south"], "ContactStatus": {"id": 1}}));
    assert_eq!(world.import(&acme_lines([other])).await.unwrap(), summary(1, 0, 0, 0));
    // Tags that occur only in the interrupted load are counted too.
    check_counters(&world, &[(0, 1), (1, 3)], &[("vip", 2), ("north", 1), ("south", 1), ("straße", 1)]).await;
    assert_eq!(selected(&world, &json!({"tags": ["vip", "north"]})).await, [1]);
}

#[tokio::test]
async fn next_load_repairs_an_interrupted_deletion() {
    let world = acme_with(contacts()).await;
    interrupted(&world, &acme_lines([json!({"delete": {"contact": 1}})])).await;
    check_counters(&world, &[(0, 1), (1, 2)], &[("vip", 2), ("north", 1), ("straße", 1)]).await;
    world.import(&acme_lines([])).await.unwrap();
    check_counters(&world, &[(0, 1), (1, 1)], &[("vip", 1), ("straße", 1)]).await;
}

async fn refused(world: &World, text: &str) -> String {
    let error = world.import(text).await.unwrap_err().to_string();
    assert!(!error.contains("DynamoDB") && !error.is_empty(), "{error}");
    error
}

#[tokio::test]
async fn missing_references_are_refused_with_a_remedy() {
    let world = acme_with(contacts()).await;
    for (value, expected) in [
        (
            contact(5, json!({"ContactStatus": {"id": 77}})),
            "ContactStatus 77 is not a stage of portal acme: load the stage's line before this line".to_owned(),
        ),
        (
            contact(5, json!({"ContactType": {"id": 77}})),
            "ContactType 77 is not a type of portal acme: load the type's line before this line".to_owned(),
        ),
        (
            contact_with(5, ShareType::None, &[MIKE, NOBODY]),
            format!("AccessList {NOBODY} is not a user of portal acme: load the user's line before this line"),
        ),
        (
            token("token-of-nobody-0123456789abcdef0123456789", NOBODY, &["read"]),
            format!("UserId {NOBODY} is not a user of portal acme: load the user's line before this line"),
        ),
    ] {
        assert_eq!(refused(&world, &acme_lines([value])).await, expected);
    }
    assert_eq!(selected(&world, &json!({})).await, [3, 2, 1]);

    // Earlier lines of the file satisfy references. The creator of a contact may be unknown.
    let good = [
        stage(77),
        crate::portal::contact_type(77),
        crate::portal::user(NOBODY, "Somebody", false),
        contact(
            5,
            json!({"ContactStatus": {"id": 77}, "ContactType": {"id": 77}, "AccessList": [{"Id": NOBODY}],
            "CreateBy": {"Id": UserId::from_u128(0xff)}}),
        ),
    ];
    assert_eq!(world.import(&acme_lines(good)).await.unwrap(), summary(1, 0, 0, 0));
    assert_eq!(selected(&world, &json!({"contactStage": 77, "contactType": 77})).await, [5]);
}

#[tokio::test]
async fn stages_and_users_of_another_portal_are_unknown() {
    let mut values = acme();
    values.extend(zenith());
    let world = World::with(&lines(values)).await.unwrap();
    for value in [contact(1, json!({"ContactStatus": {"id": 1}})), contact_with(1, ShareType::None, &[MIKE])] {
        let error = refused(&world, &lines([portal("zenith", "UTC", 4), value])).await;
        assert!(error.contains("of portal zenith"), "{error}");
    }
}

#[tokio::test]
async fn line_before_any_portal_is_refused() {
    let world = World::new().await.unwrap();
    let options = Options { overwrite_access: false, clock: world.jobs().clock.clone() };
    let mut importer = Importer::new(&world.store, options);
    let line = parse_line(&stage(1).to_string(), &importer.time_zone()).unwrap();
    let error = importer.push(line).await.unwrap_err();
    assert!(matches!(&error, ImportError::Line(text) if text.contains("portal")), "{error}");
    assert_eq!(importer.finish().await.unwrap(), Summary::default());
}

#[tokio::test]
async fn time_zone_can_change_and_shards_cannot() {
    let world = acme_with([contact(1, json!({"Created": "2020-06-01T23:30:00Z"}))]).await;
    let error = refused(&world, &lines([portal("acme", "Europe/Riga", 8)])).await;
    let refused = "portal acme has 4 shards; an import does not change this number. Leave Shards out, or run \
                   `crm-access reshard --portal acme --shards 8` first";
    assert_eq!(error, refused);
    let day = json!({"fromDate": "2020-06-02", "toDate": "2020-06-02"});
    assert_eq!(selected(&world, &day).await, [1]);
    world.import(&lines([portal("acme", "UTC", 4)])).await.unwrap();
    assert_eq!(selected(&world, &day).await, [0; 0]);
}

#[tokio::test]
async fn portal_line_changes_only_its_own_members() {
    let world = World::new().await.unwrap();
    let selects = async |line: Value| {
        world.import(&lines([line])).await.unwrap();
        let portal = world.store.portal(&id("acme")).await.unwrap().unwrap();
        (portal.time_zone.iana_name().map(str::to_owned), portal.shards, portal.has_manager_index)
    };
    let zone = |name: &str, shards| (Some(name.to_owned()), shards, true);
    assert_eq!(selects(json!({"portal": {"Id": "acme"}})).await, zone("UTC", 1));
    assert_eq!(selects(json!({"portal": {"Id": "acme", "TimeZone": "Europe/Riga"}})).await, zone("Europe/Riga", 1));
    assert_eq!(selects(json!({"portal": {"Id": "acme"}})).await, zone("Europe/Riga", 1));
    assert_eq!(
        selects(json!({"portal": {"id": "acme", "shards": 1.0, "timeZone": null}})).await,
        zone("Europe/Riga", 1)
    );
    let other = json!({"portal": {"Id": "other", "Shards": 4}});
    world.import(&lines([other.clone(), json!({"portal": {"Id": "other"}})])).await.unwrap();
    let writes = world.trips.spent().writes;
    world.import(&lines([json!({"portal": {"Id": "acme"}}), other, json!({"portal": {"Id": "acme"}})])).await.unwrap();
    assert_eq!(world.trips.spent().writes, writes);
    assert_eq!(world.store.portal(&id("other")).await.unwrap().unwrap().shards, 4);
}

#[tokio::test]
async fn portal_in_an_unknown_zone_is_read_and_loaded_without_guessing_a_zone() {
    let world = acme_with([contact(1, json!({}))]).await;
    let (pk, sk) = Key::Portal(id("acme")).encode();
    let zone = async |name: Option<&str>| {
        let table = world.client.update_item().table_name(&world.table);
        let request = table.key(PK, AttributeValue::S(pk.clone())).key(SK, AttributeValue::S(sk.clone()));
        let request = match name {
            Some(name) => request
                .update_expression("SET time_zone = :zone")
                .expression_attribute_values(":zone", AttributeValue::S(name.into())),
            None => request,
        };
        let item = request.return_values(ReturnValue::AllNew).send().await.unwrap().attributes.unwrap();
        item["time_zone"].as_s().unwrap().clone()
    };
    zone(Some("Mars/Olympus")).await;
    assert_eq!(selected(&world, &json!({"fromDate": "2020-01-01T00:00:00Z"})).await, [1]);
    let body = json!({"isPrivate": true, "fromDate": "2020-01-01"});
    let reply = world.put("filter/access", ADA_TOKEN, &body).await.unwrap();
    assert!(reply.status == 400 && reply.text.contains("the time zone of the portal is not known"), "{}", reply.text);
    // A line that names no zone keeps the stored zone.
    world.import(&lines([json!({"portal": {"Id": "acme"}}), contact(2, json!({}))])).await.unwrap();
    assert_eq!(zone(None).await, "Mars/Olympus");
    world.import(&lines([json!({"portal": {"Id": "acme", "TimeZone": "Europe/Riga"}})])).await.unwrap();
    assert_eq!(selected(&world, &json!({"fromDate": "2020-01-01"})).await.len(), 2);
}

#[tokio::test]
async fn unshown_names_are_stored() {
    let members = json!({"FirstName": "Maria", "LastName": "Anders", "companyName": "Alfreds Futterkiste"});
    let world = acme_with([contact(1, members)]).await;
    let loaded = world.store.load(&id("acme"), &[contact_id(1)], []).await.unwrap();
    let (record, _) = &loaded.contacts[&contact_id(1)];
    let names = [&record.first_name, &record.last_name, &record.company_name];
    assert_eq!(names, ["Maria", "Anders", "Alfreds Futterkiste"]);
}

#[tokio::test]
async fn portal_lines_switch_portals() {
    let mut values = acme();
    values.push(contact(1, json!({"Tags": ["vip"]})));
    values.extend(zenith());
    values.push(contact(1, json!({"Tags": ["vip"]})));
    values.push(contact(2, json!({"Tags": ["vip"]})));
    values.push(portal("acme", "Europe/Riga", 4));
    // The portal keeps the stage loaded earlier in the file. The tag counts in the current portal.
    values.push(contact(3, json!({"Tags": ["VIP"], "ContactStatus": {"id": 1}})));
    values.push(portal("zenith", "UTC", 4));
    values.push(json!({"delete": {"contact": 1}}));
    let world = World::new().await.unwrap();
    assert_eq!(world.import(&lines(values)).await.unwrap(), summary(4, 0, 0, 1));
    let all = json!({"isPrivate": true});
    for (token, expected) in [(ADA_TOKEN, vec![3, 1]), (ZOE_TOKEN, vec![2])] {
        assert_eq!(world.put("filter/access?dryRun=true", token, &all).await.unwrap().ids(), expected);
    }
    let of = |stages: &[(i32, u64)], vip: u64| {
        (BTreeMap::from_iter(stages.iter().copied()), BTreeMap::from([("vip".to_owned(), vip)]))
    };
    assert_eq!(counters(&world, "acme", &["vip"]).await, of(&[(0, 1), (1, 1)], 2));
    assert_eq!(counters(&world, "zenith", &["vip"]).await, of(&[(0, 1)], 1));
}

#[tokio::test]
async fn portal_of_sixty_four_shards_answers_as_one() {
    let mut values = vec![portal("acme", "Europe/Riga", 64)];
    values.extend(acme().into_iter().skip(1));
    values.extend((1..=200).map(|id| contact(id, json!({"Tags": ["vip"], "ContactStatus": {"id": 1 + id % 2}}))));
    let world = World::with(&lines(values)).await.unwrap();
    let all: Vec<i64> = (1..=200).rev().collect();
    assert_eq!(selected(&world, &json!({})).await, all);
    assert_eq!(selected(&world, &json!({"tags": ["vip"]})).await, all);
    let even: Vec<i64> = all.iter().copied().filter(|id| id % 2 == 0).collect();
    assert_eq!(selected(&world, &json!({"contactStage": 1})).await, even);
    check_counters(&world, &[(1, 100), (2, 100)], &[("vip", 200)]).await;
    let reply = world.put("filter/access?count=3", ADA_TOKEN, &json!({"isPrivate": true})).await.unwrap();
    assert_eq!((reply.ids(), reply.count("x-updated-count")), (vec![200, 199, 198], Some(200)));
    let error = refused(&world, &lines([portal("other", "UTC", 65)])).await;
    assert!(error.contains("64"), "{error}");
}

#[tokio::test]
async fn orphaned_access_does_not_apply_to_a_new_contact() {
    let world = acme_with([]).await;
    let orphan = AccessRecord {
        access: &private(&[MIKE]),
        revision: Revision { job: Uuid::now_v7().into(), chunk: None },
        replaced: None,
        set_by: Author::User(MIKE),
        set_at: world.app.now(),
    };
    let orphans = vec![(contact_id(5), orphan), (contact_id(6), orphan)];
    let written = world.store.write_access(&id("acme"), orphans, Priority::Bulk).await;
    assert!(written.unwritten == 0 && written.rejected.is_empty(), "{written:?}");
    let new = [contact(5, json!({})), contact_with(6, ShareType::None, &[SAM])];
    world.import(&acme_lines(new)).await.unwrap();
    assert_eq!(access_of(&world, 5).await.access, public(&[]));
    assert_eq!(access_of(&world, 6).await.access, private(&[SAM]));
}

#[tokio::test]
async fn contact_too_large_for_an_item_is_refused_with_its_size() {
    let world = acme_with([]).await;
    // Each address is three bytes of the line and about 25 of the item.
    let addresses: Vec<Value> = (0..20_000).map(|_| json!({})).collect();
    let line = acme_lines([contact(5, json!({"Addresses": addresses}))]);
    let error = world.import(&line).await.unwrap_err().to_string();
    assert!(error.contains("contact 5 takes ") && error.contains("at most 389120 are accepted"), "{error}");
}

#[tokio::test]
async fn removed_users_identifier_stays_in_lists_and_is_not_reused() {
    let nil = UserId::NIL;
    let is_admin = json!({"Id": nil, "DisplayName": "Nil", "IsAdmin": true, "Email": "nil@example.com"});
    let token =
        |user: UserId| json!({"token": {"Token": format!("{user}-token"), "UserId": user, "Scopes": ["write"]}});
    let values = [
        json!({"user": is_admin}),
        token(nil),
        json!({"user": {"Id": MIKE, "DisplayName": "Mike", "Email": "mike@example.com"}}),
        token(MIKE),
        contact(1, json!({"ShareType": 0, "AccessList": [{"Id": nil}, {"Id": MIKE}]})),
    ];
    let world = acme_with(values.clone()).await;
    let me = async |user: UserId| {
        let reply = world.call("GET", "/api/2.0/people/@self", &format!("{user}-token"), &[], "").await.unwrap();
        reply.status.as_u16()
    };
    // The nil UUID is a user like any other.
    assert_eq!((me(nil).await, me(MIKE).await), (200, 200));

    let delete = json!({"delete": {"user": nil}});
    let removed = Summary { users_removed: 1, ..Summary::default() };
    assert_eq!(world.import(&acme_lines([delete.clone()])).await.unwrap(), removed);
    assert_eq!((me(nil).await, me(MIKE).await), (401, 200));
    let mut left = Vec::new();
    for item in world.client.scan().table_name(&world.table).send().await.unwrap().items() {
        let text = format!("{item:?}");
        if ["nil@example.com", "\"Nil\"", &format!("PASSWORD#{nil}"), &format!("USER#{nil}")]
            .iter()
            .any(|of| text.contains(of))
        {
            left.push(text);
        }
    }
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(access_of(&world, 1).await.access.managers, [nil, MIKE]);

    // Load the line again, and also a line about an unknown user and lines that refer to the removed user.
    let again = Summary { users_unknown: 1, ..Summary::default() };
    let nobody = json!({"delete": {"user": NOBODY}});
    assert_eq!(world.import(&acme_lines([delete.clone(), nobody])).await.unwrap(), again);
    for (line, words) in [
        (json!({"user": {"Id": nil, "DisplayName": "Somebody else"}}), "was removed from portal acme"),
        (token(nil), "is not a user of portal acme"),
    ] {
        let error = world.import(&acme_lines([line])).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&nil.to_string()), "{error}");
    }
    // A list stored earlier still loads unchanged.
    assert_eq!(world.import(&acme_lines([values[4].clone()])).await.unwrap().unchanged, 1);
    assert_eq!((me(nil).await, me(MIKE).await), (401, 200));
    // The address is free again.
    world.import(&acme_lines([json!({"user": {"Id": SAM, "Email": "nil@example.com"}})])).await.unwrap();
}

#[tokio::test]
async fn file_may_remove_a_user_that_it_loaded() {
    let world = acme_with([]).await;
    let line = json!({"user": {"Id": NOBODY, "DisplayName": "Brief", "Email": "brief@example.com"}});
    let token =
        json!({"token": {"Token": "brief-0123456789abcdef0123456789abcdef", "UserId": NOBODY, "Scopes": ["read"]}});
    let tokens = world.store.tokens(&id("acme")).await.unwrap().len();
    let summary = world.import(&acme_lines([line, token, json!({"delete": {"user": NOBODY}})])).await.unwrap();
    assert_eq!(summary.users_removed, 1);
    assert_eq!(world.store.user(&id("acme"), NOBODY).await.unwrap(), None);
    assert_eq!(world.store.tokens(&id("acme")).await.unwrap().len(), tokens);
}
