//! Empty pages of queries. DynamoDB may read items, return no item, and return only the last key that it has read.
//! Every read must continue after this key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::App;
use jobs::{Abandoned, Deadline, Jobs};
use serde_json::{Value, json};
use store::Store;
use tests::World;
use tests::faults::{Call, Calls, Fault, FaultPlan, Operation, Proxy};

use crate::portal::{ADA_TOKEN, MIKE, SAM_TOKEN, access, acme_with, contact, job, lines, private};

/// The maximum number of repetitions of a query before the test fails.
const MAX_REPEATS: u32 = 5;

/// Returns the plan in which the first query of each partition meets an empty page, and every repetition of the same
/// query too. A query that repeats too often is refused.
fn empty_first(emptied: Arc<Mutex<u32>>) -> FaultPlan {
    let repeats = Arc::new(Mutex::new(0));
    let (mut first, last): (HashMap<String, (Value, u32)>, _) = (HashMap::new(), repeats.clone());
    // Returns the number of repetitions of the first query of a partition; 0 for a later query.
    let mut repeats_of = move |call: &Call| {
        let of = |name: &str| call.body[name].clone();
        let whose =
            json!([of("IndexName"), of("ExpressionAttributeValues")[":pk"], of("ScanIndexForward"), of("Select")]);
        let range = json!([of("ExpressionAttributeValues"), of("ExclusiveStartKey")]);
        match first.get_mut(&whose.to_string()) {
            None => {
                *emptied.lock().unwrap() += 1;
                first.insert(whose.to_string(), (range, 1));
                1
            }
            Some((before, times)) if *before == range => {
                *times += 1;
                *times
            }
            // The read continued: a later query of the same partition passes.
            Some((before, _)) => {
                *before = Value::Null;
                0
            }
        }
    };
    let too_many = Calls::of(Operation::Query).and(move |call| {
        let times = repeats_of(call);
        *last.lock().unwrap() = times;
        times > MAX_REPEATS
    });
    let repeated = Calls::of(Operation::Query).and(move |_| *repeats.lock().unwrap() > 0);
    too_many.meet(Fault::Refuse).and(repeated.meet(Fault::EmptyPage))
}

/// Returns a service on the world's table whose queries meet empty pages.
async fn served_with_empty_pages(world: World) -> (World, Proxy, Arc<Mutex<u32>>) {
    let proxy = world.proxy().await.unwrap();
    let store = Store::new(proxy.client().await, &world.table);
    let jobs = Jobs { store, ..world.jobs().clone() };
    let world = world.serving(App::new(jobs, Duration::from_secs(3600)));
    let emptied = Arc::new(Mutex::new(0));
    (world, proxy, emptied)
}

fn contacts() -> Vec<Value> {
    let of = |number: i64| {
        let mut members = json!({"ContactStatus": {"id": number % 3}, "Tags": ["vip"],
            "Created": format!("2021-01-{:02}T00:00:00Z", number - 10)});
        if number % 2 == 0 {
            members["ShareType"] = json!(0);
            members["AccessList"] = json!([{"Id": MIKE}]);
        }
        contact(number, members)
    };
    (11..=34).map(of).collect()
}

#[tokio::test]
async fn reading_continues_after_an_empty_page() {
    let world = acme_with(contacts()).await;
    // A few jobs and a rule, so that their lists are not empty.
    for number in [11, 13] {
        let body = json!({"isShared": true, "managerList": [MIKE]});
        let set = world.put(&format!("{number}/access"), ADA_TOKEN, &body).await.unwrap();
        assert_eq!(set.status, 200, "{}", set.text);
    }
    let rule = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 3 * * *"});
    let made = world.access_with("PUT", "rules/nightly", ADA_TOKEN, &rule.to_string(), &[]).await.unwrap();
    assert!(made.status.is_success(), "{}", made.text);
    let by_manager = format!("contact/filter?responsibleid={MIKE}");
    let calls = [
        ("GET", "contact/filter", ADA_TOKEN),
        ("GET", "contact/filter?count=5&startIndex=3", ADA_TOKEN),
        ("GET", "contact/filter?sortOrder=ascending&count=7", ADA_TOKEN),
        ("GET", "contact/filter?sortBy=displayName", ADA_TOKEN),
        ("GET", "contact/filter?tags=vip&contactStage=1&count=2", ADA_TOKEN),
        ("GET", "contact/filter?filterValue=Contact&count=3", SAM_TOKEN),
        ("GET", by_manager.as_str(), ADA_TOKEN),
        ("GET", "access/jobs", ADA_TOKEN),
        ("GET", "access/jobs?count=1", ADA_TOKEN),
        ("GET", "access/rules", ADA_TOKEN),
        ("PUT", "contact/filter/access?dryRun=true", ADA_TOKEN),
    ];
    let ask = async |world: &World, (method, path, token): (&str, &str, &str)| {
        let body = if method == "PUT" { r#"{"isPrivate":true}"# } else { "" };
        let headers = [("content-type", "application/json")];
        let reply = world.call(method, &format!("/api/2.0/crm/{path}"), token, &headers, body).await.unwrap();
        (reply.status, reply.header("x-total-count").to_owned(), reply.text)
    };
    let mut expected = Vec::new();
    for call in calls {
        expected.push(ask(&world, call).await);
    }
    let (world, proxy, emptied) = served_with_empty_pages(world).await;
    for (call, expected) in calls.into_iter().zip(expected) {
        proxy.inject(empty_first(emptied.clone()));
        assert_eq!(ask(&world, call).await, expected, "{call:?}");
    }
    assert!(*emptied.lock().unwrap() > 20);
}

#[tokio::test]
async fn run_and_workers_continue_after_empty_pages() {
    let (world, proxy, emptied) = served_with_empty_pages(acme_with(contacts()).await).await;
    let target = private(&[MIKE]);
    for (body, query, headers, expected) in [
        (json!({"isPrivate": true, "managerList": [MIKE]}), "", vec![], 12),
        (json!({"isPrivate": false, "tags": ["vip"]}), "", vec![("prefer", "respond-async")], 24),
        (json!({"isPrivate": true, "managerList": [MIKE]}), "maxAffected=24", vec![("prefer", "respond-async")], 24),
    ] {
        proxy.inject(empty_first(emptied.clone()));
        let reply =
            world.put_with(&format!("filter/access?{query}"), ADA_TOKEN, &body.to_string(), &headers).await.unwrap();
        assert!(reply.status.is_success(), "{}", reply.text);
        world.work().await.unwrap();
        let id = job(&reply).unwrap();
        let found = world.store.job(&"acme".parse().unwrap(), id).await.unwrap().unwrap();
        assert_eq!((found.counts.updated, found.counts.matched), (expected, 24), "{body}");
        let changes = world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap();
        assert_eq!(changes.status, 200, "{}", changes.text);
    }
    assert!(access(&world, "acme", 11..=34).await.values().all(|state| state.access == target));
    proxy.inject(empty_first(emptied.clone()));
    world.jobs().sweep(Abandoned::Expired, &Deadline::never()).await.unwrap();
    proxy.inject(empty_first(emptied));
    world.jobs().run_due_rules(&Deadline::never()).await.unwrap();
}

#[tokio::test]
async fn import_continues_after_empty_pages() {
    let (world, proxy, emptied) = served_with_empty_pages(acme_with(contacts()).await).await;
    // An interrupted load makes the next load count again.
    let key = store::keys::Key::Portal("acme".parse().unwrap()).encode();
    let attribute = aws_sdk_dynamodb::types::AttributeValue::S;
    world
        .client
        .update_item()
        .table_name(&world.table)
        .key("pk", attribute(key.0))
        .key("sk", attribute(key.1))
        .update_expression("SET counters_dirty = :true")
        .expression_attribute_values(":true", attribute("true".into()))
        .send()
        .await
        .unwrap();
    proxy.inject(empty_first(emptied.clone()));
    world
        .import(&lines([
            crate::portal::portal("acme", "Europe/Riga", 4),
            contact(13, json!({"ContactStatus": {"id": 2}})),
            json!({"delete": {"contact": 14}}),
        ]))
        .await
        .unwrap();
    proxy.clear();
    let lists = world.store.lists(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(lists.stage_counts.values().sum::<u64>(), 23);
    assert_eq!(lists.stage_counts.into_iter().collect::<Vec<_>>()[..3], [(0, 8), (1, 7), (2, 8)]);
    assert!(*emptied.lock().unwrap() > 5);
}
