//! The effect of a preview on users, compared with the contacts that each user sees before and after the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use models::access::ShareType;
use models::values::id::UserId;
use serde_json::{Value, json};
use tests::{World, cases};

use super::{applied, previewed, shown};
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, acme_with, contact, token, user};

const CONTACTS: i64 = 60;
/// Users beside those of the portal, and one more administrator.
const ZOE: UserId = UserId::from_u128(0x20e);
const TOM: UserId = UserId::from_u128(0x703);
const EVE: UserId = UserId::from_u128(0xe5e);

/// Tokens of every user of the portal.
const USERS: [(UserId, &str); 6] = [
    (ADA, ADA_TOKEN),
    (MIKE, MIKE_TOKEN),
    (SAM, SAM_TOKEN),
    (ZOE, "zoe-reads-and-writes-0123456789abcdef"),
    (TOM, "tom-reads-and-writes-0123456789abcdef"),
    (EVE, "eve-reads-and-writes-0123456789abcdef"),
];
const ADMINISTRATORS: [UserId; 2] = [ADA, EVE];

/// The contacts that each user sees.
type Seen = BTreeMap<UserId, BTreeSet<i64>>;

/// Creates a portal whose contacts have every share type, with many different manager lists.
async fn world(seed: u64) -> World {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut values = vec![user(ZOE, "Zoe", false), user(TOM, "Tom", false), user(EVE, "Eve", true)];
    values.extend(USERS[3..].iter().map(|(id, text)| token(text, *id, &["read", "write"])));
    for id in 1..=CONTACTS {
        let share = ShareType::ALL[random.usize(..3)];
        let managers: Vec<Value> =
            USERS.iter().filter(|_| random.u8(..3) == 0).map(|(id, _)| json!({ "Id": id })).collect();
        let tags: Vec<&str> = ["a", "b"].into_iter().filter(|_| random.bool()).collect();
        values.push(contact(id, json!({"ShareType": share.number(), "AccessList": managers, "Tags": tags})));
    }
    acme_with(values).await
}

/// Returns the private contacts.
async fn private_contacts(world: &World) -> BTreeSet<i64> {
    let reply = world.contact("filter?count=1000&isShared=false", ADA_TOKEN).await.unwrap();
    reply.response().as_array().unwrap().iter().map(|contact| contact["id"].as_i64().unwrap()).collect()
}

/// Returns the contacts that each user who is no administrator sees.
async fn seen(world: &World) -> Seen {
    let mut seen = BTreeMap::new();
    for (id, text) in USERS.iter().filter(|(id, _)| !ADMINISTRATORS.contains(id)) {
        let reply = world.contact("filter?count=1000", text).await.unwrap();
        let list = reply.response();
        seen.insert(*id, list.as_array().unwrap().iter().map(|contact| contact["id"].as_i64().unwrap()).collect());
    }
    seen
}

/// Returns the users who see contacts in `to` that they do not see in `from`, with the numbers of these contacts.
fn difference(from: &Seen, to: &Seen, caller: UserId) -> Value {
    let number = |id: &UserId| to[id].difference(&from[id]).count();
    let mut largest: Vec<(UserId, usize)> = from.keys().map(|id| (*id, number(id))).collect();
    largest.retain(|(_, contacts)| *contacts > 0);
    largest.sort_by_key(|(_, contacts)| Reverse(*contacts));
    let caller = if from.contains_key(&caller) { number(&caller) } else { 0 };
    json!({"users": largest.len(), "caller": caller, "largest": largest})
}

/// Returns the shown effect in the form of `difference`.
fn without_names(shown: &Value) -> Value {
    let largest: Vec<Value> = shown["largest"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| json!([user["id"].clone(), user["contacts"].clone()]))
        .collect();
    json!({"users": shown["users"], "caller": shown["caller"], "largest": largest})
}

#[tokio::test]
async fn effect_of_a_preview_is_the_difference_that_users_see_after_its_run() {
    let targets = [
        json!({"isPrivate": true, "managerList": []}),
        json!({"isPrivate": true, "managerList": [MIKE, ADA]}),
        json!({"isPrivate": true, "managerList": [MIKE, SAM, ZOE, TOM]}),
        json!({"isPrivate": false, "managerList": [SAM]}),
    ];
    for (number, (seed, target)) in (0u64..).zip(&targets).enumerate() {
        for (first, (caller, text)) in [USERS[0], USERS[1], USERS[3]].into_iter().enumerate() {
            for (second, filter) in [None, Some(json!(["a"])), Some(json!(["a", "b"]))].into_iter().enumerate() {
                if !cases::is_played(&[number, first, second], 3) {
                    continue;
                }
                let world = world(seed).await;
                let mut body = target.clone();
                if let Some(tags) = filter {
                    body["tags"] = tags;
                }
                let (before, was_private) = (seen(&world).await, private_contacts(&world).await);
                let preview = previewed(&world, text, &body).await;
                let effect = shown(&world, text, preview).await;
                let run = applied(&world, text, preview).await;
                let after = seen(&world).await;
                let what = format!("{body} by {caller}");
                assert_eq!(without_names(&effect["gains"]), difference(&before, &after, caller), "{what}");
                assert_eq!(without_names(&effect["loses"]), difference(&after, &before, caller), "{what}");
                let lost: BTreeSet<i64> =
                    before.iter().flat_map(|(id, seen)| seen.difference(&after[id]).copied()).collect();
                assert_eq!(effect["losesAny"], lost.len(), "{what}");
                let now_private = private_contacts(&world).await;
                let became = [&now_private - &was_private, &was_private - &now_private].map(|ids| ids.len());
                assert_eq!(
                    became.map(Value::from),
                    [&effect["becomePrivate"], &effect["becomeShared"]].map(Value::clone),
                    "{what}"
                );
                assert_eq!(shown(&world, text, run).await["updated"], effect["updated"], "{what}");
            }
        }
    }
}
