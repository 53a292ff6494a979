//! Changes that add and remove managers: of one contact, of several, of the matches of a filter, and by rules.

use std::collections::BTreeMap;

use models::access::{Access, ShareType};
use models::limits::MAX_MANAGERS;
use models::values::id::UserId;
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, SAM, SAM_TOKEN, access, access_of, acme_with, contact_with, id, job,
    private, public, user,
};

fn shared_for_reading(managers: &[UserId]) -> Access {
    Access { share: ShareType::Read, managers: managers.to_vec() }
}

/// The access of the three contacts at first.
fn originals() -> [Access; 3] {
    [private(&[MIKE]), shared_for_reading(&[SAM, MIKE]), public(&[])]
}

async fn three_contacts() -> World {
    let contacts =
        originals().into_iter().zip(1..).map(|(access, id)| contact_with(id, access.share, &access.managers));
    acme_with(contacts).await
}

async fn accesses(world: &World) -> Vec<Access> {
    let mut accesses = Vec::new();
    for number in 1..=3 {
        accesses.push(access_of(world, number).await.access);
    }
    accesses
}

async fn put(world: &World, path: &str, token: &str, body: &Value) -> Reply {
    world.put(path, token, body).await.unwrap()
}

fn status(reply: &Reply) -> u16 {
    reply.status.as_u16()
}

/// Undoes a job, which must have ended.
async fn undo(world: &World, job: &str) {
    let reply = world.post(&format!("jobs/{job}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!(status(&reply), 202, "{}", reply.text);
    world.work().await.unwrap();
}

/// Returns the members of an object together with further members.
fn with(mut object: Value, further: Value) -> Value {
    let (Some(members), Value::Object(further)) = (object.as_object_mut(), further) else { panic!("not objects") };
    members.extend(further);
    object
}

/// Bodies that change access, each with the access of the three contacts after the change.
fn verbs() -> [(Value, [Access; 3]); 5] {
    [
        (json!({"addManagers": [SAM]}), [private(&[MIKE, SAM]), shared_for_reading(&[SAM, MIKE]), public(&[SAM])]),
        (json!({"removeManagers": [MIKE]}), [private(&[]), shared_for_reading(&[SAM]), public(&[])]),
        (
            json!({"addManagers": [ADA], "removeManagers": [SAM]}),
            [private(&[MIKE, ADA]), shared_for_reading(&[MIKE, ADA]), public(&[ADA])],
        ),
        (
            json!({"addManagers": [ADA], "isPrivate": true}),
            [private(&[MIKE, ADA]), private(&[SAM, MIKE, ADA]), private(&[ADA])],
        ),
        (json!({"managerList": [ADA], "isPrivate": true}), [private(&[ADA]), private(&[ADA]), private(&[ADA])]),
    ]
}

/// Returns the body with `isShared` in place of `isPrivate`, as the calls with named contacts have it.
fn for_named_contacts(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(is_private) = body.as_object_mut().unwrap().remove("isPrivate") {
        body["isShared"] = json!(is_private == json!(false));
    }
    body
}

/// Checks that an answer shows the contacts with this access.
fn check_shown(reply: &Reply, expected: &[(i64, &Access)]) {
    let response = reply.response();
    let contacts = response.as_array().cloned().unwrap_or_else(|| vec![response]);
    let member = |contact: &Value, names: [&str; 2]| names.iter().find_map(|name| contact.get(*name)).cloned().unwrap();
    let shown: BTreeMap<i64, Value> = contacts
        .into_iter()
        .map(|contact| (["ID", "id"].iter().find_map(|name| contact[name].as_i64()).unwrap(), contact))
        .collect();
    assert_eq!(shown.len(), expected.len(), "{}", reply.text);
    for (id, access) in expected {
        let contact = &shown[id];
        assert_eq!(member(contact, ["ShareType", "shareType"]), json!(access.share.number()), "{contact}");
        let list = member(contact, ["AccessList", "accessList"]);
        let ids: Vec<Value> = list.as_array().unwrap().iter().map(|manager| member(manager, ["Id", "id"])).collect();
        // Answers show the managers of private contacts only.
        let managers: &[UserId] = if access.share.is_private() { &access.managers } else { &[] };
        assert_eq!(json!(ids), json!(managers), "{contact}");
    }
}

#[tokio::test]
async fn each_verb_changes_each_list_and_is_undone_exactly_by_single_calls() {
    for (body, expected) in verbs() {
        let world = three_contacts().await;
        let body = for_named_contacts(&body);
        let mut jobs = Vec::new();
        for (number, access) in (1..).zip(&expected) {
            let preview = put(&world, &format!("{number}/access?dryRun=true"), ADA_TOKEN, &body).await;
            let reply = put(&world, &format!("{number}/access"), ADA_TOKEN, &body).await;
            assert_eq!((status(&preview), status(&reply)), (200, 200), "{}", reply.text);
            check_shown(&preview, &[(number, access)]);
            check_shown(&reply, &[(number, access)]);
            jobs.extend(job(&reply));
        }
        assert_eq!(accesses(&world).await, expected, "{body}");
        for job in jobs {
            let shown = world.get(&format!("jobs/{job}/changes"), ADA_TOKEN).await.unwrap().response();
            let number = shown[0]["contactId"].as_u64().unwrap();
            let after = &expected[usize::try_from(number).unwrap() - 1];
            assert_eq!(shown[0]["after"]["shareType"], json!(after.share.number()), "{shown}");
            let ids: Vec<&Value> =
                shown[0]["after"]["accessList"].as_array().unwrap().iter().map(|user| &user["id"]).collect();
            assert_eq!(json!(ids), json!(after.managers), "{shown}");
            undo(&world, &job.to_string()).await;
        }
        assert_eq!(accesses(&world).await, originals(), "{body}");
    }
}

#[tokio::test]
async fn each_verb_changes_each_list_and_is_undone_exactly_by_calls_for_many() {
    for (body, expected) in verbs() {
        let named = with(for_named_contacts(&body), json!({"contactid": [1, 2, 3]}));
        for (path, body) in [("access", &named), ("filter/access", &body)] {
            let world = three_contacts().await;
            let preview = put(&world, &format!("{path}?dryRun=true"), ADA_TOKEN, body).await;
            assert_eq!(accesses(&world).await, originals(), "{path} {body}");
            let reply = put(&world, path, ADA_TOKEN, body).await;
            assert_eq!((status(&preview), status(&reply)), (200, 200), "{}", reply.text);
            let shown: Vec<(i64, &Access)> = (1..).zip(&expected).collect();
            check_shown(&preview, &shown);
            check_shown(&reply, &shown);
            assert_eq!(accesses(&world).await, expected, "{path} {body}");
            let changed = expected.iter().zip(originals()).filter(|(after, before)| *after != before).count() as u64;
            assert_eq!(reply.count("x-updated-count"), Some(changed), "{path} {body}");
            assert_eq!(reply.count("x-unchanged-count"), Some(3 - changed), "{path} {body}");
            let job = job(&reply).unwrap().to_string();
            let target = world.get(&format!("jobs/{job}"), ADA_TOKEN).await.unwrap().response()["target"].clone();
            let mut sent = body.clone();
            for name in ["contactid", "isShared"] {
                sent.as_object_mut().unwrap().remove(name);
            }
            if let Some(is_shared) = body.get("isShared") {
                sent["isPrivate"] = json!(is_shared == &json!(false));
            }
            assert_eq!(target, sent, "{path} {body}");
            undo(&world, &job).await;
            assert_eq!(accesses(&world).await, originals(), "{path} {body}");

            // Workers make the same change.
            let headers = [("prefer", "respond-async")];
            let queued = world.put_with(path, ADA_TOKEN, &body.to_string(), &headers).await.unwrap();
            assert_eq!(status(&queued), 202, "{}", queued.text);
            world.work().await.unwrap();
            assert_eq!(accesses(&world).await, expected, "{path} {body}");
        }
    }
}

#[tokio::test]
async fn one_call_moves_everything_from_one_manager_to_another_and_its_undo_restores_exactly() {
    let world = three_contacts().await;
    let body = json!({"addManagers": [ADA], "removeManagers": [MIKE]});
    let path = format!("filter/access?responsibleid={MIKE}");
    let reply = put(&world, &path, ADA_TOKEN, &body).await;
    assert_eq!(status(&reply), 200, "{}", reply.text);
    let moved = [private(&[ADA]), shared_for_reading(&[SAM, ADA])];
    check_shown(&reply, &[(1, &moved[0]), (2, &moved[1])]);
    assert_eq!((reply.count("x-matched-count"), reply.count("x-updated-count")), (Some(2), Some(2)));
    let [first, second] = moved;
    assert_eq!(accesses(&world).await, [first, second, public(&[])]);
    let job = job(&reply).unwrap().to_string();
    let shown = world.get(&format!("jobs/{job}"), ADA_TOKEN).await.unwrap().response();
    assert_eq!((&shown["filter"]["responsibleid"], &shown["filter"]["isShared"]), (&json!(MIKE), &Value::Null));
    assert_eq!(shown["matched"], 2);

    let again = put(&world, &path, ADA_TOKEN, &body).await;
    assert_eq!((again.count("x-matched-count"), again.ids()), (Some(0), Vec::new()), "nothing is left to move");
    undo(&world, &job).await;
    assert_eq!(accesses(&world).await, originals());
}

#[tokio::test]
async fn change_without_administrator_rights_selects_what_the_list_shows() {
    // Shared contacts keep their lists, which only administrators and the manager itself know.
    for (token, query, expected) in [
        (ADA_TOKEN, format!("responsibleid={MIKE}"), vec![2, 1]),
        (SAM_TOKEN, format!("responsibleid={MIKE}"), vec![]),
        (SAM_TOKEN, format!("responsibleid={SAM}"), vec![2]),
        (MIKE_TOKEN, format!("responsibleid={MIKE}"), vec![2, 1]),
        (SAM_TOKEN, format!("responsibleid={}", UserId::NIL), vec![3]),
        (MIKE_TOKEN, "isShared=false".to_owned(), vec![1]),
        (SAM_TOKEN, "isShared=false".to_owned(), vec![]),
        (SAM_TOKEN, "isShared=true".to_owned(), vec![3, 2]),
    ] {
        let world = three_contacts().await;
        let listed = world.contact(&format!("filter?{query}"), token).await.unwrap();
        let matched = listed.count("x-total-count");
        let body = json!({"addManagers": [ADA]});
        let changed = put(&world, &format!("filter/access?{query}"), token, &body).await;
        assert_eq!((listed.ids(), changed.ids()), (expected.clone(), expected), "{query}");
        assert_eq!(changed.count("x-matched-count"), matched, "{query}");
    }
}

#[tokio::test]
async fn full_manager_list_is_left_alone() {
    let crowd: Vec<UserId> = (1..=MAX_MANAGERS as u128).map(UserId::from_u128).collect();
    let users = crowd.iter().map(|id| user(*id, "One of many", false));
    let contacts = [
        contact_with(1, ShareType::None, &crowd),
        contact_with(2, ShareType::None, &[MIKE]),
        contact_with(3, ShareType::None, &crowd[1..]),
    ];
    let world = acme_with(users.chain(contacts)).await;
    let before = access(&world, "acme", 1..=3).await;
    let body = json!({"addManagers": [SAM]});
    for (path, body) in [("1/access", body.clone()), ("access", with(body.clone(), json!({"contactid": [2, 1, 3]})))] {
        for query in ["", "?dryRun=true"] {
            let reply = put(&world, &format!("{path}{query}"), ADA_TOKEN, &body).await;
            assert_eq!((status(&reply), reply.error_type().as_str()), (409, "too-many-managers"), "{}", reply.text);
            assert!(
                reply.text.contains("the manager list of contact 1 would have more than 1000 users"),
                "{}",
                reply.text
            );
        }
    }
    assert_eq!(access(&world, "acme", 1..=3).await, before);

    let preview = put(&world, "filter/access?dryRun=true", ADA_TOKEN, &body).await;
    let reply = put(&world, "filter/access?count=1", ADA_TOKEN, &body).await;
    let counts = |reply: &Reply| {
        ["x-matched-count", "x-updated-count", "x-unchanged-count", "x-failed-count"].map(|name| reply.count(name))
    };
    let expected = [3, 2, 0, 1].map(Some);
    assert_eq!((counts(&preview), counts(&reply)), (expected, expected));
    assert_eq!(preview.header("x-total-count"), "2");
    let shown = world.get(&format!("jobs/{}", job(&reply).unwrap()), ADA_TOKEN).await.unwrap().response();
    assert_eq!((&shown["state"], &shown["failed"], &shown["updated"]), (&json!("done"), &json!(1), &json!(2)));
    let states = access(&world, "acme", 1..=3).await;
    assert_eq!(states[&1], before[&1]);
    assert_eq!(states[&2].access, private(&[MIKE, SAM]));
    assert_eq!(states[&3].access.managers.len(), MAX_MANAGERS);

    // A manager can be exchanged, whatever the length of the list.
    let exchange = json!({"addManagers": [SAM], "removeManagers": [crowd[0]]});
    assert_eq!(status(&put(&world, "1/access", ADA_TOKEN, &exchange).await), 200);
}

#[tokio::test]
async fn added_managers_must_be_users_and_removed_managers_need_not() {
    let world = three_contacts().await;
    let rule = |target: &Value| json!({"filter": {}, "target": target, "cron": "0 2 29 2 *"});
    let add = json!({"addManagers": [SAM, NOBODY]});
    let remove = json!({"removeManagers": [NOBODY]});
    let put_rule = async |target: &Value| {
        world.access_with("PUT", "rules/r", ADA_TOKEN, &rule(target).to_string(), &[]).await.unwrap()
    };
    for reply in [
        put(&world, "1/access", ADA_TOKEN, &add).await,
        put(&world, "access", ADA_TOKEN, &with(add.clone(), json!({"contactid": 1}))).await,
        put(&world, "filter/access", ADA_TOKEN, &add).await,
        put_rule(&add).await,
    ] {
        assert_eq!((status(&reply), reply.error_type().as_str()), (400, "unknown-manager"), "{}", reply.text);
        let details = json!([{"field": "addManagers", "message": NOBODY}]);
        assert_eq!(reply.json()["error"]["details"], details, "{}", reply.text);
    }
    for reply in [
        put(&world, "1/access", ADA_TOKEN, &remove).await,
        put(&world, "access", ADA_TOKEN, &with(remove.clone(), json!({"contactid": 1}))).await,
        put(&world, "filter/access", ADA_TOKEN, &remove).await,
        put(&world, &format!("filter/access?responsibleid={NOBODY}"), ADA_TOKEN, &remove).await,
        put_rule(&remove).await,
    ] {
        assert_eq!(status(&reply), 200, "{}", reply.text);
    }
    assert_eq!(accesses(&world).await, originals());
}

#[tokio::test]
async fn criteria_for_access_belong_in_the_query() {
    let world = three_contacts().await;
    for name in ["isShared", "responsibleid", "ResponsibleID"] {
        let body = json!({"isPrivate": true, (name): if name == "isShared" { json!(true) } else { json!(MIKE) }});
        let reply = put(&world, "filter/access", ADA_TOKEN, &body).await;
        assert_eq!(status(&reply), 400, "{}", reply.text);
        assert!(reply.text.contains("belongs in the query"), "{}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], name, "{}", reply.text);
    }
    let reply = put(&world, "filter/access?isShared=", ADA_TOKEN, &json!({"isPrivate": true})).await;
    assert_eq!(status(&reply), 400, "{}", reply.text);
    // The query has a condition, so the empty field of the body does not select every contact.
    let reply =
        put(&world, "filter/access?isShared=true", ADA_TOKEN, &json!({"tags": null, "addManagers": [SAM]})).await;
    assert_eq!((status(&reply), reply.ids()), (200, vec![3, 2]), "{}", reply.text);
    assert_eq!(accesses(&world).await, [private(&[MIKE]), shared_for_reading(&[SAM, MIKE]), public(&[SAM])]);
}

#[tokio::test]
async fn forms_and_every_dialect_take_the_verbs() {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (path, body, list) in [
        ("1/access", format!("addManagers[]={SAM}&addManagers[]={ADA}&removeManagers={MIKE}"), vec![SAM, ADA]),
        ("1/access.xml", format!("addManagers={SAM}"), vec![MIKE, SAM]),
        ("access.json", format!("contactid=1&addManagers=[\"{SAM}\"]&isShared=0"), vec![MIKE, SAM]),
        ("filter/access.xml?isShared=0", format!("removeManagers[0]={MIKE}&isPrivate=1"), vec![]),
        (
            &*format!("filter/access?responsibleId={MIKE}&isShared=false"),
            format!("addManagers[0]={SAM}"),
            vec![MIKE, SAM],
        ),
    ] {
        let world = three_contacts().await;
        let url = format!("/api/2.0/crm/contact/{path}");
        let reply = world.call("PUT", &url, ADA_TOKEN, &form, &body).await.unwrap();
        assert_eq!(status(&reply), 200, "{path} {body}: {}", reply.text);
        assert_eq!(access_of(&world, 1).await.access, private(&list), "{path} {body}");
    }
}

#[tokio::test]
async fn repeated_call_with_one_key_adds_once_and_shows_its_own_result() {
    let world = three_contacts().await;
    let body = json!({"addManagers": [SAM]}).to_string();
    let key = [("idempotency-key", "add-sam")];
    let first = world.put_with("1/access", ADA_TOKEN, &body, &key).await.unwrap();
    let removed = put(&world, "1/access", ADA_TOKEN, &json!({"removeManagers": [SAM, MIKE]})).await;
    assert_eq!((status(&first), status(&removed)), (200, 200), "{}", first.text);
    let again = world.put_with("1/access", ADA_TOKEN, &body, &key).await.unwrap();
    check_shown(&again, &[(1, &private(&[MIKE, SAM]))]);
    assert_eq!((job(&again), access_of(&world, 1).await.access), (job(&first), private(&[])));
}

#[tokio::test]
async fn rule_with_verbs_and_criteria_runs_and_is_shown() {
    let world = three_contacts().await;
    let rule = json!({
        "filter": {"responsibleid": MIKE, "isShared": false},
        "target": {"addManagers": [SAM], "removeManagers": [MIKE]},
        "cron": "0 2 * * *",
    });
    let reply = world.access_with("PUT", "rules/handover", ADA_TOKEN, &rule.to_string(), &[]).await.unwrap();
    assert_eq!(status(&reply), 200, "{}", reply.text);
    let shown = reply.response();
    assert_eq!(shown["target"], rule["target"]);
    assert_eq!((&shown["filter"]["responsibleid"], &shown["filter"]["isShared"]), (&json!(MIKE), &json!(false)));
    let next = world.rules_of(&id("acme")).await.unwrap()[0].next.unwrap();
    world.set_clock(next);
    assert_eq!(world.jobs().run_due_rules(&jobs::Deadline::never()).await.unwrap(), 1);
    world.work().await.unwrap();
    assert_eq!(accesses(&world).await, [private(&[SAM]), shared_for_reading(&[SAM, MIKE]), public(&[])]);
}
