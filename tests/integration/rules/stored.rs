//! Stored rules that are incomplete or invalid.

use aws_sdk_dynamodb::types::AttributeValue;
use models::rule::{Rule, RuleName};
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};
use tests::World;

use super::{FIRST, at, delete, names, nightly, outcome, put, rule, set, three, wake_at, with};
use crate::portal::{ADA_TOKEN, MIKE_TOKEN, id};

/// Deletes an item.
async fn remove_item(world: &World, key: &Key) {
    let (pk, sk) = key.encode();
    let request = world.client.delete_item().table_name(&world.table);
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
}

#[tokio::test]
async fn lost_due_entry_is_restored() {
    let world = three().await;
    let before = set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    set(&world, ADA_TOKEN, "off", &with(nightly(), "enabled", json!(false))).await;
    let entry = Key::DueRule(at(FIRST), id("acme"), "nightly".parse().unwrap());
    remove_item(&world, &entry).await;
    assert_eq!(wake_at(&world, "2026-01-01T12:00:00Z").await, (0, 0));
    assert_eq!(rule(&world, "nightly").await, before);
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    // The entry is also restored after the due time, and when it is lost again.
    remove_item(&world, &Key::DueRule(at("2026-01-03T00:00:00Z"), id("acme"), "nightly".parse().unwrap())).await;
    assert_eq!(wake_at(&world, "2026-01-03T00:30:00Z").await, (1, 0));
    world.work().await.unwrap();
    assert_eq!(rule(&world, "off").await["nextRun"], Value::Null);
    // Without rules there is nothing to check.
    for name in ["nightly", "off"] {
        assert_eq!(delete(&world, ADA_TOKEN, name).await.status, 204);
    }
    assert_eq!(wake_at(&world, "2026-01-04T00:00:00Z").await, (0, 0));
    world.catch_up().await.unwrap();
    assert_eq!(world.store.rule_portals().await.unwrap(), []);
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    assert_eq!(world.store.rule_portals().await.unwrap().len(), 1);
}

#[tokio::test]
async fn due_entry_without_a_rule_is_removed() {
    let world = three().await;
    set(&world, ADA_TOKEN, "nightly", &nightly()).await;
    remove_item(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap())).await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    assert_eq!(world.store.due_rules(at(FIRST)).await.unwrap(), []);
}

/// Sets a member of an item's document.
async fn rewrite(world: &World, key: &Key, path: [&str; 2], value: &str) {
    let (pk, sk) = key.encode();
    let request = world.client.update_item().table_name(&world.table);
    let request = request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk));
    let request =
        request.update_expression("SET #doc.#outer.#inner = :value").expression_attribute_names("#doc", "doc");
    let request = request.expression_attribute_names("#outer", path[0]).expression_attribute_names("#inner", path[1]);
    request.expression_attribute_values(":value", AttributeValue::S(value.into())).send().await.unwrap();
}

#[tokio::test]
async fn stored_rule_with_an_invalid_schedule_is_shown_with_an_error_and_removable() {
    for (member, value, field) in [("Cron", "0 2 * *", "cron"), ("TimeZone", "Europe/Rigga", "timeZone")] {
        let world = three().await;
        set(&world, ADA_TOKEN, "nightly", &nightly()).await;
        set(&world, MIKE_TOKEN, "other", &nightly()).await;
        rewrite(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap()), ["Schedule", member], value).await;
        assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["nightly", "other"]);
        let shown = rule(&world, "nightly").await;
        assert_eq!(shown[field], value, "{shown}");
        assert!(shown["lastError"].as_str().unwrap().contains(field), "{shown}");
        // An unreadable schedule starts nothing and does not keep the other rule from running.
        assert_eq!(wake_at(&world, FIRST).await, (1, 0));
        assert_eq!(rule(&world, "nightly").await["lastJob"], Value::Null);
        assert_eq!(set(&world, ADA_TOKEN, "nightly", &nightly()).await["lastError"], Value::Null);
        rewrite(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap()), ["Schedule", member], value).await;
        assert_eq!(delete(&world, ADA_TOKEN, "nightly").await.status, 204);
        assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["other"]);
    }
}

#[tokio::test]
async fn stored_rule_with_an_invalid_name_is_shown_run_and_removable() {
    let world = three().await;
    set(&world, ADA_TOKEN, "template", &nightly()).await;
    let template = world.rules_of(&id("acme")).await.unwrap().remove(0);
    for name in ["spaced out", "ends.json", &"x".repeat(65)] {
        let rule = Rule { name: RuleName::stored(name), ..template.clone() };
        assert!(world.store.put_rule(&id("acme"), None, &rule, None, None).await.unwrap());
        let path = match name {
            "spaced out" => "spaced%20out",
            "ends.json" => "ends.json.json",
            name => name,
        };
        let shown = world.get(&format!("rules/{path}"), ADA_TOKEN).await.unwrap();
        assert_eq!(shown.status, 200, "{name}: {}", shown.text);
        assert!(names(&world.get("rules", ADA_TOKEN).await.unwrap()).contains(&name.to_owned()));
        assert_eq!(delete(&world, ADA_TOKEN, path).await.status, 204, "{name}");
        // No call can set such a rule again, and the removed rule is gone.
        assert_eq!(outcome(&put(&world, ADA_TOKEN, path, &nightly()).await), "400 invalid-request", "{name}");
        assert_eq!(outcome(&delete(&world, ADA_TOKEN, path).await), "400 invalid-request", "{name}");
    }
    let rule = Rule { name: RuleName::stored("spaced out"), ..template };
    assert!(world.store.put_rule(&id("acme"), None, &rule, None, None).await.unwrap());
    assert_eq!(wake_at(&world, FIRST).await, (2, 0));
}

#[tokio::test]
async fn administrator_removes_an_unreadable_rule_record() {
    let world = three().await;
    set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    rewrite(&world, &Key::Rule(id("acme"), "nightly".parse().unwrap()), ["Filter", "View"], "Moon").await;
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    assert_eq!(delete(&world, MIKE_TOKEN, "nightly").await.status, 500);
    assert_eq!(delete(&world, ADA_TOKEN, "nightly").await.status, 204);
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
    assert_eq!(world.store.due_rules(at(FIRST)).await.unwrap(), []);
}

#[tokio::test]
async fn portal_with_an_unknown_time_zone_stays_in_service() {
    let world = three().await;
    let (pk, sk) = Key::Portal(id("acme")).encode();
    let request = world.client.update_item().table_name(&world.table);
    let request = request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk));
    let request = request.update_expression("SET time_zone = :zone");
    request.expression_attribute_values(":zone", AttributeValue::S("Europe/Rigga".into())).send().await.unwrap();
    let all = world.contact("filter?count=3", ADA_TOKEN).await.unwrap();
    assert_eq!((all.status.as_u16(), all.ids().len()), (200, 3), "{}", all.text);
    // A date that depends on the zone would select the wrong contacts.
    for (query, status) in [("fromDate=2020-01-01", 400), ("fromDate=2020-01-01T00:00:00Z", 200)] {
        let reply = world.contact(&format!("filter?{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(reply.status, status, "{query}: {}", reply.text);
    }
    assert_eq!(outcome(&put(&world, ADA_TOKEN, "nightly", &nightly()).await), "400 invalid-request");
    set(&world, ADA_TOKEN, "nightly", &with(nightly(), "timeZone", json!("Europe/Riga"))).await;
}
