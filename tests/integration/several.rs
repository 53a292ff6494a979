//! `PUT …/contact/access`: several contacts at once, all or none.

use models::access::ShareType;
use models::job::{Kind, State};
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::{
    ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, SAM, SAM_TOKEN, access, access_of, acme_with, contact, contact_with, id, job,
    private, public,
};

async fn put(world: &World, token: &str, body: &Value, headers: &[(&str, &str)]) -> Reply {
    world.put_with("access", token, &body.to_string(), headers).await.unwrap()
}

fn counts(reply: &Reply) -> [Option<u64>; 3] {
    ["x-matched-count", "x-updated-count", "x-unchanged-count"].map(|name| reply.count(name))
}

#[tokio::test]
async fn contacts_are_set_and_shown_in_request_order() {
    let world = acme_with([1, 2, 3, 4].map(|id| contact(id, json!({"CreateBy": {"Id": SAM}})))).await;
    let body = json!({"contactid": [3, 1, 4, 3], "isShared": false, "managerList": [MIKE]});
    let reply = put(&world, ADA_TOKEN, &body, &[]).await;
    assert_eq!((reply.status.as_u16(), reply.ids()), (200, vec![3, 1, 4]), "{}", reply.text);
    assert_eq!(counts(&reply), [Some(3), Some(3), Some(0)]);
    assert_eq!(reply.response()[0]["createBy"]["displayName"], "Sam");
    assert_eq!(access_of(&world, 4).await.access, private(&[MIKE]));
    assert_eq!(access_of(&world, 2).await.revision, None);

    let id = job(&reply).unwrap();
    let shown = world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap().json()["response"].clone();
    assert_eq!((&shown["kind"], &shown["state"], &shown["updated"]), (&json!("contacts"), &json!("done"), &json!(3)));
    let changes = world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap().response();
    assert_eq!(changes.as_array().unwrap().len(), 3);

    // Contacts that already match are not written and get no change record.
    let before = world.trips.spent().writes;
    let again = put(&world, ADA_TOKEN, &body, &[]).await;
    assert_eq!((again.ids(), counts(&again), job(&again)), (vec![3, 1, 4], [Some(3), Some(0), Some(3)], None));
    assert_eq!(world.trips.spent().writes, before);

    let page = world.put("access?startIndex=1&count=1", ADA_TOKEN, &body).await.unwrap();
    assert_eq!((page.ids(), page.header("x-next-index"), page.header("x-total-count")), (vec![1], "2", "3"));

    let undone = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!(undone.status, 202, "{}", undone.text);
    world.work().await.unwrap();
    assert_eq!(access_of(&world, 3).await.access, public(&[]));
}

#[tokio::test]
async fn one_refused_contact_leaves_all_contacts_unchanged() {
    let world = acme_with([
        contact(1, json!({})),
        contact_with(2, ShareType::Read, &[MIKE]),
        contact_with(3, ShareType::None, &[MIKE]),
    ])
    .await;
    let before = access(&world, "acme", 1..=3).await;
    let writes = world.trips.spent().writes;
    let check = async |token: &str, body: Value, expected: (u16, &str), named: &[&str]| {
        let reply = put(&world, token, &body, &[]).await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), expected, "{body}: {}", reply.text);
        let details = reply.json()["error"]["details"].clone();
        let reported: Vec<&str> =
            details.as_array().unwrap().iter().map(|detail| detail["message"].as_str().unwrap()).collect();
        if expected.0 != 400 {
            assert_eq!(reported, named, "{body}");
        }
    };
    let body = |ids: Value| json!({"contactid": ids, "isShared": false, "managerList": [SAM]});
    check(SAM_TOKEN, body(json!([1, 9, 3])), (404, "contact-not-found"), &["9", "3"]).await;
    check(SAM_TOKEN, body(json!([1, 2])), (403, "edit-forbidden"), &["2"]).await;
    check(SAM_TOKEN, body(json!([2, 3])), (404, "contact-not-found"), &["3"]).await;
    check(
        ADA_TOKEN,
        json!({"contactid": [1], "isShared": false, "managerList": [NOBODY]}),
        (400, "unknown-manager"),
        &[],
    )
    .await;
    for ids in [json!([]), json!([0]), json!(["one"]), json!(null), json!((1..=1001).collect::<Vec<_>>())] {
        check(ADA_TOKEN, body(ids), (400, "invalid-request"), &[]).await;
    }
    check(ADA_TOKEN, json!({"contactid": [1]}), (400, "invalid-request"), &[]).await;
    assert_eq!(world.trips.spent().writes, writes);
    assert_eq!(access(&world, "acme", 1..=3).await, before);
    let reply = put(&world, MIKE_TOKEN, &body(json!([1, 2, 3])), &[]).await;
    assert_eq!((reply.status.as_u16(), reply.ids()), (200, vec![1, 2, 3]), "{}", reply.text);
}

#[tokio::test]
async fn dry_run_writes_nothing() {
    let world = acme_with([contact(1, json!({})), contact_with(2, ShareType::None, &[])]).await;
    let writes = world.trips.spent().writes;
    let body = json!({"contactid": [1, 2], "isShared": false});
    let reply = world.put("access?dryRun=true", ADA_TOKEN, &body).await.unwrap();
    assert_eq!((reply.ids(), counts(&reply), job(&reply)), (vec![1, 2], [Some(2), Some(1), Some(1)], None));
    assert_eq!(reply.response()[0]["isPrivate"], true);
    assert_eq!(world.trips.spent().writes, writes);
}

#[tokio::test]
async fn caller_that_does_not_wait_gets_the_job() {
    let world = acme_with([1, 2].map(|id| contact(id, json!({})))).await;
    let body = json!({"contactid": [1, 2], "isShared": false, "managerList": [MIKE]});
    let headers = [("prefer", "respond-async"), ("idempotency-key", "once")];
    let reply = put(&world, ADA_TOKEN, &body, &headers).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, "respond-async"), "{}", reply.text);
    assert_eq!(access_of(&world, 1).await.revision, None);
    assert!(world.work().await.unwrap() > 0);
    assert_eq!(access_of(&world, 2).await.access, private(&[MIKE]));
    let again = put(&world, ADA_TOKEN, &body, &headers).await;
    assert_eq!((again.status.as_u16(), job(&again)), (202, job(&reply)));
    let recorded = world.store.job(&id("acme"), job(&reply).unwrap()).await.unwrap().unwrap();
    assert_eq!((recorded.task.kind(), recorded.state, recorded.counts.updated), (Kind::Contacts, State::Done, 2));
    assert_eq!(world.jobs_of(&id("acme"), None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn repeated_key_changes_contacts_once() {
    let world = acme_with([1, 2].map(|id| contact(id, json!({})))).await;
    let body = json!({"contactid": [2, 1], "isShared": false, "managerList": [MIKE]});
    let key = [("idempotency-key", "once")];
    let first = put(&world, ADA_TOKEN, &body, &key).await;
    assert_eq!(world.put("2/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap().status, 200);
    let again = put(&world, ADA_TOKEN, &body, &key).await;
    assert_eq!((again.status, &again.text, counts(&again)), (first.status, &first.text, counts(&first)));
    assert_eq!(job(&again), job(&first));
    assert_eq!(access_of(&world, 2).await.access, public(&[]));
    let other = json!({"contactid": [1], "isShared": false, "managerList": [MIKE]});
    assert_eq!(put(&world, ADA_TOKEN, &other, &key).await.error_type(), "idempotency-key-reused");
}
