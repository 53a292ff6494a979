//! The changes of a job.

use std::collections::{BTreeMap, BTreeSet};

use models::access::ShareType;
use serde_json::{Value, json};
use tests::World;

use super::{accesses, after, counts, five, outcome, pages, queue, run, shown};
use crate::portal::{
    ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, acme, acme_with, contact, contact_id, contact_with, job, lines, portal, private,
};

#[tokio::test]
async fn changes_show_before_and_after_with_names() {
    let world = acme_with([
        contact_with(1, ShareType::Read, &[SAM, MIKE]),
        contact(2, json!({"DisplayName": "Anna & Co"})),
        contact_with(3, ShareType::None, &[MIKE]),
    ])
    .await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    let path = format!("jobs/{id}/changes");
    // Nothing is changed yet.
    assert_eq!(world.get(&path, ADA_TOKEN).await.unwrap().response(), json!([]));
    world.work().await.unwrap();
    let json = world.get(&path, ADA_TOKEN).await.unwrap();
    let xml = world.access_with("GET", &path, ADA_TOKEN, "", &[("accept", "text/xml")]).await.unwrap();
    assert_eq!(json.response().as_array().unwrap().len(), 2);
    let text = format!("{}\n{}\n", json.text, xml.text);
    crate::check_file("changes", &text.replace("><", ">\n<").replace(",\"", ",\n\""));
    let empty = world.access_with("GET", &format!("{path}?count=0"), ADA_TOKEN, "", &[("accept", "text/xml")]).await;
    assert_eq!(
        empty.unwrap().text,
        "<result><count>0</count><startIndex>0</startIndex><status>0</status><statusCode>200</statusCode></result>"
    );
}

#[tokio::test]
async fn changes_hide_names_of_contacts_no_longer_visible() {
    let world = acme_with([contact(1, json!({})), contact(2, json!({})), contact(3, json!({}))]).await;
    let id = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    let reply = world.put("2/access", ADA_TOKEN, &json!({"isShared": false, "managerList": [SAM]})).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    for (token, hidden) in [(MIKE_TOKEN, true), (ADA_TOKEN, false)] {
        let changes = world.get(&format!("jobs/{id}/changes"), token).await.unwrap().response();
        let names: BTreeMap<i64, String> = changes
            .as_array()
            .unwrap()
            .iter()
            .map(|change| (change["contactId"].as_i64().unwrap(), change["displayName"].as_str().unwrap().to_owned()))
            .collect();
        let second = if hidden { "" } else { "Contact 2" };
        assert_eq!(names, [(1, "Contact 1"), (2, second), (3, "Contact 3")].map(|(id, n)| (id, n.to_owned())).into());
        // The caller may see the access that its own job set.
        assert!(changes.as_array().unwrap().iter().all(|change| change["after"]["shareType"] == 0));
    }
}

#[tokio::test]
async fn removed_contact_has_no_name_in_changes() {
    let world = acme_with([contact(1, json!({}))]).await;
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let removed = lines([portal("acme", "Europe/Riga", 4), json!({"delete": {"contact": 1}})]);
    world.import(&removed).await.unwrap();
    let changes = world.get(&format!("jobs/{}/changes", job(&reply).unwrap()), ADA_TOKEN).await.unwrap().response();
    assert_eq!((&changes[0]["contactId"], &changes[0]["displayName"]), (&json!(1), &json!("")));
}

/// Returns the contacts of changes.
fn changed(changes: &[Value]) -> Vec<i64> {
    changes.iter().map(|change| change["contactId"].as_i64().unwrap()).collect()
}

/// Checks that each of the contacts from 1 on appears in the changes exactly once.
fn assert_each_once(changes: &[Value], contacts: usize, what: &str) {
    let distinct: BTreeSet<i64> = changed(changes).into_iter().collect();
    assert_eq!((changes.len(), distinct.len()), (contacts, contacts), "{what}");
    assert_eq!((distinct.first(), distinct.last()), (Some(&1), Some(&i64::try_from(contacts).unwrap())), "{what}");
}

#[tokio::test]
async fn pages_of_changes_are_complete_across_shards() {
    let world = acme_with((1..=60).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    let path = format!("jobs/{id}/changes");
    // Two shards are finished, the others not started.
    for _ in 0..2 {
        world.jobs().work(&world.queue.take().unwrap(), &jobs::Deadline::never()).await.unwrap();
    }
    let so_far: BTreeSet<i64> = (1..=60).filter(|id| contact_id(*id).shard(4) < 2).collect();
    for size in [1, 7, 1000] {
        let changes = pages(&world, &path, ADA_TOKEN, size).await;
        assert_eq!((changes.len(), changed(&changes).into_iter().collect()), (so_far.len(), so_far.clone()), "{size}");
    }
    world.work().await.unwrap();
    let complete = pages(&world, &path, ADA_TOKEN, 1000).await;
    for size in [1, 2, 7, 13, 59, 60, 61] {
        let changes = pages(&world, &path, ADA_TOKEN, size).await;
        assert_each_once(&changes, 60, &format!("pages of {size}"));
        assert_eq!(changed(&changes), changed(&complete), "{size}");
    }
}

#[tokio::test]
async fn pages_of_changes_are_complete_across_chunks_and_undo_restores_all() {
    let mut values = acme();
    values[0] = portal("acme", "Europe/Riga", 1);
    values.extend(
        (1..=2500)
            .map(|id| if id % 100 == 0 { contact_with(id, ShareType::Read, &[SAM]) } else { contact(id, json!({})) }),
    );
    let world = World::with(&lines(values)).await.unwrap();
    let before = accesses(&world, 1..=2500).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    world.work().await.unwrap();
    let path = format!("jobs/{id}/changes");
    for size in [1000, 999, 617] {
        assert_each_once(&pages(&world, &path, ADA_TOKEN, size).await, 2500, &format!("pages of {size}"));
    }
    // Pages around the ends of chunks.
    let complete = changed(&pages(&world, &path, ADA_TOKEN, 1000).await);
    for start in [0, 1, 998, 999, 1000, 1001, 1999, 2000, 2001, 2498, 2499, 2500] {
        let reply = world.get(&format!("{path}?count=3&startIndex={start}"), ADA_TOKEN).await.unwrap();
        let page = changed(reply.response().as_array().unwrap());
        let end = (start + 3).min(2500);
        assert_eq!(page, complete[start..end], "{start}");
        assert_eq!(reply.count("x-next-index"), (start + 3 < 2500).then_some(start as u64 + 3), "{start}");
    }

    let again: BTreeSet<i64> = [complete[0], complete[1200], complete[2499]].into();
    for contact in &again {
        let reply = world.put(&format!("{contact}/access"), ADA_TOKEN, &json!({"isShared": false})).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    let undo = world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    world.work().await.unwrap();
    let undo = job(&undo).unwrap();
    let done = shown(&world, ADA_TOKEN, undo).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [2500, 2497, 0, 0, 3, 0]));
    let restored = accesses(&world, 1..=2500).await;
    for (contact, is) in restored {
        let expected = if again.contains(&i64::from(contact)) { &private(&[]) } else { &before[&contact] };
        assert_eq!(&is, expected, "contact {contact}");
    }
    let changes = pages(&world, &format!("jobs/{undo}/changes"), ADA_TOKEN, 900).await;
    assert_each_once(&changes, 2500, "undo");
    let conflicts = changes.iter().filter(|change| change["conflict"] == true).cloned().collect::<Vec<_>>();
    assert_eq!(changed(&conflicts).into_iter().collect::<BTreeSet<_>>(), again);
}

#[tokio::test]
async fn changes_of_a_run_expire_after_ninety_days_and_its_record_never() {
    const DAY: i64 = 86400;
    let world = acme_with(five()).await;
    let single = world.put("1/access", ADA_TOKEN, &json!({"isShared": true, "managerList": [SAM]})).await.unwrap();
    let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[]).await;
    let (single, id) = (job(&single).unwrap(), job(&reply).unwrap());
    let changes = format!("jobs/{id}/changes");
    world.set_clock(after(90 * DAY - 1));
    assert_eq!(world.get(&changes, ADA_TOKEN).await.unwrap().response().as_array().unwrap().len(), 4);
    world.set_clock(after(90 * DAY));
    assert_eq!(outcome(&world.get(&changes, ADA_TOKEN).await.unwrap()), "410 changes-expired");
    assert_eq!(outcome(&world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap()), "410 changes-expired");
    assert_eq!(shown(&world, ADA_TOKEN, id).await["updated"], 4);
    // A single change is stored in its job's record.
    let changes = world.get(&format!("jobs/{single}/changes"), ADA_TOKEN).await.unwrap();
    assert_eq!(changes.response()[0]["after"]["accessList"][0]["id"], json!(SAM));
    assert_eq!(world.post(&format!("jobs/{single}/undo"), ADA_TOKEN).await.unwrap().status, 202);
}
