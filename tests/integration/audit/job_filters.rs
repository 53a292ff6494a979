//! Conditions of the list of jobs, and the entity tag of a job.

use jiff::SignedDuration;
use models::job::{Job, JobId};
use models::limits::MAX_EXAMINED_JOBS;
use models::values::timestamp::Timestamp;
use serde_json::json;
use tests::{NEW_YEAR_2026, Reply, World};

use super::{outcome, set, set_all, undo};
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, acme_with, contact, id};
use crate::rules::{set_rule, wake_rules_at};

fn ids(reply: &Reply) -> Vec<JobId> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let jobs = reply.response();
    jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().parse().unwrap()).collect()
}

async fn listed(world: &World, token: &str, query: &str) -> Vec<JobId> {
    ids(&world.get(&format!("jobs?{query}"), token).await.unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn each_condition_selects_its_jobs() {
    let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
    let one = set(&world, ADA_TOKEN, 1, true, &[SAM]).await;
    world.set_clock(at("2026-01-01T12:00:00Z"));
    let mikes = set(&world, MIKE_TOKEN, 1, true, &[MIKE]).await;
    // Jobs of one millisecond are listed in a random order.
    world.set_clock(at("2026-01-01T12:00:00.001Z"));
    let two = set(&world, MIKE_TOKEN, 2, true, &[MIKE]).await;
    // In Riga, the next day has begun.
    world.set_clock(at("2026-01-01T22:30:00Z"));
    let all = set_all(&world, ADA_TOKEN, &[MIKE]).await;
    world.set_clock(at("2026-01-01T23:00:00Z"));
    let undone = undo(&world, ADA_TOKEN, all).await;
    set_rule(
        &world,
        MIKE_TOKEN,
        "nightly",
        &json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"}),
    )
    .await;
    wake_rules_at(&world, "2026-01-02T00:00:00Z").await;
    let ruled = listed(&world, ADA_TOKEN, "rule=nightly").await;
    assert_eq!(ruled.len(), 1);
    let everything = listed(&world, ADA_TOKEN, "").await;
    assert_eq!(everything.len(), 6);
    assert_eq!(listed(&world, ADA_TOKEN, "state=queued").await, ruled);
    world.work().await.unwrap();
    for (query, expected) in [
        ("kind=undo".to_owned(), vec![undone]),
        ("kind=FILTER".to_owned(), vec![ruled[0], all]),
        ("state=done".to_owned(), everything.clone()),
        ("state=failed".to_owned(), vec![]),
        (format!("userId={MIKE}"), vec![ruled[0], two, mikes]),
        (format!("userId={MIKE}&kind=contact"), vec![two, mikes]),
        (format!("userId={SAM}"), vec![]),
        ("contactid=2".to_owned(), vec![ruled[0], undone, all, two]),
        ("contactid=3".to_owned(), vec![ruled[0], undone, all]),
        (format!("contactid=1&userId={ADA}"), vec![undone, all, one]),
        ("contactid=99".to_owned(), vec![]),
        ("to=2026-01-01".to_owned(), vec![two, mikes, one]),
        ("from=2026-01-02".to_owned(), vec![ruled[0], undone, all]),
        ("from=2026-01-01T12:00:00Z&to=2026-01-01T22:30:00Z".to_owned(), vec![all, two, mikes]),
        ("from=2026-01-01T12:00:00.0000001Z&to=2026-01-01T22:29:59Z".to_owned(), vec![two]),
    ] {
        assert_eq!(listed(&world, ADA_TOKEN, &query).await, expected, "{query}");
    }
    // A user sees only its own jobs, whatever the conditions.
    for (query, expected) in [
        ("contactid=2".to_owned(), vec![ruled[0], two]),
        (format!("userId={ADA}"), vec![]),
        (format!("userId={MIKE}"), vec![ruled[0], two, mikes]),
        ("state=done".to_owned(), vec![ruled[0], two, mikes]),
        ("rule=nightly".to_owned(), ruled.clone()),
    ] {
        assert_eq!(listed(&world, MIKE_TOKEN, &query).await, expected, "{query}");
        assert_eq!(listed(&world, SAM_TOKEN, &query).await, [], "{query}");
    }
}

#[tokio::test]
async fn pages_of_a_filtered_list_hold_every_match_once() {
    let world = acme_with([contact(1, json!({}))]).await;
    let mut all = Vec::new();
    for second in 0..23 {
        world.set_clock(Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(second));
        let token = if second % 3 == 0 { MIKE_TOKEN } else { ADA_TOKEN };
        let job = set(&world, token, 1, true, &[if second % 2 == 0 { SAM } else { MIKE }]).await;
        if second % 3 == 0 {
            all.push(job);
        }
    }
    all.reverse();
    for query in [format!("userId={MIKE}"), format!("contactid=1&userId={MIKE}"), "from=2026-01-01".to_owned()] {
        for (size, token) in [(1, ADA_TOKEN), (3, ADA_TOKEN), (8, ADA_TOKEN), (3, MIKE_TOKEN)] {
            let is_of_mike = query.contains("userId") || token == MIKE_TOKEN;
            let (mut found, mut before) = (Vec::new(), String::new());
            loop {
                let page = world.get(&format!("jobs?{query}&count={size}{before}"), token).await.unwrap();
                found.extend(ids(&page));
                let next = page.header("x-next");
                if next.is_empty() {
                    break;
                }
                let is_visible = token == ADA_TOKEN || all.iter().any(|job| job.to_string() == next);
                assert!(is_visible, "{query} by {size} names {next}, a job of another user");
                before = format!("&before={next}");
            }
            if is_of_mike {
                assert_eq!(found, all, "{query} by {size}");
            } else {
                assert_eq!(found.len(), 23, "{query} by {size}");
            }
        }
        if query.contains("userId") {
            let (mut found, mut start) = (Vec::new(), Some(0));
            while let Some(index) = start {
                let page = world.get(&format!("jobs?{query}&count=3&startIndex={index}"), ADA_TOKEN).await.unwrap();
                assert_eq!(page.json()["startIndex"], index, "{}", page.text);
                assert_eq!(page.json()["nextIndex"].as_u64(), page.count("x-next-index"), "{}", page.text);
                found.extend(ids(&page));
                start = page.count("x-next-index");
            }
            assert_eq!(found, all, "{query} by index");
            let none = world.get(&format!("jobs?{query}&count=0&startIndex=2"), ADA_TOKEN).await.unwrap();
            assert_eq!((ids(&none), &none.json()["startIndex"]), (vec![], &json!(2)));
            assert_eq!(listed(&world, ADA_TOKEN, &format!("{query}&startIndex=3&count=2")).await, all[3..5]);
        }
    }
}

#[tokio::test]
async fn filtered_page_examines_a_bounded_number_of_jobs() {
    let world = acme_with([contact(1, json!({}))]).await;
    let first = set(&world, MIKE_TOKEN, 1, true, &[MIKE]).await;
    let template = world.jobs_of(&id("acme"), None).await.unwrap().remove(0);
    for number in 1..=MAX_EXAMINED_JOBS + 5 {
        world.set_clock(Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(number.try_into().unwrap()));
        let copy = Job { id: world.jobs().new_id(), note: Some("copy".to_owned()), ..template.clone() };
        let (pk, sk) = store::keys::Key::Job(id("acme"), copy.id).encode();
        let old = store::keys::Key::Job(id("acme"), first).encode();
        let text = aws_sdk_dynamodb::types::AttributeValue::S;
        let read = world.client.get_item().table_name(&world.table).key("pk", text(old.0)).key("sk", text(old.1));
        let mut item = read.send().await.unwrap().item.unwrap();
        item.insert("pk".into(), text(pk));
        item.insert("sk".into(), text(sk));
        if let Some(record) = item.get_mut("job").and_then(|job| match job {
            aws_sdk_dynamodb::types::AttributeValue::M(record) => Some(record),
            _ => None,
        }) {
            record.insert("State".into(), text("failed".into()));
            record.insert("Id".into(), text(copy.id.to_string()));
        }
        world.client.put_item().table_name(&world.table).set_item(Some(item)).send().await.unwrap();
    }
    let short = world.get("jobs?state=done", ADA_TOKEN).await.unwrap();
    let next = short.header("x-next").to_owned();
    assert_eq!((ids(&short), next.is_empty(), short.header("x-next-index")), (vec![], false, ""));
    let rest = world.get(&format!("jobs?state=done&before={next}"), ADA_TOKEN).await.unwrap();
    assert_eq!((ids(&rest), rest.header("x-next")), (vec![first], ""));
}

#[tokio::test]
async fn wrong_condition_names_the_fault() {
    let world = acme_with([]).await;
    for (query, field) in [
        ("state=over", "state"),
        ("kind=all", "kind"),
        ("userId=mike", "userId"),
        ("rule=", "rule"),
        ("contactid=0", "contactid"),
        ("from=yesterday", "from"),
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("user=x", "user"),
    ] {
        let reply = world.get(&format!("jobs?{query}"), ADA_TOKEN).await.unwrap();
        assert_eq!(outcome(&reply), "400 invalid-request", "{query}");
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{query}: {}", reply.text);
    }
}

#[tokio::test]
async fn unchanged_job_is_answered_without_a_body() {
    let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
    let body = json!({"isPrivate": true, "managerList": [ADA]}).to_string();
    let queued = world.put_with("filter/access", ADA_TOKEN, &body, &[("prefer", "respond-async")]).await.unwrap();
    let path = format!("jobs/{}", queued.header("x-job-id"));
    let first = world.get(&path, ADA_TOKEN).await.unwrap();
    let tag = first.header("etag").to_owned();
    assert!(!tag.is_empty());
    let known = [("if-none-match", tag.as_str())];
    let same = world.access_with("GET", &path, ADA_TOKEN, "", &known).await.unwrap();
    assert_eq!((same.status.as_u16(), same.text.as_str(), same.header("etag")), (304, "", tag.as_str()));
    world.work().await.unwrap();
    let done = world.access_with("GET", &path, ADA_TOKEN, "", &known).await.unwrap();
    assert_eq!((done.status.as_u16(), &done.response()["state"]), (200, &json!("done")));
    assert_ne!(done.header("etag"), tag);
}
