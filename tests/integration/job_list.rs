//! Lists of jobs and of rules: paging by key costs the same on every page, and no answer exceeds its maximum size.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use models::job::{Job, JobId};
use models::limits::{MAX_ANSWER_BYTES, MAX_JOBS_START_INDEX, MAX_LIST_VALUES, MAX_TAG_BYTES};
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::keys::{Key, PK, SK};
use tests::{NEW_YEAR_2026, Reply, World};

use crate::portal::{ADA_TOKEN, MIKE, MIKE_TOKEN, acme_with, contact, id, job};

/// The bytes of an answer outside its items, plus one additional item.
const AROUND_BYTES: usize = 1024;

fn ids(reply: &Reply) -> Vec<JobId> {
    let jobs = reply.response();
    jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().parse().unwrap()).collect()
}

fn field(reply: &Reply) -> (u16, String, String) {
    let detail = &reply.json()["error"]["details"][0];
    let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
    (reply.status.as_u16(), text("field"), text("message"))
}

/// Creates a portal in which Mike has started `count` jobs. Returns their identifiers, newest first.
async fn with_jobs(count: i64) -> (World, Vec<JobId>) {
    let world = acme_with([contact(1, json!({}))]).await;
    let made = world.put("1/access", MIKE_TOKEN, &json!({"isShared": true, "managerList": [MIKE]})).await.unwrap();
    let mut all = vec![job(&made).unwrap()];
    let template = world.jobs_of(&id("acme"), None).await.unwrap().remove(0);
    for second in 1..count {
        world.set_clock(Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(second));
        let copy = Job { id: world.jobs().new_id(), ..template.clone() };
        world.store.create_job(&id("acme"), &copy, None, world.app.now()).await.unwrap();
        all.push(copy.id);
    }
    all.reverse();
    (world, all)
}

#[tokio::test]
async fn page_by_key_costs_the_same_on_every_page() {
    const COUNT: usize = 10;
    let (world, all) = with_jobs(95).await;
    for token in [ADA_TOKEN, MIKE_TOKEN] {
        world.get("jobs?count=0", token).await.unwrap();
        let (mut found, mut costs, mut before) = (Vec::new(), Vec::new(), String::new());
        loop {
            let (units, calls) = (world.trips.spent().read_units, world.trips.so_far().0);
            let page = world.get(&format!("jobs?count={COUNT}{before}"), token).await.unwrap();
            found.extend(ids(&page));
            let next = page.header("x-next").to_owned();
            if next.is_empty() {
                break;
            }
            costs.push((world.trips.spent().read_units - units, world.trips.so_far().0 - calls));
            assert_eq!(next.parse::<JobId>().unwrap(), *found.last().unwrap());
            before = format!("&before={next}");
        }
        assert_eq!(found, all);
        assert_eq!(costs.len(), all.len() / COUNT);
        assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    }
}

#[tokio::test]
async fn envelope_and_header_name_the_next_page() {
    let (world, all) = with_jobs(5).await;
    let page = world.get("jobs.json?count=2", ADA_TOKEN).await.unwrap();
    let (body, next) = (page.json(), all[1].to_string());
    assert_eq!((&body["nextBefore"], &body["nextIndex"]), (&json!(next), &json!(2)), "{}", page.text);
    assert_eq!((page.header("x-next"), page.header("x-next-index")), (next.as_str(), "2"));
    let xml = world.get(&format!("jobs.xml?count=2&before={next}"), ADA_TOKEN).await.unwrap();
    let then = all[3].to_string();
    assert!(xml.text.contains(&format!("<nextBefore>{then}</nextBefore>")), "{}", xml.text);
    assert!(!xml.text.contains("nextIndex"), "{}", xml.text);
    let last = world.get(&format!("jobs.json?before={then}"), ADA_TOKEN).await.unwrap();
    assert_eq!((last.json()["nextBefore"].clone(), last.header("x-next")), (Value::Null, ""));
    assert_eq!(last.json()["count"], 1);
    // An identifier without a job, as after a clean-up, still marks a point in time.
    let none = world.get(&format!("jobs?before={}", JobId::from_u128(0)), ADA_TOKEN).await.unwrap();
    assert_eq!(none.response(), json!([]));
}

#[tokio::test]
async fn start_index_over_its_maximum_is_refused_with_a_hint_at_the_key() {
    let (world, all) = with_jobs(5).await;
    let limit = MAX_JOBS_START_INDEX;
    for token in [ADA_TOKEN, MIKE_TOKEN] {
        let third = world.get("jobs?startIndex=3", token).await.unwrap();
        assert_eq!(ids(&third), all[3..]);
        assert_eq!(world.get(&format!("jobs?startIndex={limit}"), token).await.unwrap().response(), json!([]));
    }
    let (status, at, message) = field(&world.get(&format!("jobs?startIndex={}", limit + 1), ADA_TOKEN).await.unwrap());
    assert_eq!((status, at.as_str()), (400, "startIndex"));
    assert!(message.contains("before") && message.contains("10000"), "{message}");
    for (query, name) in [
        (format!("before={}&startIndex=1", all[0]), "startIndex"),
        ("before=x".to_owned(), "before"),
        ("before=".to_owned(), "before"),
        ("startIndex=-1".to_owned(), "startIndex"),
    ] {
        let (status, at, _) = field(&world.get(&format!("jobs?{query}"), ADA_TOKEN).await.unwrap());
        assert_eq!((status, at.as_str()), (400, name), "{query}");
    }
}

/// The maximum number of tags of a request, each of maximum length.
fn longest_tags() -> Vec<String> {
    (0..MAX_LIST_VALUES).map(|number| format!("{number:0MAX_TAG_BYTES$}")).collect()
}

#[tokio::test]
async fn large_job_records_end_a_page_early_and_no_more_are_read() {
    const JOBS: usize = 26;
    let world = acme_with([contact(1, json!({}))]).await;
    let body = json!({"tags": longest_tags(), "isPrivate": true}).to_string();
    let mut all = Vec::new();
    for second in 0..JOBS {
        world.set_clock(Timestamp::from_ticks(NEW_YEAR_2026) + SignedDuration::from_secs(second.try_into().unwrap()));
        let reply = world.put_with("filter/access", MIKE_TOKEN, &body, &[("prefer", "respond-async")]).await.unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text);
        all.push(job(&reply).unwrap());
    }
    all.reverse();
    let of_record = f64::from(u32::try_from(MAX_LIST_VALUES * MAX_TAG_BYTES / 4096).unwrap());
    for token in [ADA_TOKEN, MIKE_TOKEN] {
        let (mut found, mut before) = (Vec::new(), String::new());
        loop {
            let units = world.trips.spent().read_units;
            let page = world.get(&format!("jobs?count=1000{before}"), token).await.unwrap();
            assert_eq!(page.status, 200, "{}", page.text);
            assert!(page.text.len() <= MAX_ANSWER_BYTES + AROUND_BYTES, "{}", page.text.len());
            let (on_page, read) = (ids(&page), world.trips.spent().read_units - units);
            // Each record counts twice, because its plan repeats its tags, plus the records of one extra read.
            let limit = of_record * 2.0 * f64::from(u32::try_from(on_page.len() + 26).unwrap());
            assert!(read < limit, "{read} read units for {} jobs", on_page.len());
            found.extend(on_page);
            if page.header("x-next").is_empty() {
                break;
            }
            before = format!("&before={}", page.header("x-next"));
        }
        assert_eq!(found, all);
    }
}

#[tokio::test]
async fn large_rule_records_end_a_page_early() {
    const RULES: usize = 14;
    let world = acme_with([contact(1, json!({}))]).await;
    let body = json!({"filter": {"tags": longest_tags()}, "target": {"isPrivate": true}, "cron": "0 2 * * *"});
    let name = |number: usize| format!("rule-{number:02}");
    for number in 0..RULES {
        let path = format!("rules/{}", name(number));
        let reply = world.access_with("PUT", &path, ADA_TOKEN, &body.to_string(), &[]).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    let (mut found, mut start) = (Vec::new(), Some(0));
    while let Some(index) = start {
        let page = world.get(&format!("rules?startIndex={index}"), ADA_TOKEN).await.unwrap();
        assert!(page.text.len() <= MAX_ANSWER_BYTES + AROUND_BYTES, "{}", page.text.len());
        found.extend(page.response().as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()));
        start = page.count("x-next-index");
        // The total is known once the list is read to its end.
        assert_eq!(page.count("x-total-count"), start.is_none().then_some(RULES as u64));
    }
    assert_eq!(found, (0..RULES).map(name).collect::<Vec<_>>());
}

/// Overwrites the attribute of an item's record with a text that is no record.
async fn corrupt(world: &World, key: &Key, attribute: &str) {
    let (pk, sk) = key.encode();
    let request = world.client.update_item().table_name(&world.table);
    let request = request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk));
    let request = request.update_expression("SET #record = :other").expression_attribute_names("#record", attribute);
    request.expression_attribute_values(":other", AttributeValue::S("spoilt".into())).send().await.unwrap();
}

#[tokio::test]
async fn unreadable_record_hides_no_other() {
    let (world, mut all) = with_jobs(7).await;
    for spoilt in [6, 3, 2] {
        corrupt(&world, &Key::Job(id("acme"), all.remove(spoilt)), "job").await;
    }
    for token in [ADA_TOKEN, MIKE_TOKEN] {
        let (mut found, mut before) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("jobs?count=2{before}"), token).await.unwrap();
            assert_eq!(page.status, 200, "{}", page.text);
            found.extend(ids(&page));
            if page.header("x-next").is_empty() {
                break;
            }
            before = format!("&before={}", page.header("x-next"));
        }
        assert_eq!(found, all);
    }
    let rule = json!({"filter": {}, "target": {"isPrivate": true}, "cron": "0 2 * * *"}).to_string();
    for name in ["a", "b", "c"] {
        world.access_with("PUT", &format!("rules/{name}"), ADA_TOKEN, &rule, &[]).await.unwrap();
    }
    corrupt(&world, &Key::Rule(id("acme"), "b".parse().unwrap()), "doc").await;
    let list = world.get("rules", ADA_TOKEN).await.unwrap().response();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
}
