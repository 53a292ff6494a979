//! The numbers of rules that a user and a portal may have.

use models::limits::{MAX_RULES_OF_PORTAL, MAX_RULES_OF_USER};
use models::rule::Rule;
use serde_json::json;

use super::{delete, nightly, outcome, put, set, three, with};
use crate::portal::{ADA_TOKEN, MIKE_TOKEN, NOBODY, SAM_TOKEN, id};

/// Returns a rule's name, by number.
fn named(number: usize) -> String {
    format!("rule-{number:03}")
}

#[tokio::test]
async fn number_of_rules_of_a_user_is_limited() {
    let world = three().await;
    for number in 0..MAX_RULES_OF_USER {
        set(&world, MIKE_TOKEN, &named(number), &nightly()).await;
    }
    let reply = put(&world, MIKE_TOKEN, "one-more", &nightly()).await;
    assert_eq!(outcome(&reply), "409 too-many-rules", "{}", reply.text);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("at most 50"), "{}", reply.text);
    // An existing rule can still be changed, and removing a rule makes room for a new rule.
    set(&world, MIKE_TOKEN, &named(0), &with(nightly(), "cron", json!("0 3 * * *"))).await;
    assert_eq!(delete(&world, MIKE_TOKEN, &named(0)).await.status, 204);
    set(&world, MIKE_TOKEN, "one-more", &nightly()).await;
    // Another user has a separate limit. An administrator who takes over a rule has a separate limit too.
    set(&world, SAM_TOKEN, "of-sam", &nightly()).await;
    set(&world, ADA_TOKEN, &named(1), &with(nightly(), "cron", json!("0 4 * * *"))).await;
    set(&world, MIKE_TOKEN, "and-one-more", &nightly()).await;
    // Taking over rules does not circumvent the limit.
    for number in 2..=MAX_RULES_OF_USER {
        let reply = put(&world, ADA_TOKEN, &named(number), &with(nightly(), "cron", json!("0 5 * * *"))).await;
        assert!(reply.status == 200, "{number}: {}", reply.text);
    }
    let reply = put(&world, ADA_TOKEN, "one-more", &with(nightly(), "cron", json!("0 5 * * *"))).await;
    assert_eq!(outcome(&reply), "409 too-many-rules", "{}", reply.text);
}

#[tokio::test]
async fn number_of_rules_of_a_portal_is_limited() {
    let world = three().await;
    set(&world, MIKE_TOKEN, "first", &nightly()).await;
    let template = world.rules_of(&id("acme")).await.unwrap().remove(0);
    for number in 1..MAX_RULES_OF_PORTAL {
        let rule = Rule { name: named(number).parse().unwrap(), created_by: NOBODY, ..template.clone() };
        assert!(world.store.put_rule(&id("acme"), None, &rule, None, None).await.unwrap());
    }
    let reply = put(&world, SAM_TOKEN, "one-more", &nightly()).await;
    assert_eq!(outcome(&reply), "409 too-many-rules", "{}", reply.text);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("at most 500"), "{}", reply.text);
    assert_eq!(delete(&world, MIKE_TOKEN, "first").await.status, 204);
    set(&world, SAM_TOKEN, "one-more", &nightly()).await;
}

#[tokio::test]
async fn concurrently_set_rules_do_not_exceed_the_limit() {
    let world = three().await;
    for number in 0..MAX_RULES_OF_USER - 2 {
        set(&world, MIKE_TOKEN, &named(number), &nightly()).await;
    }
    let body = nightly();
    let names: Vec<String> = (0..6).map(|number| format!("at-once-{number}")).collect();
    let replies = futures::future::join_all(names.iter().map(|name| put(&world, MIKE_TOKEN, name, &body))).await;
    let set = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(world.rules_of(&id("acme")).await.unwrap().len(), MAX_RULES_OF_USER - 2 + set);
    assert_eq!(set, 2);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert!(["409 too-many-rules", "409 rule-contended"].contains(&outcome(reply).as_str()), "{}", reply.text);
    }
}
