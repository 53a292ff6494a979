//! `PUT …/contact/{contactid}/access`: its checks, writes, records and answers.

use std::collections::HashMap;

use futures::future::join_all;
use models::access::{Access, Author, ShareType};
use models::job::{Change, Job, JobId, Kind, State};
use models::values::id::{PortalId, UserId};
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, READER_TOKEN, SAM, SAM_TOKEN, access_of, acme_with, contact,
    contact_with, id, job, private, public,
};

fn acme() -> PortalId {
    id("acme")
}

fn body(is_shared: bool, managers: &[UserId]) -> Value {
    json!({"isShared": is_shared, "managerList": managers})
}

async fn put(world: &World, token: &str, body: &Value) -> Reply {
    world.put("1/access", token, body).await.unwrap()
}

async fn put_if(world: &World, if_match: &[&str], body: &Value) -> Reply {
    let headers: Vec<(&str, &str)> = if_match.iter().map(|value| ("if-match", *value)).collect();
    world.put_with("1/access", ADA_TOKEN, &body.to_string(), &headers).await.unwrap()
}

/// Returns the job's record and its one change.
async fn recorded(world: &World, id: JobId) -> (Job, Change) {
    let job = world.store.job(&acme(), id).await.unwrap().unwrap();
    let mut changes = world.jobs().changes(&acme(), &job, 0, usize::MAX).await.unwrap();
    assert_eq!(changes.len(), 1);
    (job, changes.remove(0))
}

#[tokio::test]
async fn single_put_takes_three_rounds_with_a_cached_token() {
    let world = acme_with([contact(1, json!({"ContactStatus": {"id": 1}, "CreateBy": {"Id": SAM}}))]).await;
    assert_eq!(put(&world, ADA_TOKEN, &body(false, &[MIKE])).await.status, 200);
    let before = world.trips.so_far();
    let reply = put(&world, ADA_TOKEN, &body(true, &[MIKE])).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(world.trips.so_far().1 - before.1, 3);
}

#[tokio::test]
async fn checks_run_in_the_documented_order() {
    let world = acme_with([
        contact_with(2, ShareType::None, &[MIKE]),
        contact_with(3, ShareType::Read, &[MIKE]),
        contact_with(4, ShareType::None, &[SAM]),
    ])
    .await;
    let good = body(true, &[]).to_string();
    let unknown = body(true, &[NOBODY]).to_string();
    let other = "\"00000000-0000-0000-0000-000000000000\"";
    // Each call has all faults of the later calls and one additional fault.
    for (token, path, body, if_match, expected) in [
        ("no-such-token-0123456789abcdef0123456789", "9/access", "{", other, "401 unauthenticated"),
        (READER_TOKEN, "9/access", "{", other, "403 scope-missing"),
        (SAM_TOKEN, "9/access", "{", other, "400 invalid-request"),
        (SAM_TOKEN, "9/access", &unknown, other, "400 unknown-manager"),
        (SAM_TOKEN, "9/access", &good, other, "404 contact-not-found"),
        (SAM_TOKEN, "2/access", &good, other, "404 contact-not-found"),
        (SAM_TOKEN, "3/access", &good, other, "403 edit-forbidden"),
        (SAM_TOKEN, "4/access", &good, other, "412 revision-changed"),
        (SAM_TOKEN, "4/access", &good, "*", "200 "),
    ] {
        let reply = world.put_with(path, token, body, &[("if-match", if_match)]).await.unwrap();
        assert_eq!(format!("{} {}", reply.status.as_u16(), reply.error_type()), expected, "{path} {}", reply.text);
    }
}

#[tokio::test]
async fn stranger_cannot_tell_a_private_contact_from_a_missing_one() {
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let outcome = async |id: &str| {
        let reply = world.put(&format!("{id}/access"), SAM_TOKEN, &body(true, &[])).await.unwrap();
        let error = reply.json()["error"].clone();
        let headers: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
        let message = error["message"].as_str().unwrap().replace(id, "ID");
        (reply.status, message, error["type"].clone(), error["details"].clone(), headers)
    };
    assert_eq!(outcome("1").await, outcome("777").await);
}

#[tokio::test]
async fn unknown_managers_are_named_and_nothing_changes() {
    let world = acme_with([contact(1, json!({}))]).await;
    let other = UserId::from_u128(0xbeef);
    let before = world.trips.spent();
    let reply = put(&world, ADA_TOKEN, &body(false, &[MIKE, NOBODY, SAM, other])).await;
    assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (400, "unknown-manager"));
    let error = &reply.json()["error"];
    for id in [NOBODY, other] {
        assert!(error["message"].as_str().unwrap().contains(&id.to_string()), "{error}");
    }
    assert!(!error["message"].as_str().unwrap().contains(&MIKE.to_string()), "{error}");
    let details: Vec<&Value> = error["details"].as_array().unwrap().iter().collect();
    assert_eq!(details.len(), 2);
    assert!(details.iter().all(|detail| detail["field"] == "managerList"), "{error}");
    assert_eq!(world.trips.spent().writes, before.writes);
    assert_eq!(access_of(&world, 1).await.revision, None);
}

#[tokio::test]
async fn new_list_replaces_the_old_list_and_is_kept_while_shared() {
    let world = acme_with([contact(1, json!({}))]).await;
    for (body, expected) in [
        (body(false, &[MIKE, SAM]), private(&[MIKE, SAM])),
        (body(false, &[SAM]), private(&[SAM])),
        (body(true, &[SAM, MIKE]), public(&[SAM, MIKE])),
        (body(true, &[MIKE]), public(&[MIKE])),
        // Duplicates are dropped. The order of the first occurrences remains.
        (body(false, &[SAM, MIKE, SAM, ADA, MIKE, ADA]), private(&[SAM, MIKE, ADA])),
        // A missing list is an empty list.
        (json!({"isShared": true}), public(&[])),
        (json!({"isShared": false}), private(&[])),
        (json!({"isShared": true, "managerList": [MIKE.to_string().to_uppercase()]}), public(&[MIKE])),
    ] {
        let reply = put(&world, ADA_TOKEN, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(access_of(&world, 1).await.access, expected, "{body}");

        let shown = &reply.json()["response"];
        let is_private = expected.share == ShareType::None;
        let listed: Vec<Value> = shown["AccessList"].as_array().unwrap().iter().map(|who| who["Id"].clone()).collect();
        let managers: Vec<Value> = expected.managers.iter().map(|id| json!(id)).collect();
        assert_eq!(listed, if is_private { managers } else { Vec::new() }, "{body}");
        assert_eq!(
            (&shown["IsPrivate"], &shown["IsShared"], &shown["ShareType"]),
            (&json!(is_private), &json!(!is_private), &json!(expected.share.number())),
            "{body}"
        );
    }
}

#[tokio::test]
async fn private_contact_without_managers_belongs_to_administrators() {
    let world = acme_with([contact(1, json!({}))]).await;
    let reply = put(&world, MIKE_TOKEN, &body(false, &[])).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    // The answer shows the contact after the change: the caller may no longer edit it.
    let shown = &reply.json()["response"];
    assert_eq!(
        (&shown["IsPrivate"], &shown["CanEdit"], &shown["CanDelete"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert_eq!(put(&world, MIKE_TOKEN, &body(true, &[])).await.status, 404);
    let reply = put(&world, ADA_TOKEN, &body(true, &[])).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json()["response"]["CanEdit"], true);
}

#[tokio::test]
async fn only_managers_and_administrators_edit_a_contact_shared_for_reading() {
    for (token, status) in [(ADA_TOKEN, 200), (MIKE_TOKEN, 200), (SAM_TOKEN, 403)] {
        let world = acme_with([contact_with(1, ShareType::Read, &[MIKE])]).await;
        let reply = put(&world, token, &body(false, &[SAM])).await;
        assert_eq!(reply.status, status, "{token}: {}", reply.text);
        let expected =
            if status == 200 { private(&[SAM]) } else { Access { share: ShareType::Read, managers: vec![MIKE] } };
        assert_eq!(access_of(&world, 1).await.access, expected, "{token}");
    }
}

#[tokio::test]
async fn anyone_can_lock_a_public_contact() {
    let world = acme_with([contact(1, json!({}))]).await;
    let reply = put(&world, SAM_TOKEN, &body(false, &[SAM])).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json()["response"]["CanEdit"], true);
    assert_eq!(put(&world, MIKE_TOKEN, &body(true, &[])).await.status, 404);
}

#[tokio::test]
async fn if_match_admits_the_current_revision_only() {
    let world = acme_with([contact(1, json!({}))]).await;
    let (a, b) = (body(false, &[MIKE]), body(false, &[SAM]));

    // A contact without an access record has the revision "0".
    assert_eq!(put_if(&world, &["\"1\""], &a).await.status, 412);
    let reply = put_if(&world, &["\"0\""], &a).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let current = reply.header("etag").to_owned();
    assert_eq!(current, format!("\"{}\"", job(&reply).unwrap()));

    let refused = ["\"0\"", "\"\"", "0", &current.replace('"', ""), &format!("W/{current}"), "\"x\", \"y\"", ""];
    for if_match in refused {
        let before = world.trips.spent();
        let reply = put_if(&world, &[if_match], &b).await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (412, "revision-changed"), "{if_match}");
        assert_eq!(world.trips.spent().writes, before.writes, "{if_match}");
    }
    assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]));

    let mut current = current;
    for (i, form) in ["CURRENT", "*", "\"x\", CURRENT", "CURRENT,\"y\"", "\"x\";CURRENT", ""].into_iter().enumerate() {
        let value = form.replace("CURRENT", &current);
        // Several headers form one list.
        let values: Vec<&str> = value.split(';').collect();
        let values = if form.is_empty() { &[][..] } else { &values };
        let reply = put_if(&world, values, if i % 2 == 0 { &b } else { &a }).await;
        assert_eq!(reply.status, 200, "{value}: {}", reply.text);
        assert_ne!(reply.header("etag"), current, "{value}");
        current = reply.header("etag").to_owned();
    }
}

#[tokio::test]
async fn if_match_star_admits_a_contact_without_a_record() {
    let world = acme_with([contact(1, json!({}))]).await;
    assert_eq!(put_if(&world, &["*"], &body(false, &[])).await.status, 200);
}

#[tokio::test]
async fn dry_run_answers_like_the_call_and_writes_nothing() {
    let world = acme_with([contact_with(1, ShareType::Read, &[MIKE])]).await;
    let (state, spent) = (access_of(&world, 1).await, world.trips.spent());
    let body = body(false, &[SAM, MIKE]);
    for query in ["dryRun=true", "dryrun=TRUE"] {
        let dry = world.put(&format!("1/access?{query}"), MIKE_TOKEN, &body).await.unwrap();
        assert_eq!(dry.status, 200, "{}", dry.text);
        assert_eq!(job(&dry), None);
        assert_eq!(dry.header("etag"), format!("\"{}\"", state.job().unwrap()));
        assert_eq!(access_of(&world, 1).await, state);
        assert_eq!(world.trips.spent().writes, spent.writes);
        assert_eq!(dry.json()["response"]["IsPrivate"], true);
    }
    let dry = world.put("1/access?dryRun=true", MIKE_TOKEN, &body).await.unwrap();
    let run = world.put("1/access?dryRun=false", MIKE_TOKEN, &body).await.unwrap();
    assert_eq!(dry.text, run.text);
    assert_eq!(access_of(&world, 1).await.access, private(&[SAM, MIKE]));

    // A dry run refuses the same faults as the call.
    let dry = world.put("1/access?dryRun=true", ADA_TOKEN, &self::body(true, &[NOBODY])).await.unwrap();
    assert_eq!(dry.status, 400);
}

#[tokio::test]
async fn contact_that_already_matches_costs_no_write() {
    let world = acme_with([contact(1, json!({}))]).await;
    // A contact without a record is public with an empty list.
    let before = world.trips.spent();
    let reply = put(&world, ADA_TOKEN, &body(true, &[])).await;
    assert_eq!((reply.status.as_u16(), reply.header("etag"), job(&reply)), (200, "\"0\"", None));
    assert_eq!(world.trips.spent().writes, before.writes);

    let before = world.trips.spent().write_units;
    let set = put(&world, ADA_TOKEN, &body(false, &[MIKE, SAM])).await;
    // The access record, the job and its entry cost 2 units each, and the postings of two managers 1 unit each.
    assert!((world.trips.spent().write_units - before - 8.0).abs() < f64::EPSILON);
    let before = world.trips.spent();
    let again = put(&world, MIKE_TOKEN, &body(false, &[MIKE, SAM, MIKE])).await;
    assert_eq!((again.status.as_u16(), job(&again)), (200, None));
    assert_eq!(again.header("etag"), set.header("etag"));
    assert_eq!(world.trips.spent().writes, before.writes);
    assert!((world.trips.spent().write_units - before.write_units).abs() < f64::EPSILON);

    // A list in another order is another list, and is shown in its order.
    let reply = put(&world, ADA_TOKEN, &body(false, &[SAM, MIKE])).await;
    assert!(job(&reply).is_some());
    assert_eq!(access_of(&world, 1).await.access, private(&[SAM, MIKE]));
}

#[tokio::test]
async fn each_change_has_a_job_with_the_access_before() {
    let world = acme_with([contact(1, json!({}))]).await;
    let mut before = access_of(&world, 1).await;
    for (token, user, body, target) in [
        (ADA_TOKEN, ADA, body(false, &[MIKE, SAM]), private(&[MIKE, SAM])),
        (MIKE_TOKEN, MIKE, body(true, &[SAM]), public(&[SAM])),
        (SAM_TOKEN, SAM, body(false, &[SAM]), private(&[SAM])),
    ] {
        let reply = put(&world, token, &body).await;
        let id = job(&reply).unwrap();
        let (job, was) = recorded(&world, id).await;
        assert_eq!(
            (
                job.id,
                job.task.kind(),
                job.state,
                job.created_by,
                job.task.replacement(),
                job.task.filter(),
                job.error.as_deref()
            ),
            (id, Kind::Contact, State::Done, Author::User(user), Some(&target), None, None)
        );
        assert_eq!((job.counts.matched, job.counts.updated, job.counts.unchanged, job.counts.skipped), (1, 1, 0, 0));
        assert_eq!((job.created, job.finished), (world.app.now(), Some(world.app.now())));
        assert_eq!((was.contact.get(), was.before, was.revision), (1, before.access, before.revision));
        assert_eq!((was.after, was.conflict), (None, false));
        before = access_of(&world, 1).await;
        assert_eq!((&before.access, before.job()), (&target, Some(id)));
    }
}

#[tokio::test]
async fn job_of_one_portal_is_not_found_in_another() {
    let world = acme_with([contact(1, json!({}))]).await;
    let id = job(&put(&world, ADA_TOKEN, &body(false, &[])).await).unwrap();
    assert!(world.store.job(&acme(), id).await.unwrap().is_some());
    assert!(world.store.job(&self::id("zenith"), id).await.unwrap().is_none());
}

#[tokio::test]
async fn concurrent_puts_of_one_contact_are_serialized() {
    const CALLS: u128 = 20;
    let users: Vec<UserId> = (1..=CALLS).map(|n| UserId::from_u128(0x1000 + n)).collect();
    let mut values: Vec<Value> = users.iter().map(|&id| crate::portal::user(id, "One of many", false)).collect();
    values.push(contact(1, json!({})));
    let world = acme_with(values).await;

    let bodies: Vec<Value> = users.iter().map(|&id| body(false, &[id])).collect();
    let replies = join_all(bodies.iter().map(|body| put(&world, ADA_TOKEN, body))).await;

    let mut by_former: HashMap<Option<JobId>, (Job, Change)> = HashMap::new();
    for (reply, user) in replies.iter().zip(&users) {
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.json()["response"]["AccessList"][0]["Id"], json!(user));
        let (job, before) = recorded(&world, job(reply).unwrap()).await;
        assert_eq!(job.task.replacement(), Some(&private(&[*user])));
        let duplicate = by_former.insert(before.replaced_job(), (job, before));
        assert!(duplicate.is_none(), "two changes of one revision: {duplicate:?}");
    }
    // From the loaded contact on, each change builds on the previous one, and the last one is stored.
    let (mut access, mut revision) = (Access::UNRECORDED, None);
    for _ in 0..CALLS {
        let (job, before) = by_former.remove(&revision).unwrap();
        assert_eq!(before.before, access);
        (access, revision) = (job.task.replacement().unwrap().clone(), Some(job.id));
    }
    let last = access_of(&world, 1).await;
    assert_eq!((last.access.clone(), last.job()), (access, revision));
}

#[tokio::test]
async fn one_of_concurrent_puts_with_the_same_revision_succeeds() {
    let world = acme_with([contact(1, json!({}))]).await;
    let bodies = [MIKE, SAM, ADA].map(|id| body(false, &[id]));
    let replies = join_all(bodies.iter().map(|body| put_if(&world, &["\"0\""], body))).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
}

#[tokio::test]
async fn removed_users_are_shown_by_their_identifier() {
    let world = acme_with([contact(1, json!({"CreateBy": {"Id": NOBODY}}))]).await;
    let reply = put(&world, ADA_TOKEN, &body(false, &[])).await;
    let creator = &reply.json()["response"]["CreateBy"];
    assert_eq!((&creator["Id"], &creator["DisplayName"]), (&json!(NOBODY), &json!("")));
}
