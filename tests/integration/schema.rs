//! The migration of a table of version 1.

use std::collections::HashMap;
use std::net::IpAddr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use models::access::ShareType;
use models::sign_in::password::Memory;
use serde_json::json;
use store::Store;
use store::keys::{Key, PK, SK};
use store::schema::{SCHEMA_VERSION, Schema};
use store::sign_in::{Pair, SignIn};
use tests::faults::{Calls, Fault, Operation, When};
use tests::{Reply, World};

use crate::portal::{ADA_TOKEN, MIKE, acme_with, contact, contact_with, id, job, lines, portal, private, signing_in};
use crate::workers::proxied;

/// The new and the old names of attributes, by kinds of items.
const NAMES: [(fn(&Key) -> bool, &str, &str); 13] = [
    (|key| matches!(key, Key::Idempotency(..)), "fingerprint", "print"),
    (|key| matches!(key, Key::Idempotency(..)), "answer_due", "awaited"),
    (|key| matches!(key, Key::Idempotency(..)), "valid_until", "ends"),
    (|key| matches!(key, Key::Attempts(..)), "attempted_at", "tried"),
    (|key| matches!(key, Key::Attempts(..) | Key::KnownNetwork(..)), "valid_until", "ends"),
    (|key| matches!(key, Key::Address(..)), "user_id", "person"),
    (|key| matches!(key, Key::Portal(..)), "managers_indexed", "posted"),
    (|key| matches!(key, Key::Portal(..)), "counters_dirty", "counters_owed"),
    (|key| matches!(key, Key::Posting(..) | Key::PackedPosting(..)), "indexed_at", "posted_at"),
    (|key| matches!(key, Key::Rule(..)), "next_due", "upcoming"),
    (|key| matches!(key, Key::Job(..)), "job", "doc"),
    (|key| matches!(key, Key::Move(..)), "moved_contacts", "moved"),
    (|key| matches!(key, Key::Move(..)), "revision", "rev"),
];

/// Contacts of the queued job, and their stored form in version 1: the gaps as LEB128 numbers.
const NAMED: [i64; 3] = [1, 2, 300];
const NAMED_BYTES: [u8; 4] = [1, 1, 0xaa, 2];

const IDEMPOTENCY_KEY: &str = "0197e1d2-8a5e-7c3b-9d41-2f6a5b8c7d91";

type Item = HashMap<String, AttributeValue>;

fn key_of(item: &Item) -> Key {
    Key::decode(item[PK].as_s().unwrap(), item[SK].as_s().unwrap()).unwrap()
}

async fn items(world: &World) -> Vec<Item> {
    let request = world.client.scan().table_name(&world.table).consistent_read(true);
    request.send().await.unwrap().items.unwrap_or_default()
}

fn named_contacts(item: &mut Item) -> Option<&mut AttributeValue> {
    let mut value = item.get_mut("doc")?;
    for name in ["Task", "Contacts", "contacts"] {
        let AttributeValue::M(members) = value else { return None };
        value = members.get_mut(name)?;
    }
    Some(value)
}

/// Writes the table as a program of version 1 would have written it.
async fn make_old(world: &World) {
    for mut item in items(world).await {
        let key = key_of(&item);
        for (is_of, new, old) in NAMES {
            if is_of(&key)
                && let Some(value) = item.remove(new)
            {
                item.insert(old.to_owned(), value);
            }
        }
        if matches!(key, Key::Job(..))
            && let Some(contacts) = named_contacts(&mut item)
        {
            *contacts = AttributeValue::B(Blob::new(NAMED_BYTES));
        }
        world.client.put_item().table_name(&world.table).set_item(Some(item)).send().await.unwrap();
    }
}

async fn write_version(world: &World, version: u32) {
    let (pk, sk) = Key::Schema.encode();
    let put = world.client.put_item().table_name(&world.table);
    let put = put.item(PK, AttributeValue::S(pk)).item(SK, AttributeValue::S(sk));
    put.item("version", AttributeValue::N(version.to_string())).send().await.unwrap();
}

fn pair() -> Pair {
    let network = "192.0.2.1".parse::<IpAddr>().unwrap();
    Pair { network: network.into(), email: "mike@example.com".parse().unwrap() }
}

async fn lock(world: &World) -> Reply {
    let headers = [("idempotency-key", IDEMPOTENCY_KEY)];
    let body = json!({"isShared": false, "managerList": [MIKE]}).to_string();
    world.put_with("7/access", ADA_TOKEN, &body, &headers).await.unwrap()
}

/// Creates a table of version 1 with an answered key, an attempt to sign in, dirty counters and a queued job.
async fn old() -> (World, Reply, String) {
    let contacts = NAMED.iter().chain(&[7]).map(|number| contact(*number, json!({})));
    let member = signing_in(MIKE, "Mike", false, "mike@example.com", "correct horse");
    let world = acme_with(std::iter::once(member).chain(contacts)).await;
    let answered = lock(&world).await;
    assert_eq!(answered.status.as_u16(), 200, "{}", answered.text);
    let begun = world.store.begin_sign_in(&pair(), None, world.app.now()).await.unwrap();
    assert!(matches!(begun, SignIn::Begun(_)));
    let body = json!({"contactid": NAMED, "isShared": false, "managerList": [MIKE]});
    let headers = [("prefer", "respond-async")];
    let queued = world.put_with("access", ADA_TOKEN, &body.to_string(), &headers).await.unwrap();
    assert_eq!(queued.status.as_u16(), 202, "{}", queued.text);
    let queued = job(&queued).unwrap().to_string();
    let (pk, sk) = Key::Portal(id("acme")).encode();
    let mark = world.client.update_item().table_name(&world.table).update_expression("SET counters_dirty = :true");
    let mark = mark.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk));
    mark.expression_attribute_values(":true", AttributeValue::S("true".into())).send().await.unwrap();
    make_old(&world).await;
    assert_eq!(world.store.schema().await.unwrap(), Schema::Older(1));
    (world, answered, queued)
}

fn old_names(items: &[Item]) -> Vec<(Key, &'static str)> {
    let found = items.iter().flat_map(|item| {
        let key = key_of(item);
        NAMES
            .into_iter()
            .filter(move |(is_of, _, old)| is_of(&key) && item.contains_key(*old))
            .map(move |(_, _, old)| (key_of(item), old))
    });
    found.collect()
}

/// Checks that the data of version 1 works as before.
async fn check_migrated(world: &World, answered: &Reply, queued: &str) {
    assert_eq!(world.store.schema().await.unwrap(), Schema::Current);
    let old = old_names(&items(world).await);
    assert!(old.is_empty(), "{old:?}");
    let again = lock(world).await;
    assert_eq!((again.status, &again.text), (answered.status, &answered.text));
    let begun = world.store.begin_sign_in(&pair(), None, world.app.now()).await.unwrap();
    let SignIn::Begun(attempt) = begun else { panic!("the sign-in is locked") };
    assert_eq!(attempt.candidates.matching("correct horse", &mut Memory::new()).into_iter().count(), 1);

    world.work().await.unwrap();
    let done = world.get(&format!("jobs/{queued}"), ADA_TOKEN).await.unwrap().response();
    assert_eq!(done["state"], "done");
    for number in NAMED {
        assert_eq!(crate::portal::access_of(world, number).await.access, private(&[MIKE]), "contact {number}");
    }
    // The next import counts the contacts again and removes the mark.
    let next = lines([portal("acme", "Europe/Riga", 4), contact_with(8, ShareType::None, &[MIKE])]);
    world.import(&next).await.unwrap();
    let marked = items(world).await.into_iter().any(|item| item.contains_key("counters_dirty"));
    assert!(!marked);
}

#[tokio::test]
async fn migrated_table_works_as_before() {
    let (world, answered, queued) = old().await;
    let migrated = world.store.migrate(world.app.now()).await.unwrap();
    assert!(migrated.items >= 5, "{migrated:?}");
    check_migrated(&world, &answered, &queued).await;
}

#[tokio::test]
async fn interrupted_migration_is_finished_by_the_next() {
    /// Items that the first migration changes.
    const CHANGED: u64 = 3;
    let (world, answered, queued) = old().await;
    if !world.is_embedded() {
        return;
    }
    let (proxy, jobs) = proxied(&world).await;
    let before = old_names(&items(&world).await).len();
    proxy.inject(Calls::of(Operation::UpdateItem).nth(CHANGED + 1).meet(Fault::Die(When::Before)));
    assert!(jobs.store.migrate(world.app.now()).await.is_err());
    let left = old_names(&items(&world).await).len();
    assert!(0 < left && left < before, "{left} of {before}");
    assert_eq!(world.store.schema().await.unwrap(), Schema::Older(1));
    world.store.migrate(world.app.now()).await.unwrap();
    check_migrated(&world, &answered, &queued).await;
}

#[tokio::test]
async fn second_migration_changes_nothing() {
    let (world, ..) = old().await;
    world.store.migrate(world.app.now()).await.unwrap();
    assert_eq!(world.store.migrate(world.app.now()).await.unwrap().items, 0);
}

#[tokio::test]
async fn schema_version_is_read_from_the_table() {
    let world = World::new().await.unwrap();
    let schema = async |store: &Store| store.schema().await.unwrap();
    assert_eq!(schema(&world.store).await, Schema::Unused);
    world.store.write_schema().await.unwrap();
    assert_eq!(schema(&world.store).await, Schema::Current);
    write_version(&world, SCHEMA_VERSION + 1).await;
    assert_eq!(schema(&world.store).await, Schema::Newer(SCHEMA_VERSION + 1));
}
