//! Snapshots: how many contacts are private, shared for editing and shared for reading.

use std::collections::BTreeMap;

use models::access::ShareType;
use serde_json::{Value, json};
use tests::World;
use tests::faults::{Calls, Fault};

use super::{outcome, set_all, shown};
use crate::job_faults::{Bed, for_each_death};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, READER_TOKEN, SAM, access, acme_with, contact, job, lines, shown_at, user,
};

/// Starts a snapshot.
async fn start(world: &World) -> String {
    let reply = world.post("snapshots?note=monthly", ADA_TOKEN).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    assert_eq!((&reply.response()["kind"], &reply.response()["state"]), (&json!("snapshot"), &json!("queued")));
    assert!(reply.header("location").ends_with(reply.header("x-job-id")));
    job(&reply).unwrap().to_string()
}

/// Counts of contacts that are private, shared for editing and shared for reading.
type Counts = [u64; 3];

fn counts(shown: &Value) -> Counts {
    ["private", "sharedForEditing", "sharedForReading"].map(|name| shown[name].as_u64().unwrap())
}

fn add(counts: &mut Counts, share: ShareType) {
    counts[match share {
        ShareType::None => 0,
        ShareType::ReadWrite => 1,
        ShareType::Read => 2,
    }] += 1;
}

/// Returns the counts of the latest snapshot: of all contacts, by stage, and by tag.
fn parts(snapshot: &Value) -> (Counts, BTreeMap<i64, Counts>, BTreeMap<String, Counts>) {
    let stages = snapshot["stages"].as_array().unwrap().iter();
    let stages = stages.map(|stage| (stage["id"].as_i64().unwrap(), counts(stage)));
    let tags = snapshot["tags"].as_array().unwrap().iter();
    let tags = tags.map(|tag| (tag["title"].as_str().unwrap().to_owned(), counts(tag)));
    (counts(&snapshot["all"]), stages.collect(), tags.collect())
}

#[tokio::test]
async fn snapshot_equals_a_count_of_every_contact() {
    const TAGS: [&str; 4] = ["VIP", "riga", "Ä b", "rare"];
    let tags_of = |id: i64| TAGS.iter().zip(2_i64..).filter(move |(_, every)| id % every == 0).map(|(tag, _)| *tag);
    let share_of = |id: i64| ShareType::ALL[usize::try_from(id * 7 / 3 % 3).unwrap()];
    let world = acme_with((1..=60).map(|id| {
        let tags: Vec<&str> = tags_of(id).collect();
        contact(
            id,
            json!({
                "ContactStatus": {"id": id % 3}, "Tags": tags, "ShareType": share_of(id).number(),
                "AccessList": [{"Id": MIKE}],
            }),
        )
    }))
    .await;
    let (mut all, mut stages, mut tags) = ([0; 3], BTreeMap::from([(3, [0; 3])]), BTreeMap::new());
    for id in 1..=60 {
        add(&mut all, share_of(id));
        add(stages.entry(id % 3).or_default(), share_of(id));
        tags_of(id).for_each(|tag| add(tags.entry(tag.to_owned()).or_default(), share_of(id)));
    }
    let writes_before = access(&world, "acme", 1..=60).await;
    let id = start(&world).await;
    world.work().await.unwrap();
    let snapshot = shown(&world, "snapshots/latest", READER_TOKEN).await;
    assert_eq!(parts(&snapshot), (all, stages, tags));
    assert_eq!((&snapshot["jobId"], &snapshot["created"]), (&json!(id), &shown_at(world.app.now())));
    assert_eq!((&snapshot["stages"][0]["id"], &snapshot["stages"][0]["title"]), (&json!(0), &json!("")));
    assert_eq!(snapshot["stages"][1]["title"], "Stage 1");
    // The job changes nothing.
    let done = shown(&world, &format!("jobs/{id}"), ADA_TOKEN).await;
    let numbers = ["matched", "updated", "percent"].map(|name| done[name].as_u64().unwrap());
    assert_eq!((&done["state"], numbers, &done["note"]), (&json!("done"), [60, 0, 100], &json!("monthly")));
    assert_eq!(access(&world, "acme", 1..=60).await, writes_before);
    assert_eq!(shown(&world, &format!("jobs/{id}/changes"), ADA_TOKEN).await, json!([]));
    assert_eq!(shown(&world, "jobs?kind=snapshot", ADA_TOKEN).await[0]["id"], json!(id));
    let undo = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!(outcome(&undo), "409 nothing-to-undo");
    assert!(shown(&world, "jobs/daily", ADA_TOKEN).await.as_array().unwrap().iter().all(|day| day["jobs"] == 0));

    // The next snapshot replaces the first.
    set_all(&world, ADA_TOKEN, &[SAM]).await;
    world.set_clock("2026-01-02T00:00:00Z".parse().unwrap());
    let next = start(&world).await;
    assert_eq!(shown(&world, "snapshots/latest", ADA_TOKEN).await, snapshot);
    world.work().await.unwrap();
    let snapshot = shown(&world, "snapshots/latest", ADA_TOKEN).await;
    assert_eq!((&snapshot["jobId"], counts(&snapshot["all"])), (&json!(next), [60, 0, 0]));
}

#[tokio::test]
async fn snapshot_of_a_former_administrator_fails_and_keeps_the_latest() {
    let world = acme_with([contact(1, json!({}))]).await;
    let first = start(&world).await;
    world.work().await.unwrap();
    let second = start(&world).await;
    let role = |is_admin| lines([json!({"portal": {"Id": "acme"}}), user(ADA, "Ada", is_admin)]);
    world.import(&role(false)).await.unwrap();
    world.work().await.unwrap();
    let failed = shown(&world, &format!("jobs/{second}"), ADA_TOKEN).await;
    assert_eq!((&failed["state"], &failed["matched"]), (&json!("failed"), &json!(0)), "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("administrators"), "{failed}");
    world.import(&role(true)).await.unwrap();
    assert_eq!(shown(&world, "snapshots/latest", ADA_TOKEN).await["jobId"], json!(first));
}

#[tokio::test]
async fn snapshots_belong_to_administrators() {
    let world = acme_with([contact(1, json!({}))]).await;
    for (method, path, token, expected) in [
        ("POST", "snapshots", MIKE_TOKEN, "403 administrators-only"),
        ("GET", "snapshots/latest", MIKE_TOKEN, "403 administrators-only"),
        ("POST", "snapshots", READER_TOKEN, "403 scope-missing"),
        ("GET", "snapshots/latest", ADA_TOKEN, "404 snapshot-not-found"),
        ("POST", "snapshots?x=1", ADA_TOKEN, "400 invalid-request"),
    ] {
        let reply = world.access_with(method, path, token, "", &[]).await.unwrap();
        assert_eq!(outcome(&reply), expected, "{method} {path}");
    }
    start(&world).await;
    assert_eq!(outcome(&world.get("snapshots/latest", ADA_TOKEN).await.unwrap()), "404 snapshot-not-found");
    world.work().await.unwrap();
    assert_eq!(outcome(&world.get("snapshots/latest", MIKE_TOKEN).await.unwrap()), "403 administrators-only");
}

#[tokio::test]
async fn snapshot_counts_no_contact_twice_although_its_worker_dies_at_any_call() {
    for_each_death(15, async |number, when| {
        let bed = Bed::new(2).await;
        let (mut all, mut stages) = ([0; 3], BTreeMap::<i64, Counts>::new());
        for id in bed.numbers() {
            let share = bed.original(id.try_into().unwrap()).access.share;
            add(&mut all, share);
            add(stages.entry(id * 2 % 24).or_default(), share);
        }
        start(&bed.world).await;
        let worker = bed.process().await;
        worker.proxy.inject(Calls::numbered(number).meet(Fault::Die(when)));
        while let Some(message) = bed.world.queue.take()
            && worker.work(&message).await.is_ok()
        {}
        bed.recover().await;
        let snapshot = shown(&bed.world, "snapshots/latest", ADA_TOKEN).await;
        let (of_all, mut of_stages, of_tags) = parts(&snapshot);
        of_stages.retain(|_, counts| *counts != [0; 3]);
        assert_eq!((of_all, of_stages, of_tags), (all, stages, BTreeMap::new()), "call {number}");
        worker.proxy.is_dead()
    })
    .await;
}
