//! Current rights decide: jobs, undos and the display of both follow the rights that a user has now.

use std::collections::BTreeMap;

use models::access::{Access, Author, ShareType};
use models::job::{Counts, Job, State};
use models::limits::LEASE_MILLIS;
use models::values::id::{ContactId, JobId, UserId};
use serde_json::{Value, json};
use store::StoreError;
use tests::World;
use tests::faults::{Fault, When};

use crate::job_faults::{Bed, Step, at, target};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access, access_of, acme, acme_with, contact, contact_id,
    contact_with, id, job, lines, private, public, token, user,
};
use crate::rules::{dismiss, run_of, start};

/// Makes a user an administrator or an ordinary user.
async fn set_role(world: &World, user_id: UserId, is_admin: bool) {
    world.import(&lines([json!({"portal": {"Id": "acme"}}), user(user_id, "Someone", is_admin)])).await.unwrap();
}

/// Queues a change of every contact by filter.
async fn queue(world: &World, token: &str, managers: &[UserId]) -> JobId {
    let body = json!({"isPrivate": true, "managerList": managers}).to_string();
    let reply = world.put_with("filter/access", token, &body, &[("prefer", "respond-async")]).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

/// Queues a change of named contacts.
async fn queue_named(world: &World, token: &str, contacts: &[i64], managers: &[UserId]) -> JobId {
    let body = json!({"contactid": contacts, "isShared": false, "managerList": managers}).to_string();
    let reply = world.put_with("access", token, &body, &[("prefer", "respond-async")]).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

async fn queue_undo(world: &World, token: &str, undone: JobId) -> JobId {
    let reply = world.post(&format!("jobs/{undone}/undo"), token).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    job(&reply).unwrap()
}

async fn recorded(world: &World, job: JobId) -> Job {
    world.store.job(&id("acme"), job).await.unwrap().unwrap()
}

/// Works through the queue. Returns the state and counts of a job.
async fn worked(world: &World, job: JobId) -> (State, Counts) {
    world.work().await.unwrap();
    let job = recorded(world, job).await;
    (job.state, job.counts)
}

async fn accesses(world: &World, ids: std::ops::RangeInclusive<i64>) -> BTreeMap<i32, Access> {
    access(world, "acme", ids).await.into_iter().map(|(contact, state)| (contact, state.access)).collect()
}

async fn changes(world: &World, token: &str, job: JobId) -> Vec<Value> {
    let reply = world.get(&format!("jobs/{job}/changes"), token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.response().as_array().unwrap().clone()
}

fn read(managers: &[UserId]) -> Access {
    Access { share: ShareType::Read, managers: managers.to_vec() }
}

/// Access of a contact before and after a step of these tests.
struct Case {
    before: Access,
    after: Access,
}

/// Creates a contact for each case, numbered from 1, with the access before the step.
async fn world_of(cases: &[Case]) -> World {
    let contacts = (1..).zip(cases);
    acme_with(contacts.map(|(number, case)| contact_with(number, case.before.share, &case.before.managers))).await
}

async fn check(world: &World, cases: &[Case], what: &str) {
    for (number, case) in (1..).zip(cases) {
        assert_eq!(access_of(world, number).await.access, case.after, "{what}: contact {number}");
    }
}

#[tokio::test]
async fn former_administrator_undoes_only_contacts_it_may_edit_before_or_after_the_undo() {
    let job_set = private(&[SAM]);
    let cases = [
        // Once restored, everyone may edit the contact.
        Case { before: public(&[]), after: public(&[]) },
        Case { before: public(&[SAM]), after: public(&[SAM]) },
        // Once restored, the list names the user.
        Case { before: private(&[ADA]), after: private(&[ADA]) },
        Case { before: read(&[MIKE, ADA]), after: read(&[MIKE, ADA]) },
        // Neither now nor once restored may the user edit the contact.
        Case { before: private(&[MIKE]), after: job_set.clone() },
        Case { before: read(&[MIKE]), after: job_set.clone() },
        Case { before: read(&[]), after: job_set.clone() },
        Case { before: private(&[]), after: job_set.clone() },
    ];
    let world = world_of(&cases).await;
    let undone = queue(&world, ADA_TOKEN, &[SAM]).await;
    world.work().await.unwrap();
    set_role(&world, ADA, false).await;
    let undo = queue_undo(&world, ADA_TOKEN, undone).await;
    // The four hidden contacts count nowhere.
    assert_eq!(worked(&world, undo).await, (State::Done, Counts { matched: 4, updated: 4, ..Counts::default() }));
    check(&world, &cases, "undone").await;
    assert_eq!(changes(&world, ADA_TOKEN, undo).await.len(), 4);
}

#[tokio::test]
async fn undo_follows_the_users_role_at_the_time_of_writing() {
    for (is_admin_then, is_admin_now) in [(true, false), (false, true)] {
        let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
        let undone = queue(&world, ADA_TOKEN, &[SAM]).await;
        world.work().await.unwrap();
        set_role(&world, ADA, is_admin_then).await;
        let undo = queue_undo(&world, ADA_TOKEN, undone).await;
        set_role(&world, ADA, is_admin_now).await;
        let (_, counts) = worked(&world, undo).await;
        assert_eq!(counts.updated, u64::from(is_admin_now));
        let manager = if is_admin_now { MIKE } else { SAM };
        assert_eq!(access_of(&world, 1).await.access, private(&[manager]));
    }
}

#[tokio::test]
async fn undo_skips_visible_contacts_that_its_user_may_not_edit() {
    let world = acme_with([
        contact_with(1, ShareType::Read, &[]),
        contact_with(2, ShareType::Read, &[MIKE]),
        contact_with(3, ShareType::ReadWrite, &[]),
    ])
    .await;
    let first = queue(&world, ADA_TOKEN, &[SAM]).await;
    world.work().await.unwrap();
    // The undo sets the share type Read again. Then a user undoes this undo, who may see but not edit the contacts.
    let second = queue_undo(&world, ADA_TOKEN, first).await;
    world.work().await.unwrap();
    set_role(&world, ADA, false).await;
    let third = queue_undo(&world, ADA_TOKEN, second).await;
    let counts = Counts { matched: 3, updated: 1, skipped: 2, ..Counts::default() };
    assert_eq!(worked(&world, third).await, (State::Done, counts));
    let now = accesses(&world, 1..=3).await;
    assert_eq!((&now[&1], &now[&2], &now[&3]), (&read(&[]), &read(&[MIKE]), &private(&[SAM])));
}

#[tokio::test]
async fn undo_of_a_single_change_follows_the_same_rule() {
    for (before, may_restore) in [(public(&[]), true), (private(&[ADA, SAM]), true), (private(&[MIKE]), false)] {
        let world = acme_with([contact_with(1, before.share, &before.managers)]).await;
        let body = json!({"isShared": false, "managerList": [SAM]});
        let undone = job(&world.put("1/access", ADA_TOKEN, &body).await.unwrap()).unwrap();
        set_role(&world, ADA, false).await;
        let undo = queue_undo(&world, ADA_TOKEN, undone).await;
        let (state, counts) = worked(&world, undo).await;
        assert_eq!(
            (state, counts.updated, counts.matched),
            (State::Done, u64::from(may_restore), u64::from(may_restore))
        );
        let after = if may_restore { before } else { private(&[SAM]) };
        assert_eq!(access_of(&world, 1).await.access, after);
    }
}

#[tokio::test]
async fn queued_job_acts_with_current_rights() {
    let before =
        || [contact(1, json!({})), contact_with(2, ShareType::Read, &[]), contact_with(3, ShareType::None, &[SAM])];
    for by_filter in [true, false] {
        // An administrator is demoted while its job waits.
        let world = acme_with(before()).await;
        let queued = match by_filter {
            true => queue(&world, ADA_TOKEN, &[MIKE]).await,
            false => queue_named(&world, ADA_TOKEN, &[1, 2, 3], &[MIKE]).await,
        };
        set_role(&world, ADA, false).await;
        let counts = Counts { matched: 2, updated: 1, skipped: 1, ..Counts::default() };
        assert_eq!(worked(&world, queued).await, (State::Done, counts));
        let now = accesses(&world, 1..=3).await;
        assert_eq!((&now[&1], &now[&2], &now[&3]), (&private(&[MIKE]), &read(&[]), &private(&[SAM])));

        // A user becomes an administrator while its job waits.
        let world = acme_with(before()).await;
        let queued = match by_filter {
            true => queue(&world, MIKE_TOKEN, &[MIKE]).await,
            false => queue_named(&world, MIKE_TOKEN, &[1], &[MIKE]).await,
        };
        set_role(&world, MIKE, true).await;
        let all = if by_filter { 3 } else { 1 };
        let counts = Counts { matched: all, updated: all, ..Counts::default() };
        assert_eq!(worked(&world, queued).await, (State::Done, counts));
    }
}

#[tokio::test]
async fn job_of_a_removed_user_fails_and_changes_nothing() {
    for kind in ["filter", "contacts", "undo"] {
        let world = acme_with([contact(1, json!({})), contact_with(2, ShareType::None, &[SAM])]).await;
        let queued = match kind {
            "filter" => queue(&world, ADA_TOKEN, &[MIKE]).await,
            "contacts" => queue_named(&world, ADA_TOKEN, &[1, 2], &[MIKE]).await,
            _ => {
                let first = queue(&world, ADA_TOKEN, &[MIKE]).await;
                world.work().await.unwrap();
                queue_undo(&world, ADA_TOKEN, first).await
            }
        };
        let before = accesses(&world, 1..=2).await;
        dismiss(&world, ADA).await;
        assert_eq!(worked(&world, queued).await, (State::Failed, Counts::default()), "{kind}");
        let error = recorded(&world, queued).await.error.unwrap();
        assert!(error.contains("no longer in the portal"), "{error}");
        assert_eq!(accesses(&world, 1..=2).await, before, "{kind}");
        // No open work remains.
        assert_eq!(world.jobs().sweep(jobs::Abandoned::All, &jobs::Deadline::never()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn rights_changed_between_shards_apply_from_the_next_shard_on() {
    for removed in [false, true] {
        let world = acme_with((1..=40).map(|id| contact_with(id, ShareType::None, &[SAM]))).await;
        let queued = queue(&world, ADA_TOKEN, &[MIKE]).await;
        let message = world.queue.take().unwrap();
        world.jobs().work(&message, &jobs::Deadline::never()).await.unwrap();
        let first = |number: i64| Some(contact_id(number).shard(4)) == message.shard;
        let updated = (1..=40).filter(|number| first(*number)).count() as u64;
        assert!(updated > 0);
        if removed {
            dismiss(&world, ADA).await;
        } else {
            set_role(&world, ADA, false).await;
        }
        let state = if removed { State::Failed } else { State::Done };
        let counts = Counts { matched: updated, updated, ..Counts::default() };
        assert_eq!(worked(&world, queued).await, (state, counts));
        for number in 1..=40 {
            let manager = if first(number) { MIKE } else { SAM };
            assert_eq!(access_of(&world, number).await.access, private(&[manager]), "contact {number}");
        }
    }
}

#[tokio::test]
async fn unfinished_chunk_is_checked_again_with_current_rights() {
    for (removed, step) in [(false, Step::Post), (false, Step::Batch), (true, Step::Post), (true, Step::Batch)] {
        let bed = Bed::new(1).await;
        let (queued, message) = bed.enqueue_one().await;
        // The worker dies at the second page, after the write of its chunk and before its records.
        let process = bed.process().await;
        process.proxy.inject(at(step, 2, Fault::Die(When::Before)));
        process.work(&message).await.unwrap_err();
        let written = bed.written(queued).await;
        assert!(!written.is_empty());

        if removed {
            dismiss(&bed.world, ADA).await;
        } else {
            set_role(&bed.world, ADA, false).await;
        }
        bed.pass(LEASE_MILLIS);
        bed.recover().await;
        let job = bed.job(queued).await;
        assert_eq!(job.state, if removed { State::Failed } else { State::Done });
        let (now, mut log) = (bed.written(queued).await, bed.changes(queued).await);
        log.sort_by_key(|change| change.contact);
        // The log and the counts cover exactly the written contacts.
        assert_eq!(log.iter().map(|change| change.contact.get()).collect::<Vec<_>>(), Vec::from_iter(now.clone()));
        assert_eq!(job.counts.updated, now.len() as u64, "{job:?}");
        assert_eq!(job.counts.matched, job.counts.updated + job.counts.unchanged + job.counts.skipped);
        for number in now.difference(&written) {
            assert!(!removed, "contact {number} was changed for a removed user");
            assert_eq!(bed.original(*number).access.share, ShareType::ReadWrite, "contact {number}");
        }
        if !removed {
            // The job finishes the contacts that everyone may edit.
            let open = |number: &i32| {
                let was = bed.original(*number).access;
                was.share == ShareType::ReadWrite && was != target()
            };
            let numbers = bed.numbers().map(|number| i32::try_from(number).unwrap());
            assert!(numbers.filter(open).all(|number| now.contains(&number)));
        }
    }
}

/// Returns the managers of an access in an answer.
fn listed(access: &Value) -> Vec<UserId> {
    let list = access["accessList"].as_array().unwrap();
    list.iter().map(|manager| serde_json::from_value(manager["id"].clone()).unwrap()).collect()
}

#[tokio::test]
async fn changes_show_the_stored_list_of_a_shared_contact_only_to_administrators() {
    let stored: [&[UserId]; 3] = [&[SAM, MIKE], &[SAM], &[]];
    let world = acme_with((1..).zip(stored).map(|(id, list)| contact_with(id, ShareType::ReadWrite, list))).await;
    let first = queue(&world, MIKE_TOKEN, &[MIKE, SAM]).await;
    world.work().await.unwrap();
    let body = json!({"isPrivate": false, "managerList": [SAM, MIKE]});
    let second = job(&world.put("filter/access", MIKE_TOKEN, &body).await.unwrap()).unwrap();
    for (viewer, shared) in [(ADA_TOKEN, None), (MIKE_TOKEN, Some(MIKE))] {
        let visible_to_caller = |list: &[UserId]| -> Vec<UserId> {
            list.iter().copied().filter(|user| shared.is_none_or(|own| own == *user)).collect()
        };
        for change in changes(&world, viewer, first).await {
            let number = usize::try_from(change["contactId"].as_u64().unwrap()).unwrap();
            assert_eq!(listed(&change["before"]), visible_to_caller(stored[number - 1]), "{change}");
            // A private contact shows its managers.
            assert_eq!(listed(&change["after"]), [MIKE, SAM], "{change}");
        }
        for change in changes(&world, viewer, second).await {
            assert_eq!(listed(&change["before"]), [MIKE, SAM], "{change}");
            assert_eq!(listed(&change["after"]), visible_to_caller(&[SAM, MIKE]), "{change}");
        }
    }
}

#[tokio::test]
async fn conflict_does_not_show_the_access_others_set() {
    let world = acme_with([contact(1, json!({})), contact(2, json!({}))]).await;
    let first = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    // Since then, one contact is hidden from the caller and the other is only changed.
    for (number, managers) in [(1, [SAM].as_slice()), (2, &[SAM, MIKE])] {
        let body = json!({"isShared": false, "managerList": managers});
        assert_eq!(world.put(&format!("{number}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
    }
    let undo = queue_undo(&world, MIKE_TOKEN, first).await;
    let counts = Counts { matched: 2, conflicts: 2, ..Counts::default() };
    assert_eq!(worked(&world, undo).await, (State::Done, counts));
    for viewer in [MIKE_TOKEN, ADA_TOKEN] {
        let shown = changes(&world, viewer, undo).await;
        assert_eq!(shown.len(), 2);
        for change in shown {
            let is_hidden = viewer == MIKE_TOKEN && change["contactId"] == 1;
            let name = if is_hidden { String::new() } else { format!("Contact {}", change["contactId"]) };
            let expected = json!({"contactId": change["contactId"], "displayName": name, "before": null, "after": null,
                "conflict": true});
            assert_eq!(change, expected);
        }
        // The job shows its own changes, even if others have changed the contacts since.
        for change in changes(&world, viewer, first).await {
            assert_eq!(listed(&change["after"]), [MIKE], "{change}");
        }
    }
}

#[tokio::test]
async fn search_by_manager_finds_shared_contacts_only_for_that_manager_and_administrators() {
    let world = acme_with([
        contact_with(1, ShareType::ReadWrite, &[SAM, MIKE]),
        contact_with(2, ShareType::Read, &[SAM]),
        contact_with(3, ShareType::None, &[SAM, MIKE]),
        contact_with(4, ShareType::None, &[SAM]),
        contact(5, json!({})),
    ])
    .await;
    for (viewer, of, found) in [
        (ADA_TOKEN, SAM, vec![1, 2, 3, 4]),
        (SAM_TOKEN, SAM, vec![1, 2, 3, 4]),
        (MIKE_TOKEN, SAM, vec![3]),
        (MIKE_TOKEN, MIKE, vec![1, 3]),
        (SAM_TOKEN, MIKE, vec![3]),
    ] {
        for order in ["created", "displayName"] {
            let path = format!("filter?responsibleid={of}&sortBy={order}");
            let reply = world.contact(&path, viewer).await.unwrap();
            let mut ids: Vec<i64> =
                reply.response().as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect();
            ids.sort_unstable();
            assert_eq!(ids, found, "{path}");
        }
    }
}

#[tokio::test]
async fn nil_user_owns_only_its_own_jobs_and_not_the_operators() {
    const NIL_TOKEN: &str = "nil-reads-and-writes-0123456789abcdef";
    let mut values = acme();
    values.extend([user(UserId::NIL, "Nil", false), token(NIL_TOKEN, UserId::NIL, &["read", "write"])]);
    values.extend([contact(1, json!({})), contact(2, json!({}))]);
    let world = World::with(&lines(values)).await.unwrap();
    let mut run = run_of("acme");
    run["idempotencyKey"] = json!("monday");
    let scheduled = start(&world, run).await.unwrap();
    assert_eq!(recorded(&world, scheduled).await.created_by, Author::Operator);
    let actions = [("GET", ""), ("GET", "/changes"), ("POST", "/undo"), ("POST", "/apply"), ("POST", "/cancel")];
    for (method, action) in actions {
        let path = format!("jobs/{scheduled}{action}");
        let reply = world.access_with(method, &path, NIL_TOKEN, "", &[]).await.unwrap();
        assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text);
    }
    assert_eq!(world.get("jobs", NIL_TOKEN).await.unwrap().response(), json!([]));
    let shown = world.get(&format!("jobs/{scheduled}"), ADA_TOKEN).await.unwrap().json();
    assert_eq!(shown["response"].get("createdBy"), None, "{shown}");

    // The nil user's idempotency key is separate from the operator's.
    let body = json!({"isShared": true, "managerList": [MIKE]}).to_string();
    let reply = world.put_with("1/access", NIL_TOKEN, &body, &[("idempotency-key", "monday")]).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let own = job(&reply).unwrap();
    assert_eq!(recorded(&world, own).await.created_by, Author::User(UserId::NIL));
    let listed = world.get("jobs", NIL_TOKEN).await.unwrap().response();
    assert_eq!(listed.as_array().unwrap().iter().map(|job| &job["id"]).collect::<Vec<_>>(), [&json!(own)]);
    // The operator's job has an administrator's rights and needs no user.
    assert_eq!(worked(&world, scheduled).await.0, State::Done);
    assert_eq!(access_of(&world, 2).await.access, private(&[MIKE]));
}

#[tokio::test]
async fn access_is_returned_for_exactly_the_requested_contacts() {
    let world = acme_with([contact(1, json!({})), contact_with(2, ShareType::None, &[MIKE])]).await;
    // Contact 3 does not exist. Other code checks existence.
    let requested: Vec<ContactId> = [1, 2, 3].map(contact_id).into();
    let (now, soon) = (
        world.store.current_access_of(&id("acme"), &requested).await.unwrap(),
        world.store.access_of(&id("acme"), &requested).await.unwrap(),
    );
    for accesses in [now, soon] {
        let access = |number| accesses.of(contact_id(number)).map(|state| state.access.clone());
        assert_eq!(access(1).unwrap(), Access::UNRECORDED);
        assert_eq!(access(2).unwrap(), private(&[MIKE]));
        assert_eq!(access(3).unwrap(), Access::UNRECORDED);
        assert!(matches!(access(4), Err(StoreError::Corrupt(_))));
    }
}

#[test]
fn job_without_a_target_fails_to_deserialize() {
    let target = json!({"share": 0, "managers": []});
    for (task, reads) in [
        (json!({"Contact": {"target": target}}), true),
        (json!({"Contact": {}}), false),
        (json!({"Contact": {"target": null}}), false),
        (json!({"Contacts": {"contacts": [1], "target": null}}), false),
        (json!({"Contacts": {"contacts": [1]}}), false),
        (json!({"Filter": {}}), false),
        (json!({"Undo": {}}), false),
        (json!(null), false),
    ] {
        let job = json!({
            "Id": JobId::from_u128(1), "State": "queued", "CreatedBy": "Operator", "Created": crate::portal::CREATED,
            "Shards": 1, "Expected": 1, "Task": task,
        });
        assert_eq!(serde_json::from_value::<Job>(job).is_ok(), reads, "{task}");
    }
}
