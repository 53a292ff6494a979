//! Previews of runs over named contacts.

use serde_json::{Value, json};
use tests::{Reply, World};

use super::{ASYNC, applied, changes, counts, outcome, shown};
use crate::portal::{
    ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, access, acme_with, contact, contact_id, job, lines, of_every_access, portal,
    private,
};

/// Requests a preview of a change of these contacts.
async fn ask(world: &World, token: &str, contacts: &[i64], change: &Value) -> Reply {
    let mut body = change.clone();
    body["contactid"] = json!(contacts);
    world.put_with("access?dryRun=true&note=Spring", token, &body.to_string(), &[ASYNC]).await.unwrap()
}

#[tokio::test]
async fn preview_of_named_contacts_shows_the_run_and_its_effect() {
    let world = acme_with(of_every_access()).await;
    let before = access(&world, "acme", 1..=6).await;
    let reply = ask(&world, ADA_TOKEN, &[6, 4, 2, 1], &json!({"isShared": false, "managerList": [MIKE]})).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, "respond-async"), "{}", reply.text);
    let preview = job(&reply).unwrap();
    world.work().await.unwrap();

    let done = shown(&world, ADA_TOKEN, preview).await;
    assert_eq!((&done["kind"], &done["state"], &done["filter"]), (&json!("preview"), &json!("done"), &Value::Null));
    assert_eq!((counts(&done), &done["note"]), ([4, 3, 1, 0, 0, 0], &json!("Spring")));
    assert_eq!(done["target"], json!({"isPrivate": true, "managerList": [MIKE]}));
    // Contacts 1 and 4 are shared, contact 6 is private to administrators.
    assert_eq!((&done["losesAny"], &done["becomePrivate"], &done["becomeShared"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!((&done["gains"]["users"], &done["loses"]["users"]), (&json!(1), &json!(1)));
    let changes = changes(&world, ADA_TOKEN, preview).await;
    assert_eq!(changes.keys().copied().collect::<Vec<_>>(), [1, 4, 6]);
    assert_eq!((&changes[&4]["before"]["shareType"], &changes[&4]["after"]["shareType"]), (&json!(2), &json!(0)));
    assert_eq!(access(&world, "acme", 1..=6).await, before);
}

#[tokio::test]
async fn run_writes_exactly_the_previewed_contacts_and_can_be_undone() {
    let world = acme_with((1..=8).map(|id| contact(id, json!({})))).await;
    let preview =
        job(&ask(&world, ADA_TOKEN, &[1, 2, 3, 4, 5, 6], &json!({"addManagers": [MIKE], "isShared": false})).await);
    let preview = preview.unwrap();
    world.work().await.unwrap();
    // Two previewed contacts are changed, and one is removed.
    for id in [2, 3] {
        let body = json!({"isShared": false, "managerList": [SAM]});
        assert_eq!(world.put(&format!("{id}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
    }
    let removal = [portal("acme", "Europe/Riga", 4), json!({"delete": {"contact": 4}})];
    world.import(&lines(removal)).await.unwrap();
    let run = applied(&world, ADA_TOKEN, preview).await;

    let done = shown(&world, ADA_TOKEN, run).await;
    assert_eq!((&done["kind"], &done["applyOf"], &done["filter"]), (&json!("contacts"), &json!(preview), &Value::Null));
    assert_eq!((counts(&done), &done["note"]), ([6, 3, 0, 0, 3, 0], &json!("Spring")));
    let listed = world.get("jobs?kind=contacts", ADA_TOKEN).await.unwrap().response();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &json!(run)));
    let after = access(&world, "acme", 1..=8).await;
    let managers = |id: i64| after.get(&contact_id(id).get()).map(|state| state.access.clone());
    for id in 1..=8 {
        let expected = match id {
            1 | 5 | 6 => Some(private(&[MIKE])),
            2 | 3 => Some(private(&[SAM])),
            _ => None,
        };
        assert_eq!(managers(id).filter(|access| access.share.is_private()), expected, "contact {id}");
    }

    let undo = job(&world.post(&format!("jobs/{run}/undo"), ADA_TOKEN).await.unwrap()).unwrap();
    world.work().await.unwrap();
    assert_eq!(counts(&shown(&world, ADA_TOKEN, undo).await), [3, 3, 0, 0, 0, 0]);
    let after = access(&world, "acme", 1..=8).await;
    assert!([1, 5, 6].iter().all(|id| after.get(id).is_none_or(|state| !state.access.share.is_private())), "{after:?}");
}

#[tokio::test]
async fn contact_that_the_caller_may_not_change_makes_no_preview() {
    let world = acme_with(of_every_access()).await;
    let change = json!({"isShared": false, "managerList": [MIKE]});
    for (token, contacts, expected) in [
        (ADA_TOKEN, vec![1, 99], "404 contact-not-found"),
        (MIKE_TOKEN, vec![1, 3], "404 contact-not-found"),
        (MIKE_TOKEN, vec![1, 4], "403 edit-forbidden"),
    ] {
        assert_eq!(outcome(&ask(&world, token, &contacts, &change).await), expected);
    }
    assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response(), json!([]));
}
