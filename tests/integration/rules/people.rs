//! Owners and managers of rules.

use aws_sdk_dynamodb::types::AttributeValue;
use models::access::{Access, ShareType};
use models::values::id::UserId;
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};
use tests::World;

use super::{FIRST, counts, delete, jobs, nightly, put, rule, set, shown_at, three, wake_at, with};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, access_of, acme_with, contact, contact_with, id, lines, portal,
    private, user,
};

/// Removes a user from the portal.
pub(crate) async fn dismiss(world: &World, user: UserId) {
    let (pk, sk) = Key::User(id("acme"), user).encode();
    let request = world.client.delete_item().table_name(&world.table);
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
}

#[tokio::test]
async fn rule_of_a_removed_owner_reports_it_and_runs_again_once_set() {
    let world = three().await;
    set(&world, SAM_TOKEN, "nightly", &nightly()).await;
    dismiss(&world, SAM).await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    let stuck = rule(&world, "nightly").await;
    assert!(stuck["lastError"].as_str().unwrap().contains("no longer in the portal"), "{stuck}");
    assert_eq!((&stuck["nextRun"], &stuck["lastJob"]), (&shown_at("2026-01-03T00:00:00Z"), &Value::Null));
    assert_eq!(jobs(&world).await.len(), 0);
    let again = set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!((&again["lastError"], &again["createdBy"]), (&Value::Null, &json!(ADA)));
    assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (1, 0));
    assert_eq!(rule(&world, "nightly").await["lastError"], Value::Null);
}

#[tokio::test]
async fn rule_with_a_removed_manager_reports_it_and_runs_again_once_restored() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    dismiss(&world, MIKE).await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    let stuck = rule(&world, "nightly").await;
    assert!(stuck["lastError"].as_str().unwrap().contains(&MIKE.to_string()), "{stuck}");
    // Mike stays in the rule that names him, and cannot come into another rule.
    for enabled in [false, true] {
        let kept = set(&world, ADA_TOKEN, "nightly", &with(nightly(), "enabled", json!(enabled))).await;
        assert_eq!(kept["enabled"], enabled);
    }
    assert_eq!(put(&world, ADA_TOKEN, "other", &nightly()).await.error_type(), "unknown-manager");
    // A user who may not see the rule learns nothing about its managers.
    assert_eq!(put(&world, SAM_TOKEN, "nightly", &nightly()).await.status, 403);
    world.import(&lines([portal("acme", "Europe/Riga", 4), user(MIKE, "Mike", false)])).await.unwrap();
    assert_eq!(wake_at(&world, "2026-01-03T00:00:00Z").await, (1, 0));
    assert_eq!(rule(&world, "nightly").await["lastError"], Value::Null);
}

/// Creates a contact that everyone may edit, one that everyone may see, and one of Ada's.
pub(crate) async fn of_each() -> World {
    acme_with([contact(1, json!({})), contact_with(2, ShareType::Read, &[]), contact_with(3, ShareType::None, &[ADA])])
        .await
}

#[tokio::test]
async fn rule_acts_with_its_owners_rights_at_run_time() {
    let world = of_each().await;
    set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    let job = &jobs(&world).await[0];
    assert_eq!((&job["state"], counts(job)), (&json!("done"), [2, 1, 0, 1]));
    assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]));
    assert_eq!(access_of(&world, 2).await.access, Access { share: ShareType::Read, managers: vec![] });
    assert_eq!(access_of(&world, 3).await.access, private(&[ADA]));

    // An administrator demoted before the due time has only an ordinary user's rights.
    let world = of_each().await;
    let people = |is_admin| lines([portal("acme", "Europe/Riga", 4), user(SAM, "Sam", is_admin)]);
    world.import(&people(true)).await.unwrap();
    set(&world, SAM_TOKEN, "nightly", &nightly()).await;
    world.import(&people(false)).await.unwrap();
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(counts(&jobs(&world).await[0]), [2, 1, 0, 1]);
}

#[tokio::test]
async fn rule_selects_contacts_at_run_time() {
    let world = three().await;
    let body = with(nightly(), "filter", json!({"tags": ["new"]}));
    set(&world, ADA_TOKEN, "nightly", &body).await;
    let created = contact(4, json!({"Tags": ["new"], "Created": "2026-01-01T20:00:00Z"}));
    world.import(&lines([portal("acme", "Europe/Riga", 4), created])).await.unwrap();
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(counts(&jobs(&world).await[0]), [1, 1, 0, 0]);
    assert_eq!(access_of(&world, 4).await.access, private(&[MIKE]));
}

#[tokio::test]
async fn administrator_who_only_enables_or_disables_a_rule_does_not_own_it() {
    let world = three().await;
    set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    for (body, owner) in [
        (with(nightly(), "enabled", json!(false)), MIKE),
        (nightly(), MIKE),
        (with(nightly(), "timeZone", json!("Europe/Riga")), MIKE),
        (with(nightly(), "cron", json!("0 3 * * *")), ADA),
    ] {
        let shown = set(&world, ADA_TOKEN, "nightly", &body).await;
        assert_eq!(shown["createdBy"], json!(owner), "{body}");
    }
    for changed in [
        with(nightly(), "filter", json!({"contactStage": 2})),
        with(nightly(), "target", json!({"isPrivate": false})),
        with(nightly(), "timeZone", json!("UTC")),
    ] {
        set(&world, MIKE_TOKEN, "other", &nightly()).await;
        assert_eq!(set(&world, ADA_TOKEN, "other", &changed).await["createdBy"], json!(ADA), "{changed}");
        assert_eq!(delete(&world, ADA_TOKEN, "other").await.status, 204);
    }
}
