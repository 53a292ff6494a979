//! The history of a contact's access, and the parts that each caller sees.

use jiff::SignedDuration;
use models::access::ShareType;
use models::values::id::UserId;
use serde_json::{Value, json};
use tests::World;

use super::{contact_shown, outcome, set, set_all, undo};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, acme_with, contact, contact_with, lines, portal,
};

/// Returns a state as the history shows it, with the identifiers of its managers.
fn state(shown: &Value) -> Option<(u64, Vec<String>)> {
    let share = shown["shareType"].as_u64()?;
    let managers = shown["accessList"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned());
    Some((share, managers.collect()))
}

fn of(share: u64, managers: &[UserId]) -> Option<(u64, Vec<String>)> {
    Some((share, managers.iter().map(ToString::to_string).collect()))
}

type Shown = (Option<String>, Option<(u64, Vec<String>)>, Option<(u64, Vec<String>)>);

/// Returns the entries of a contact: the job or the source, the state before and the state after.
async fn history(world: &World, path: &str, token: &str) -> Vec<Shown> {
    let listed = contact_shown(world, path, token).await;
    let entries = listed.as_array().unwrap().iter().map(|entry| {
        let name = entry["job"]["id"].as_str().or(entry["source"].as_str()).map(str::to_owned);
        (name, state(&entry["before"]), state(&entry["after"]))
    });
    entries.collect()
}

fn changed(job: impl ToString, before: Option<(u64, Vec<String>)>, after: Option<(u64, Vec<String>)>) -> Shown {
    (Some(job.to_string()), before, after)
}

#[tokio::test]
async fn history_leads_from_the_latest_change_to_the_import() {
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE]), contact(2, json!({}))]).await;
    let first = set(&world, MIKE_TOKEN, 1, true, &[MIKE, SAM]).await;
    let all = set_all(&world, ADA_TOKEN, &[ADA, MIKE]).await;
    let undone = undo(&world, ADA_TOKEN, all).await;
    let last = set(&world, SAM_TOKEN, 1, false, &[SAM, ADA]).await;
    let expected = [
        changed(last, of(1, &[MIKE, SAM]), of(0, &[SAM, ADA])),
        changed(undone, of(0, &[ADA, MIKE]), of(1, &[MIKE, SAM])),
        changed(all, of(1, &[MIKE, SAM]), of(0, &[ADA, MIKE])),
        changed(first, of(0, &[MIKE]), of(1, &[MIKE, SAM])),
        changed("loaded", None, of(0, &[MIKE])),
    ];
    assert_eq!(history(&world, "1/access/history", ADA_TOKEN).await, expected);
    assert_eq!(history(&world, "1/access/history?count=2", ADA_TOKEN).await, expected[..2]);
    assert_eq!(history(&world, "1/access/history?count=0", ADA_TOKEN).await, []);
    // A contact without an access record is public.
    let two = history(&world, "2/access/history", ADA_TOKEN).await;
    assert_eq!(two.last(), Some(&changed("loaded", None, of(1, &[]))));
    assert_eq!(two.len(), 3);
    let shown = contact_shown(&world, "1/access/history?count=2", ADA_TOKEN).await;
    assert_eq!(
        (&shown[0]["job"]["kind"], &shown[0]["job"]["createdBy"]["displayName"]),
        (&json!("contact"), &json!("Sam"))
    );
    assert_eq!((&shown[1]["job"]["kind"], &shown[1]["job"]["undoOf"]), (&json!("undo"), &json!(all.to_string())));
    assert_eq!(shown[0].get("source"), None);
}

#[tokio::test]
async fn other_users_see_only_states_in_which_they_see_the_contact() {
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let first = set(&world, MIKE_TOKEN, 1, true, &[MIKE, SAM]).await;
    let hidden = set(&world, ADA_TOKEN, 1, false, &[ADA]).await;
    set(&world, ADA_TOKEN, 1, false, &[ADA, MIKE]).await;
    let last = set(&world, ADA_TOKEN, 1, true, &[ADA, SAM]).await;
    // Sam is a manager of the shared contact, and was a stranger to the private contact.
    assert_eq!(
        history(&world, "1/access/history", SAM_TOKEN).await,
        [
            changed(last, None, of(1, &[SAM])),
            changed(hidden, of(1, &[SAM]), None),
            changed(first, None, of(1, &[SAM])),
            changed("loaded", None, None),
        ]
    );
    // Mike's own job shows what it did. Both states of a private contact show its whole list to a manager.
    let mikes = history(&world, "1/access/history", MIKE_TOKEN).await;
    assert_eq!(mikes.len(), 5);
    assert_eq!(mikes[0], changed(last, of(0, &[ADA, MIKE]), of(1, &[])));
    assert_eq!(mikes[2], changed(hidden, of(1, &[MIKE]), None));
    assert_eq!(mikes[3], changed(first, of(0, &[MIKE]), of(1, &[MIKE])));
    assert_eq!(mikes[4], changed("loaded", None, of(0, &[MIKE])));
    let shown = contact_shown(&world, "1/access/history", SAM_TOKEN).await.to_string();
    assert_eq!(shown.matches(&MIKE.to_string()).count(), 1, "{shown}");
}

#[tokio::test]
async fn own_change_that_hid_the_contact_is_shown_and_a_hidden_contact_is_missing() {
    let world = acme_with([contact(1, json!({}))]).await;
    set(&world, SAM_TOKEN, 1, false, &[MIKE]).await;
    for (path, token, expected) in [
        ("1/access/history", SAM_TOKEN, "404 contact-not-found"),
        ("1/access/history?count=x", ADA_TOKEN, "400 invalid-request"),
        ("7/access/history", ADA_TOKEN, "404 contact-not-found"),
    ] {
        assert_eq!(outcome(&world.contact(path, token).await.unwrap()), expected, "{path}");
    }
    set(&world, MIKE_TOKEN, 1, true, &[]).await;
    let sams = history(&world, "1/access/history", SAM_TOKEN).await;
    assert_eq!((&sams[1].1, &sams[1].2), (&of(1, &[]), &of(0, &[MIKE])));
    // The state before Mike's change is the state that Sam's own change set, but Mike's change does not show it.
    assert_eq!((&sams[0].1, &sams[0].2), (&None, &of(1, &[])));
}

#[tokio::test]
async fn history_ends_where_changes_have_expired_and_at_an_import_that_sets_the_access() {
    let world = acme_with([contact(1, json!({})), contact(2, json!({}))]).await;
    set(&world, ADA_TOKEN, 1, true, &[SAM]).await;
    let all = set_all(&world, ADA_TOKEN, &[MIKE]).await;
    world.set_clock(world.app.now() + SignedDuration::from_hours(24 * 91));
    let last = set(&world, ADA_TOKEN, 1, true, &[ADA]).await;
    assert_eq!(
        history(&world, "1/access/history", ADA_TOKEN).await,
        [changed(last, of(0, &[MIKE]), of(1, &[ADA])), changed("expired", None, of(0, &[MIKE]))]
    );
    let why = contact_shown(&world, "2/access/why", ADA_TOKEN).await;
    assert_eq!(why["setBy"]["id"], json!(all.to_string()));
    let again = [portal("acme", "Europe/Riga", 4), contact_with(1, ShareType::Read, &[MIKE])];
    world.import_as(&lines(again), true).await.unwrap();
    assert_eq!(history(&world, "1/access/history", ADA_TOKEN).await, [changed("loaded", None, of(2, &[MIKE]))]);
}
