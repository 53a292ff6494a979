//! Rules that callers set, list and remove.

use serde_json::{Value, json};
use tests::World;

use super::{FIRST, at, delete, jobs, names, nightly, outcome, put, rule, set, shown_at, three, wake, wake_at, with};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, NOBODY, READER_TOKEN, SAM, SAM_TOKEN, ZOE_TOKEN, acme, lines, zenith,
};

#[tokio::test]
async fn rule_is_set_shown_listed_and_removed() {
    let world = three().await;
    for name in ["b", "B", "a.1", "c-2_x"] {
        set(&world, ADA_TOKEN, name, &nightly()).await;
    }
    let list = world.get("rules", ADA_TOKEN).await.unwrap();
    assert_eq!(
        (names(&list), list.count("x-next-index")),
        (["B", "a.1", "b", "c-2_x"].map(str::to_owned).to_vec(), None)
    );
    assert_eq!(list.response()[2], rule(&world, "b").await);
    for (query, expected, next) in [
        ("count=2", &["B", "a.1"][..], Some(2)),
        ("count=2&startIndex=2", &["b", "c-2_x"], None),
        ("startIndex=3", &["c-2_x"], None),
        ("startIndex=4", &[], None),
        ("count=0", &[], None),
    ] {
        let page = world.get(&format!("rules?{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(
            (names(&page), page.count("x-next-index")),
            (expected.iter().map(|n| (*n).to_owned()).collect(), next)
        );
    }
    let removed = delete(&world, ADA_TOKEN, "b").await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str(), removed.header("content-type")), (204, "", ""));
    assert_eq!(outcome(&world.get("rules/b", ADA_TOKEN).await.unwrap()), "404 rule-not-found");
    assert_eq!(outcome(&delete(&world, ADA_TOKEN, "b").await), "404 rule-not-found");
    assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["B", "a.1", "c-2_x"]);
}

#[tokio::test]
async fn rule_has_one_shape_in_json_and_xml() {
    let world = three().await;
    let body = json!({"filter": {"tags": [" VIP "], "contactStage": 2, "contactType": [1, 3], "fromDate": "2020-12-08",
        "contactListView": "company", "filterValue": "Anna  RIGA"}, "target": {"isPrivate": true,
        "managerList": [MIKE, SAM]}, "cron": "30  2 * * mon-fri", "timeZone": "europe/berlin"});
    let path = "rules/nightly-vip";
    let set = world.access_with("PUT", path, ADA_TOKEN, &body.to_string(), &[("accept", "text/xml")]).await.unwrap();
    let json = world.get(path, ADA_TOKEN).await.unwrap();
    let xml = world.access_with("GET", path, ADA_TOKEN, "", &[("accept", "text/xml")]).await.unwrap();
    assert_eq!(set.text, xml.text);
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([json.response()]));
    let text = format!("{}\n{}\n", json.text, xml.text);
    crate::check_file("standing-rule", &text.replace("><", ">\n<").replace(",\"", ",\n\""));
}

#[tokio::test]
async fn replaced_rule_keeps_its_creation_time_and_last_run() {
    let world = three().await;
    let first = set(&world, MIKE_TOKEN, "nightly", &nightly()).await;
    assert_eq!(wake_at(&world, FIRST).await, (1, 0));
    world.work().await.unwrap();
    let ran = rule(&world, "nightly").await;
    world.set_clock(at("2026-01-02T12:00:00Z"));
    let again = set(&world, ADA_TOKEN, "nightly", &with(nightly(), "cron", json!("0 5 * * *"))).await;
    assert_eq!((&again["created"], &again["modified"]), (&first["created"], &shown_at("2026-01-02T12:00:00Z")));
    assert_eq!((&again["lastRun"], &again["lastJob"]), (&ran["lastRun"], &ran["lastJob"]));
    // The rule runs with the rights of the user who set it last, and shows that user.
    assert_eq!((&again["createdBy"], &again["nextRun"]), (&json!(ADA), &shown_at("2026-01-03T03:00:00Z")));
}

/// The fields of a shown rule that a request may set.
fn settable(shown: &Value) -> Value {
    let names = ["filter", "target", "cron", "timeZone", "enabled", "maxAffected", "note"];
    names.iter().map(|name| ((*name).to_owned(), shown[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn rule_accepts_what_it_shows_and_keeps_its_owner_whatever_the_order_of_the_fields() {
    let world = three().await;
    let lists = json!({"tags": ["t0", "vip"], "contactStage": [1, 2], "contactType": [1, 3], "filterValue": "a b",
        "contactListView": "person", "fromDate": "2020-12-08", "toDate": "2021-12-08"});
    let reordered = json!({"tags": ["vip", "t0"], "contactStage": [2, 1], "contactType": [3, 1], "filterValue": "b a",
        "contactListView": "person", "fromDate": "2020-12-08", "toDate": "2021-12-08"});
    let manager = json!({"responsibleid": MIKE, "tags": ["vip"]});
    for (number, (filter, other, target, other_target)) in [
        (json!({"tags": ["vip"]}), json!({"tags": ["vip"]}), json!({"isPrivate": true}), json!({"isPrivate": true})),
        (json!({}), json!({}), json!({"isPrivate": false}), json!({"isPrivate": false})),
        (
            lists,
            reordered,
            json!({"isPrivate": true, "managerList": [MIKE]}),
            json!({"isPrivate": true, "managerList": [MIKE]}),
        ),
        (manager.clone(), manager, json!({"removeManagers": [SAM, ADA]}), json!({"removeManagers": [ADA, SAM]})),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("rule-{number}");
        let body = with(with(nightly(), "filter", filter), "target", target);
        let first = set(&world, MIKE_TOKEN, &name, &body).await;
        let again = set(&world, ADA_TOKEN, &name, &settable(&first)).await;
        assert_eq!((settable(&again), &again["createdBy"]), (settable(&first), &json!(MIKE)));
        let disabled = with(with(with(body, "filter", other), "target", other_target), "enabled", json!(false));
        let disabled = set(&world, ADA_TOKEN, &name, &disabled).await;
        assert_eq!((&disabled["enabled"], &disabled["createdBy"]), (&json!(false), &json!(MIKE)));
    }
}

#[tokio::test]
async fn user_sees_its_own_rules_and_administrator_all() {
    let mut values = acme();
    values.extend(zenith());
    let world = World::with(&lines(values)).await.unwrap();
    set(&world, ADA_TOKEN, "of-ada", &nightly()).await;
    set(&world, MIKE_TOKEN, "of-mike", &nightly()).await;
    for (token, expected) in [
        (ADA_TOKEN, &["of-ada", "of-mike"][..]),
        (READER_TOKEN, &["of-ada", "of-mike"]),
        (MIKE_TOKEN, &["of-mike"]),
        (SAM_TOKEN, &[]),
        (ZOE_TOKEN, &[]),
    ] {
        assert_eq!(names(&world.get("rules", token).await.unwrap()), expected);
        for name in ["of-ada", "of-mike"] {
            let shown = world.get(&format!("rules/{name}"), token).await.unwrap();
            let expected = if expected.contains(&name) { "200 " } else { "404 rule-not-found" };
            assert_eq!(outcome(&shown), expected, "{name}");
        }
    }
    for (token, name) in [(MIKE_TOKEN, "of-ada"), (SAM_TOKEN, "of-ada"), (SAM_TOKEN, "of-mike")] {
        let before = rule(&world, name).await;
        let body = with(nightly(), "cron", json!("0 4 * * *"));
        assert_eq!(outcome(&put(&world, token, name, &body).await), "403 rule-forbidden");
        assert_eq!(outcome(&delete(&world, token, name).await), "404 rule-not-found");
        assert_eq!(rule(&world, name).await, before);
    }
    assert_eq!(outcome(&put(&world, READER_TOKEN, "of-ada", &nightly()).await), "403 scope-missing");
    assert_eq!(outcome(&delete(&world, READER_TOKEN, "of-ada").await), "403 scope-missing");
    // Rule names are separate for each portal.
    set(&world, ZOE_TOKEN, "of-ada", &with(nightly(), "target", json!({"isPrivate": true}))).await;
    assert_eq!(delete(&world, ZOE_TOKEN, "of-ada").await.status, 204);
    assert_eq!(delete(&world, MIKE_TOKEN, "of-mike").await.status, 204);
    assert_eq!(names(&world.get("rules", ADA_TOKEN).await.unwrap()), ["of-ada"]);
}

#[tokio::test]
async fn invalid_rule_is_refused_with_the_field_and_not_set() {
    let world = three().await;
    let without = |name: &str| {
        let mut body = nightly();
        body.as_object_mut().unwrap().remove(name);
        body
    };
    for (body, kind, field) in [
        (
            with(nightly(), "target", json!({"isPrivate": true, "managerList": [MIKE, NOBODY]})),
            "unknown-manager",
            "managerList",
        ),
        (without("filter"), "invalid-request", "filter"),
        (without("target"), "invalid-request", "target"),
        (without("cron"), "invalid-request", "cron"),
        (with(nightly(), "target", json!({})), "invalid-request", "target.isPrivate"),
        (with(nightly(), "filter", json!({"tag": ["a"]})), "invalid-request", "filter.tag"),
        (with(nightly(), "cron", json!("0 2 * *")), "invalid-request", "cron"),
        (with(nightly(), "cron", json!("0 25 * * *")), "invalid-request", "cron"),
        (with(nightly(), "timeZone", json!("Europe/Rigga")), "invalid-request", "timeZone"),
        (with(nightly(), "enabled", json!("yes")), "invalid-request", "enabled"),
        (with(nightly(), "enable", json!(true)), "invalid-request", "enable"),
    ] {
        let reply = put(&world, ADA_TOKEN, "nightly", &body).await;
        assert_eq!(outcome(&reply), format!("400 {kind}"), "{body}: {}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{}", reply.text);
    }
    for name in ["a%20b", "..", "%C4%81", &"x".repeat(65)] {
        let reply = put(&world, ADA_TOKEN, name, &nightly()).await;
        assert_eq!(outcome(&reply), "400 invalid-request", "{name}: {}", reply.text);
    }
    assert_eq!(outcome(&put(&world, ADA_TOKEN, "nightly?dryRun=true", &nightly()).await), "400 invalid-request");
    assert_eq!(world.get("rules", ADA_TOKEN).await.unwrap().response(), json!([]));
    assert_eq!(wake_at(&world, FIRST).await, (0, 0));
}

#[tokio::test]
async fn disabled_rule_never_runs() {
    let world = three().await;
    let off = with(nightly(), "enabled", json!(false));
    let shown = set(&world, ADA_TOKEN, "never", &off).await;
    assert_eq!((&shown["enabled"], &shown["nextRun"]), (&json!(false), &Value::Null));
    set(&world, ADA_TOKEN, "once-on", &nightly()).await;
    set(&world, ADA_TOKEN, "once-on", &off).await;
    set(&world, ADA_TOKEN, "removed", &nightly()).await;
    assert_eq!(delete(&world, ADA_TOKEN, "removed").await.status, 204);
    assert_eq!(wake_at(&world, "2026-02-01T00:00:00Z").await, (0, 0));
    assert_eq!(jobs(&world).await.len(), 0);
    // Enabling a rule does not make up for runs missed while it was disabled.
    assert_eq!(set(&world, ADA_TOKEN, "never", &nightly()).await["nextRun"], shown_at("2026-02-02T00:00:00Z"));
    assert_eq!(wake(&world).await, (0, 0));
    assert_eq!(wake_at(&world, "2026-02-02T00:00:00Z").await, (1, 0));
}
