//! The portal of most tests: its users, and its import lines.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use models::access::{Access, ShareType};
use models::job::JobId;
use models::sign_in::password::{Password, SALT_BYTES};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::contacts::AccessState;
use tests::{Reply, World};

/// An administrator.
pub(crate) const ADA: UserId = UserId::from_u128(0xada);
/// An ordinary user, in most tests the manager.
pub(crate) const MIKE: UserId = UserId::from_u128(0x31c3);
/// An ordinary user, in most tests a stranger to the contact.
pub(crate) const SAM: UserId = UserId::from_u128(0x5a3);
/// No user of any portal.
pub(crate) const NOBODY: UserId = UserId::from_u128(0xdead);

/// Tokens that read and write.
pub(crate) const ADA_TOKEN: &str = "ada-reads-and-writes-0123456789abcdef";
pub(crate) const MIKE_TOKEN: &str = "mike-reads-and-writes-0123456789abcdef";
pub(crate) const SAM_TOKEN: &str = "sam-reads-and-writes-0123456789abcdef";
/// A token of the administrator that only reads.
pub(crate) const READER_TOKEN: &str = "ada-only-reads-0123456789abcdef0123456789";
/// A token of an administrator of the portal `zenith`.
pub(crate) const ZOE_TOKEN: &str = "zoe-of-zenith-0123456789abcdef0123456789";
pub(crate) const ZOE: UserId = UserId::from_u128(0x20e);

/// Default creation time of a contact.
pub(crate) const CREATED: &str = "2020-12-08T17:37:04.5916406Z";

/// Joins values as import lines.
pub(crate) fn lines(values: impl IntoIterator<Item = Value>) -> String {
    values.into_iter().map(|value| format!("{value}\n")).collect()
}

/// Import line of a portal.
pub(crate) fn portal(id: &str, zone: &str, shards: u16) -> Value {
    json!({"portal": {"Id": id, "TimeZone": zone, "Shards": shards}})
}

pub(crate) fn user(id: UserId, name: &str, is_admin: bool) -> Value {
    json!({"user": {"Id": id, "DisplayName": name, "IsAdmin": is_admin}})
}

/// Import line of a user who signs in with this address and password.
pub(crate) fn signing_in(id: UserId, name: &str, is_admin: bool, email: &str, password: &str) -> Value {
    let hash = Password::check(password).unwrap().hash(&[7; SALT_BYTES]).unwrap();
    json!({"user": {"Id": id, "DisplayName": name, "IsAdmin": is_admin, "Email": email, "PasswordHash": hash.as_str()}})
}

pub(crate) fn token(text: &str, user: UserId, scopes: &[&str]) -> Value {
    json!({"token": {"Token": text, "UserId": user, "Scopes": scopes}})
}

pub(crate) fn stage(id: i32) -> Value {
    json!({"stage": {"id": id, "Title": format!("Stage {id}")}})
}

pub(crate) fn contact_type(id: i32) -> Value {
    json!({"type": {"id": id, "Title": format!("Type {id}")}})
}

/// Import line of a contact with these members, and with a default name and creation date.
pub(crate) fn contact(id: i64, members: Value) -> Value {
    let mut contact = json!({"id": id, "Created": CREATED, "DisplayName": format!("Contact {id}")});
    if let (Some(contact), Value::Object(members)) = (contact.as_object_mut(), members) {
        contact.extend(members);
    }
    json!({"contact": contact})
}

/// Import line of a contact with this access.
pub(crate) fn contact_with(id: i64, share: ShareType, managers: &[UserId]) -> Value {
    let managers: Vec<Value> = managers.iter().map(|id| json!({"Id": id})).collect();
    contact(id, json!({"ShareType": share.number(), "AccessList": managers}))
}

/// One contact of every kind of access. Contact 2 is private to Mike alone.
pub(crate) fn of_every_access() -> Vec<Value> {
    vec![
        contact(1, json!({})),
        contact_with(2, ShareType::None, &[MIKE]),
        contact_with(3, ShareType::None, &[ADA]),
        contact_with(4, ShareType::Read, &[]),
        contact_with(5, ShareType::Read, &[MIKE]),
        contact_with(6, ShareType::None, &[]),
    ]
}

/// The portal `acme` without contacts: in Riga, on four shards, with users, their tokens, three stages and types.
pub(crate) fn acme() -> Vec<Value> {
    let mut values = vec![
        portal("acme", "Europe/Riga", 4),
        user(ADA, "Ada", true),
        user(MIKE, "Mike", false),
        user(SAM, "Sam", false),
        token(ADA_TOKEN, ADA, &["read", "write"]),
        token(MIKE_TOKEN, MIKE, &["read", "write"]),
        token(SAM_TOKEN, SAM, &["read", "write"]),
        token(READER_TOKEN, ADA, &["read"]),
    ];
    values.extend((1..=3).flat_map(|id| [stage(id), contact_type(id)]));
    values
}

/// The portal `zenith` without contacts.
pub(crate) fn zenith() -> Vec<Value> {
    vec![portal("zenith", "UTC", 4), user(ZOE, "Zoe", true), token(ZOE_TOKEN, ZOE, &["read", "write"])]
}

/// Creates a world of `acme` with these contacts.
pub(crate) async fn acme_with(contacts: impl IntoIterator<Item = Value>) -> World {
    let mut values = acme();
    values.extend(contacts);
    World::with(&lines(values)).await.unwrap()
}

pub(crate) fn id(portal: &str) -> PortalId {
    portal.parse().unwrap()
}

pub(crate) fn contact_id(number: i64) -> ContactId {
    number.try_into().unwrap()
}

/// Reads the stored access of these contacts of a portal; contacts without a record are left out.
pub(crate) async fn access(
    world: &World,
    portal: &str,
    ids: impl IntoIterator<Item = i64>,
) -> BTreeMap<i32, AccessState> {
    let ids: Vec<ContactId> = ids.into_iter().map(contact_id).collect();
    world.catch_up().await.unwrap();
    let states = world.store.access_of(&id(portal), &ids).await.unwrap();
    let states = ids.iter().map(|&id| (id.get(), states.of(id).unwrap().clone()));
    states.filter(|(_, state)| state.revision.is_some() && !state.is_removed).collect()
}

/// Reads the stored access of one contact of `acme`.
pub(crate) async fn access_of(world: &World, id: i64) -> AccessState {
    access(world, "acme", [id]).await.into_values().next().unwrap_or(AccessState::UNRECORDED)
}

/// Returns the access and its writer, without the place of the change in the writer's chunks.
pub(crate) fn access_and_writer(state: &AccessState) -> (Access, Option<JobId>) {
    (state.access.clone(), state.job())
}

pub(crate) fn private(managers: &[UserId]) -> Access {
    Access { share: ShareType::None, managers: managers.to_vec() }
}

pub(crate) fn public(managers: &[UserId]) -> Access {
    Access { share: ShareType::ReadWrite, managers: managers.to_vec() }
}

/// Returns a time as answers of `acme` show it.
pub(crate) fn shown_at(moment: Timestamp) -> Value {
    json!(moment.in_zone(&TimeZone::get("Europe/Riga").unwrap()).to_string())
}

/// Returns the job in an answer's `X-Job-Id` header.
pub(crate) fn job(reply: &Reply) -> Option<JobId> {
    reply.header("x-job-id").parse().ok()
}
