//! The migration of a table of version 1.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use models::access::ShareType;
use models::sign_in::password::Memory;
use serde_json::json;
use store::Store;
use store::keys::{Key, PK, SK};
use store::schema::{MigrationEnd, SCHEMA_VERSION, Schema};
use store::sign_in::{Pair, SignIn};
use tests::faults::{Calls, Fault, Operation, When};
use tests::{Reply, World};
use uuid::Uuid;

use crate::portal::{
    ADA_TOKEN, MIKE, acme_with, contact, contact_id, contact_with, id, job, lines, portal, private, signing_in,
};
use crate::workers::proxied;

/// A kind of items, with the new and the old name of an attribute.
type Rename = (fn(&Key) -> bool, &'static str, &'static str);

/// The renamed attributes.
const NAMES: [Rename; 16] = [
    (|key| matches!(key, Key::Idempotency(..)), "fingerprint", "print"),
    (|key| matches!(key, Key::Idempotency(..)), "answer_due", "awaited"),
    (|key| matches!(key, Key::Idempotency(..)), "valid_until", "ends"),
    (|key| matches!(key, Key::Attempts(..)), "attempted_at", "tried"),
    (|key| matches!(key, Key::Attempts(..)), "valid_until", "ends"),
    (|key| matches!(key, Key::KnownNetwork(..)), "valid_until", "ends"),
    (|key| matches!(key, Key::Address(..)), "user_id", "person"),
    (|key| matches!(key, Key::Portal(..)), "managers_indexed", "posted"),
    (|key| matches!(key, Key::Portal(..)), "counters_dirty", "counters_owed"),
    (|key| matches!(key, Key::Posting(..)), "indexed_at", "posted_at"),
    (|key| matches!(key, Key::PackedPosting(..)), "indexed_at", "posted_at"),
    (|key| matches!(key, Key::Rule(..)), "next_due", "upcoming"),
    (|key| matches!(key, Key::Job(..)), "job", "doc"),
    (|key| matches!(key, Key::Move(..)), "moved_contacts", "moved"),
    (|key| matches!(key, Key::Move(..)), "readded_contacts", "returned"),
    (|key| matches!(key, Key::Move(..)), "revision", "rev"),
];

/// Contacts of the queued job and of the journal entry, and their stored form in version 1: the gaps as LEB128 numbers.
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

async fn put(world: &World, item: Item) {
    world.client.put_item().table_name(&world.table).set_item(Some(item)).send().await.unwrap();
}

async fn delete(world: &World, key: &Key) {
    let (pk, sk) = key.encode();
    let delete = world.client.delete_item().table_name(&world.table);
    delete.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
}

fn item<const N: usize>(key: &Key, attributes: [(&str, AttributeValue); N]) -> Item {
    let (pk, sk) = key.encode();
    let key = [(PK, AttributeValue::S(pk)), (SK, AttributeValue::S(sk))];
    key.into_iter().chain(attributes).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn bytes(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

fn undated_posting() -> Key {
    Key::Posting(id("acme"), MIKE, [1; 16])
}

/// Writes a known network, a packed posting, a posting without a date and a journal entry. The names of their
/// attributes are those of version 2.
async fn add_items(world: &World) {
    let now = world.app.now();
    let items = items(world).await;
    let posting = items.iter().find(|item| matches!(key_of(item), Key::Posting(..))).unwrap();
    let (contacts, date) = (posting["ids"].clone(), posting["indexed_at"].clone());
    let packed = Key::PackedPosting(id("acme"), MIKE, 1, Uuid::from_u128(1));
    let moved = Key::Move(id("acme"), 0, now, Uuid::from_u128(2));
    let expires = number(now.to_jiff().as_second() + 86_400);
    let set = || bytes(NAMED_BYTES);
    let revision = ("revision", bytes(Uuid::now_v7().as_bytes().to_vec()));
    for item in [
        item(&Key::KnownNetwork([7; 32]), [("valid_until", number(now.ticks())), ("expires", expires.clone())]),
        item(&packed, [("ids", contacts.clone()), ("indexed_at", date)]),
        item(&undated_posting(), [("ids", contacts)]),
        item(&moved, [("moved_contacts", set()), ("readded_contacts", set()), revision, ("expires", expires)]),
    ] {
        put(world, item).await;
    }
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
        put(world, item).await;
    }
}

async fn write_version(world: &World, version: u32) {
    put(world, item(&Key::Schema, [("version", number(version.into()))])).await;
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

/// Writes the rule `leap`, which has a due time.
async fn put_rule(world: &World, cron: &str) {
    let rule = json!({"filter": {"tags": ["vip"]}, "target": {"isPrivate": true}, "cron": cron});
    let rule = rule.to_string();
    let reply = world.access_with("PUT", "rules/leap", ADA_TOKEN, &rule, &[]).await.unwrap();
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text);
}

/// Creates a table of version 1 that holds every renamed attribute: among others an answered key, an attempt to sign
/// in, dirty counters, a rule, postings, a journal entry and a queued job.
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
    put_rule(&world, "0 2 29 2 *").await;
    add_items(&world).await;
    make_old(&world).await;
    let items = items(&world).await;
    for (is_of, _, old) in NAMES {
        assert!(items.iter().any(|item| is_of(&key_of(item)) && item.contains_key(old)), "no item has {old}");
    }
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
    let now = world.app.now();
    let undated = items(world).await.into_iter().find(|item| key_of(item) == undated_posting()).unwrap();
    assert_eq!(undated["indexed_at"], number(now.ticks()));
    let journal = world.store.journal(&id("acme"), 0, now, now).await.unwrap();
    let [entry] = &journal[..] else { panic!("{journal:?}") };
    assert_eq!(
        (entry.moved.as_slice(), entry.returned.as_slice()),
        (&NAMED.map(contact_id)[..], &NAMED.map(contact_id)[..])
    );
    put_rule(world, "0 3 29 2 *").await;
    let again = lock(world).await;
    assert_eq!((again.status, &again.text), (answered.status, &answered.text));
    let begun = world.store.begin_sign_in(&pair(), None, world.app.now()).await.unwrap();
    let SignIn::Begun(attempt) = begun else { panic!("the sign-in is locked") };
    assert_eq!(attempt.candidates.matching("correct horse", &mut Memory::new()).len(), 1);

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
    let renamed: HashSet<Key> = old_names(&items(&world).await).into_iter().map(|(key, _)| key).collect();
    let migrated = world.store.migrate(world.app.now()).await.unwrap();
    assert_eq!(migrated.end, MigrationEnd::Complete);
    // The posting without a date has no renamed attribute.
    assert_eq!(migrated.items, u64::try_from(renamed.len()).unwrap() + 1);
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
async fn late_item_of_an_earlier_writer_is_migrated_again() {
    let (world, ..) = old().await;
    let late = items(&world).await.into_iter().find(|item| matches!(key_of(item), Key::Move(..))).unwrap();
    world.store.migrate(world.app.now()).await.unwrap();
    put(&world, late).await;
    let again = world.store.migrate(world.app.now()).await.unwrap();
    assert_eq!((again.items, again.end), (1, MigrationEnd::Complete));
    assert!(old_names(&items(&world).await).is_empty());
}

#[tokio::test]
async fn corrupt_items_are_reported_without_values_and_the_version_is_not_written() {
    let (world, ..) = old().await;
    let corrupt = Key::Move(id("acme"), 1, world.app.now(), Uuid::from_u128(3));
    put(&world, item(&corrupt, [("moved", AttributeValue::S("secret".into()))])).await;
    let unknown = [(PK, "acme#C#secret"), (SK, "TAG#secret")];
    let unknown = unknown.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.into())));
    put(&world, unknown.clone().into()).await;
    let migrated = world.store.migrate(world.app.now()).await.unwrap();
    let kinds = ["Move (pk *#V#*#*, sk *#*)", "unknown (pk *#C#*, sk TAG#*)"].map(|kind| (kind.to_owned(), 1_u64));
    assert_eq!(migrated.end, MigrationEnd::Skipped(kinds.into()));
    assert!(migrated.items > 0);
    assert_eq!(world.store.schema().await.unwrap(), Schema::Older(1));

    delete(&world, &corrupt).await;
    let remove = world.client.delete_item().table_name(&world.table).set_key(Some(unknown.into()));
    remove.send().await.unwrap();
    let repeated = world.store.migrate(world.app.now()).await.unwrap();
    assert_eq!((repeated.items, repeated.end), (0, MigrationEnd::Complete));
    assert_eq!(world.store.schema().await.unwrap(), Schema::Current);
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
