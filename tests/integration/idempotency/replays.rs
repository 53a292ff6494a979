//! Calls that are repeated with their key.

use serde_json::{Value, json};

use super::{KEY, after, call, essence, filter, five, jobs, later, outcome, rule, send, send_with, single, twice};
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access, contact, job, lines};

#[tokio::test]
async fn repeated_change_gets_the_same_answer_and_is_made_once() {
    for call in [
        single(&[MIKE]),
        // Contacts that already match start no job. The replay repeats this answer.
        call("PUT", "contact/5/access", json!({"isShared": false, "managerList": [ADA]})),
        call("PUT", "contact/1/access?dryRun=true", json!({"isShared": false})),
        call("PUT", "contact/access", json!({"contactid": [1, 2], "isShared": false})),
        call("PUT", "contact/access?dryRun=true", json!({"contactid": [1, 2], "isShared": false})),
        filter("", &[MIKE]),
        filter("?count=2&startIndex=1", &[MIKE]),
        filter("?maxAffected=5", &[MIKE]),
        filter("?dryRun=true", &[MIKE]),
        later("", &[MIKE]),
        rule("nightly", "0 2 * * *"),
    ] {
        twice(&five().await, ADA_TOKEN, &call).await;
    }
}

#[tokio::test]
async fn replay_repeats_an_xml_answer() {
    for mut call in [single(&[MIKE]), filter("", &[MIKE]), later("", &[MIKE])] {
        call.headers.push(("accept", "text/xml"));
        let (first, _) = twice(&five().await, ADA_TOKEN, &call).await;
        assert!(first.text.starts_with("<result>"), "{}", first.text);
    }
}

#[tokio::test]
async fn repeated_undo_and_cancel_act_once() {
    let world = five().await;
    let locked = job(&send_with(&world, ADA_TOKEN, &[], &filter("", &[MIKE])).await).unwrap();
    let undo = call("POST", format!("access/jobs/{locked}/undo"), Value::Null);
    let (first, _) = twice(&world, ADA_TOKEN, &undo).await;
    let undoing = job(&first).unwrap();
    world.work().await.unwrap();
    let state = access(&world, "acme", 1..=5).await;
    // The replay shows the job as it was at the first call.
    assert_eq!((first.status.as_u16(), essence(&send(&world, &undo).await)), (202, essence(&first)));
    let done = world.get(&format!("jobs/{undoing}"), ADA_TOKEN).await.unwrap();
    assert_eq!(done.json()["response"]["state"], "done");
    assert_eq!((world.work().await.unwrap(), access(&world, "acme", 1..=5).await, jobs(&world).await), (0, state, 2));

    let world = five().await;
    let queued = job(&send_with(&world, ADA_TOKEN, &[], &later("", &[MIKE])).await).unwrap();
    let cancel = call("POST", format!("access/jobs/{queued}/cancel"), Value::Null);
    twice(&world, ADA_TOKEN, &cancel).await;
    world.work().await.unwrap();
    // Without the key, the call is refused because the job has ended.
    let again = send(&world, &cancel).await;
    assert_eq!((again.status.as_u16(), &again.json()["response"]["state"]), (200, &json!("cancelled")));
    assert_eq!(outcome(&send_with(&world, ADA_TOKEN, &[], &cancel).await), "409 job-over");
}

#[tokio::test]
async fn replay_of_a_queued_run_shows_its_job() {
    let world = five().await;
    let first = send(&world, &later("", &[MIKE])).await;
    world.work().await.unwrap();
    let state = access(&world, "acme", 1..=5).await;
    let again = send(&world, &later("", &[MIKE])).await;
    assert_eq!((again.status.as_u16(), essence(&again)), (202, essence(&first)));
    assert_eq!((world.work().await.unwrap(), access(&world, "acme", 1..=5).await, jobs(&world).await), (0, state, 1));
}

#[tokio::test]
async fn replay_repeats_the_preference_applied_header() {
    let world = five().await;
    for _ in 0..2 {
        assert_eq!(send(&world, &later("", &[MIKE])).await.header("preference-applied"), "respond-async");
    }
}

#[tokio::test]
async fn replay_succeeds_after_caller_lost_access() {
    for (token, call) in [
        (MIKE_TOKEN, single(&[])),
        (MIKE_TOKEN, filter("", &[])),
        (SAM_TOKEN, filter("", &[MIKE])),
        (SAM_TOKEN, filter("?count=1", &[ADA])),
    ] {
        let world = five().await;
        twice(&world, token, &call).await;
        let denied = world.put("1/access", token, &json!({"isShared": true})).await.unwrap();
        assert_eq!(outcome(&denied), "404 contact-not-found");
    }
}

#[tokio::test]
async fn later_changes_by_others_do_not_change_a_replay() {
    for call in [single(&[MIKE]), filter("", &[MIKE]), filter("?count=2", &[MIKE])] {
        let world = five().await;
        let first = send(&world, &call).await;
        world.set_clock(after(3600));
        for contact in 1..=5 {
            let body = json!({"isShared": contact % 2 == 0, "managerList": [SAM]});
            assert_eq!(world.put(&format!("{contact}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
        }
        let created =
            [crate::portal::portal("acme", "Europe/Riga", 4), contact(6, json!({"Created": "2026-01-01T00:30:00Z"}))];
        world.import(&lines(created)).await.unwrap();
        let state = access(&world, "acme", 1..=6).await;
        let again = send(&world, &call).await;
        assert_eq!(essence(&again), essence(&first), "{call:?}");
        assert_eq!(access(&world, "acme", 1..=6).await, state, "{call:?}");
    }
}

#[tokio::test]
async fn replay_of_a_run_shows_the_contacts_its_caller_could_edit_then() {
    let world = five().await;
    let call = filter("", &[MIKE]);
    let first = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    assert_eq!(first.ids(), [3, 2, 1], "{}", first.text);
    // Everyone may now edit contact 4, which Mike could only see before. Contact 2 is now hidden from Mike.
    for (contact, is_shared) in [(4, true), (2, false)] {
        let body = json!({"isShared": is_shared, "managerList": [SAM]});
        assert_eq!(world.put(&format!("{contact}/access"), ADA_TOKEN, &body).await.unwrap().status, 200);
    }
    let again = send_with(&world, MIKE_TOKEN, &[KEY], &call).await;
    // The replay shows the same contacts, except the contact that Mike may no longer see.
    assert_eq!(again.ids(), [3, 1]);
    assert_eq!(essence(&again).2, essence(&first).2);
}

#[tokio::test]
async fn repeated_calls_set_and_remove_a_rule_once() {
    let world = five().await;
    let put = rule("nightly", "0 2 * * *");
    let (first, _) = twice(&world, ADA_TOKEN, &put).await;
    let delete = call("DELETE", "access/rules/nightly", Value::Null);
    let removed = send_with(&world, ADA_TOKEN, &["remove-1"], &delete).await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    // A replay of the first call does not restore the rule.
    let again = send(&world, &put).await;
    assert_eq!(essence(&again), essence(&first));
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([]));

    // A replay of the removal does not remove the rule set since.
    assert_eq!(send_with(&world, ADA_TOKEN, &["put-2"], &put).await.status, 200);
    let removed = send_with(&world, ADA_TOKEN, &["remove-1"], &delete).await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    assert_eq!(world.get("rules/nightly", ADA_TOKEN).await.unwrap().status, 200);
}

#[tokio::test]
async fn replay_keeps_a_rule_changed_since() {
    let world = five().await;
    let first = send(&world, &rule("nightly", "0 2 * * *")).await;
    world.set_clock(after(60));
    assert_eq!(send_with(&world, ADA_TOKEN, &[], &rule("nightly", "0 5 * * *")).await.status, 200);
    assert_eq!(essence(&send(&world, &rule("nightly", "0 2 * * *")).await), essence(&first));
    assert_eq!(world.get("rules/nightly", ADA_TOKEN).await.unwrap().json()["response"]["cron"], "0 5 * * *");
}
