//! The run of a preview writes what the preview showed, and nothing else.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use jiff::SignedDuration;
use models::access::Access;
use models::job::JobId;
use models::limits::{MAX_OPEN_JOBS, PREVIEW_HOURS, REMOVED_MARK_HOURS};
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};
use tests::World;

use super::{applied, apply, changes, counts, lock, outcome, previewed, shown};
use crate::job_faults::Bed;
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, READER_TOKEN, SAM, SAM_TOKEN, access, acme_with, contact, contact_id, id,
    job, lines, portal, private, public, user,
};

/// Import lines of contacts with a tag.
fn tagged(ids: impl IntoIterator<Item = i64>, tag: &str) -> Vec<Value> {
    ids.into_iter().map(|id| contact(id, json!({"Tags": [tag]}))).collect()
}

async fn load(world: &World, values: Vec<Value>) {
    let values = std::iter::once(portal("acme", "Europe/Riga", 4)).chain(values);
    world.import(&lines(values)).await.unwrap();
}

/// Returns the access of a contact, by its record.
async fn access_of(world: &World, id: i64) -> Access {
    crate::portal::access_of(world, id).await.access
}

#[tokio::test]
async fn run_writes_exactly_the_previewed_contacts_that_nobody_changed_since() {
    let world = acme_with(tagged(1..=20, "vip").into_iter().chain(tagged(21..=26, "other"))).await;
    let body = json!({"tags": ["vip"], "isPrivate": true, "managerList": [MIKE]});
    let preview = previewed(&world, ADA_TOKEN, &body).await;
    // Six contacts start to match, one of them is new, and three previewed contacts are changed. One of the three gets
    // the target itself. A previewed contact that no longer matches is still written.
    load(&world, tagged(21..=25, "vip")).await;
    load(&world, tagged([27, 3], "vip").into_iter().chain(tagged([3], "other")).collect()).await;
    for (id, managers) in [(5, &[SAM][..]), (6, &[]), (7, &[MIKE])] {
        let body = json!({"isShared": false, "managerList": managers});
        assert_eq!(world.put(&format!("{id}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
    }
    let run = applied(&world, ADA_TOKEN, preview).await;

    let done = shown(&world, ADA_TOKEN, run).await;
    assert_eq!((&done["kind"], &done["state"], &done["applyOf"]), (&json!("filter"), &json!("done"), &json!(preview)));
    assert_eq!(counts(&done), [20, 17, 0, 0, 3, 0]);
    assert_eq!((&done["filter"]["tags"], &done["target"]["managerList"]), (&json!(["vip"]), &json!([MIKE])));
    let written: Vec<i64> = (1..=20).filter(|id| ![5, 6, 7].contains(id)).collect();
    for id in 1..=27 {
        let state = crate::portal::access_of(&world, id).await;
        assert_eq!(state.is_written_by(run), written.contains(&id), "contact {id}");
        let expected = match id {
            5 => private(&[SAM]),
            6 => private(&[]),
            1..=20 => private(&[MIKE]),
            _ => Access::UNRECORDED,
        };
        assert_eq!(state.access, expected, "contact {id}");
    }
    let changes = changes(&world, ADA_TOKEN, run).await;
    assert_eq!(changes.keys().copied().collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    for (id, change) in changes {
        let is_conflict = [5, 6, 7].contains(&id);
        assert_eq!((&change["conflict"], change["before"].is_null()), (&json!(is_conflict), is_conflict), "{change}");
    }

    // The run is undone like any other.
    let undo = job(&world.post(&format!("jobs/{run}/undo"), ADA_TOKEN).await.unwrap()).unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, undo).await), [17, 17, 0, 0, 0, 0]);
    assert_eq!((access_of(&world, 1).await, access_of(&world, 5).await), (Access::UNRECORDED, private(&[SAM])));
}

#[tokio::test]
async fn removed_contact_is_a_conflict_and_gets_no_record() {
    let world = acme_with(tagged(1..=4, "vip")).await;
    assert_eq!(world.put("2/access", ADA_TOKEN, &json!({"isShared": false})).await.unwrap().status, 200);
    let preview = previewed(&world, ADA_TOKEN, &lock(&[MIKE])).await;
    load(&world, [1, 2].map(|id| json!({"delete": {"contact": id}})).to_vec()).await;
    let run = applied(&world, ADA_TOKEN, preview).await;
    assert_eq!(counts(&shown(&world, ADA_TOKEN, run).await), [4, 2, 0, 0, 2, 0]);
    assert_eq!(access(&world, "acme", 1..=4).await.keys().copied().collect::<Vec<_>>(), [3, 4]);
}

#[tokio::test]
async fn late_run_gives_no_record_to_a_contact_whose_mark_has_expired() {
    let world = acme_with(tagged(1..=3, "vip")).await;
    let preview = previewed(&world, ADA_TOKEN, &lock(&[MIKE])).await;
    load(&world, vec![json!({"delete": {"contact": 1}})]).await;
    let reply = apply(&world, ADA_TOKEN, preview).await;
    // The run waits for so long that the table removes the mark of the removed contact.
    world.set_clock(world.app.now() + SignedDuration::from_hours(REMOVED_MARK_HOURS));
    let (pk, sk) = Key::Access(id("acme"), contact_id(1)).encode();
    let delete = world.client.delete_item().table_name(&world.table);
    delete.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, job(&reply).unwrap()).await), [3, 2, 0, 0, 1, 0]);
    assert_eq!(access(&world, "acme", 1..=3).await.keys().copied().collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn repeated_apply_answers_with_the_same_run() {
    let world = acme_with(tagged(1..=4, "vip")).await;
    let preview = previewed(&world, ADA_TOKEN, &lock(&[MIKE])).await;
    let replies = join_all((0..8).map(|_| apply(&world, ADA_TOKEN, preview))).await;
    let runs: Vec<Option<JobId>> = replies.iter().map(job).collect();
    assert!(runs[0].is_some() && runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    assert!(replies.iter().all(|reply| reply.status == 202));
    world.work().await.unwrap();
    let again = apply(&world, ADA_TOKEN, preview).await;
    assert_eq!((job(&again), &again.response()["state"]), (runs[0], &json!("done")));
    // An expired preview still answers with its run.
    world.set_clock(world.app.now() + SignedDuration::from_hours(PREVIEW_HOURS));
    assert_eq!(job(&apply(&world, ADA_TOKEN, preview).await), runs[0]);
    let jobs = world.get("jobs", ADA_TOKEN).await.unwrap().response();
    let kinds: BTreeSet<&str> = jobs.as_array().unwrap().iter().filter_map(|job| job["kind"].as_str()).collect();
    assert_eq!((jobs.as_array().map(Vec::len), kinds), (Some(2), BTreeSet::from(["filter", "preview"])));
}

#[tokio::test]
async fn only_a_finished_current_preview_of_the_caller_can_be_applied() {
    let world = acme_with(tagged(1..=4, "vip")).await;
    let preview = previewed(&world, MIKE_TOKEN, &lock(&[MIKE])).await;
    let run = job(&world.put("filter/access", ADA_TOKEN, &json!({"isPrivate": false})).await.unwrap()).unwrap();
    for (token, id, expected) in [
        (SAM_TOKEN, preview, "404 job-not-found"),
        (ADA_TOKEN, preview, "404 job-not-found"),
        (READER_TOKEN, preview, "403 scope-missing"),
        (ADA_TOKEN, run, "409 not-a-preview"),
        (ADA_TOKEN, JobId::from_u128(7), "404 job-not-found"),
    ] {
        assert_eq!(outcome(&apply(&world, token, id).await), expected);
    }
    for (body, headers) in [(r#"{"dryRun":true}"#, &[][..]), ("", &[("if-match", "\"1\"")])] {
        let path = format!("jobs/{preview}/apply");
        let reply = world.access_with("POST", &path, MIKE_TOKEN, body, headers).await.unwrap();
        assert_eq!(outcome(&reply), "400 invalid-request");
    }
    world.set_clock(world.app.now() + SignedDuration::from_hours(PREVIEW_HOURS));
    assert_eq!(outcome(&apply(&world, MIKE_TOKEN, preview).await), "410 preview-expired");
    let changes = world.get(&format!("jobs/{preview}/changes"), MIKE_TOKEN).await.unwrap();
    assert_eq!(outcome(&changes), "410 changes-expired");
    assert!(access(&world, "acme", 1..=4).await.values().all(|state| !state.access.share.is_private()));
}

#[tokio::test]
async fn run_acts_with_the_current_rights_of_its_user() {
    let world = acme_with(tagged(1..=4, "vip")).await;
    for (id, managers) in [(1, [SAM]), (2, [MIKE])] {
        let body = json!({"isShared": false, "managerList": managers});
        assert_eq!(world.put(&format!("{id}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
    }
    let preview = previewed(&world, ADA_TOKEN, &lock(&[])).await;
    load(&world, vec![user(ADA, "Ada", false)]).await;
    let run = applied(&world, ADA_TOKEN, preview).await;
    // Ada no longer sees contacts 1 and 2.
    assert_eq!(counts(&shown(&world, ADA_TOKEN, run).await), [2, 2, 0, 0, 0, 0]);
    assert_eq!((access_of(&world, 1).await, access_of(&world, 2).await), (private(&[SAM]), private(&[MIKE])));
    assert_eq!(access_of(&world, 3).await, private(&[]));
}

#[tokio::test]
async fn contact_that_the_user_sees_and_may_no_longer_edit_is_skipped() {
    let read_only = json!({"ShareType": 2, "AccessList": [{"Id": MIKE}], "Tags": ["vip"]});
    let world = acme_with([contact(1, read_only), contact(2, json!({}))]).await;
    let preview = previewed(&world, ADA_TOKEN, &lock(&[])).await;
    load(&world, vec![user(ADA, "Ada", false)]).await;
    let run = applied(&world, ADA_TOKEN, preview).await;
    assert_eq!(counts(&shown(&world, ADA_TOKEN, run).await), [2, 1, 0, 1, 0, 0]);
    assert_eq!(access_of(&world, 1).await.managers, [MIKE]);
}

#[tokio::test]
async fn run_makes_contacts_public_and_posts_new_managers() {
    let world = acme_with(tagged(1..=4, "vip")).await;
    let preview = previewed(&world, ADA_TOKEN, &json!({"isPrivate": false, "managerList": [SAM]})).await;
    applied(&world, ADA_TOKEN, preview).await;
    assert_eq!(access_of(&world, 4).await, public(&[SAM]));
    let listed = world.contact(&format!("filter?responsibleid={SAM}"), ADA_TOKEN).await.unwrap();
    assert_eq!(listed.response().as_array().map(Vec::len), Some(4));
    let none = world.contact(&format!("filter?responsibleid={NOBODY}"), ADA_TOKEN).await.unwrap();
    assert_eq!(none.response().as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn run_counts_for_the_limit_of_open_jobs() {
    let bed = Bed::new(1).await;
    let preview = bed.preview().await;
    bed.world.work().await.unwrap();
    for _ in 0..MAX_OPEN_JOBS {
        bed.enqueue().await;
    }
    assert_eq!(outcome(&apply(&bed.world, ADA_TOKEN, preview).await), "429 too-many-open-jobs");
    bed.world.work().await.unwrap();
    assert_eq!(apply(&bed.world, ADA_TOKEN, preview).await.status, 202);
}
