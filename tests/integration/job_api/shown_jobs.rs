//! A job as callers see it.

use std::collections::BTreeSet;

use models::job::JobId;
use serde_json::{Value, json};
use tests::World;

use super::{ASYNC, MEMBERS, after, counts, queue, response, shown};
use crate::portal::{ADA_TOKEN, CREATED, MIKE, SAM, acme_with, contact, contact_id, job, shown_at};

/// Creates a world with a job that has every possible member.
pub(crate) async fn complete_job() -> (World, JobId) {
    let world = acme_with([
        contact(1, json!({"Tags": ["VIP", "Old"], "ContactStatus": {"id": 2}, "ContactType": {"id": 3}})),
        contact(2, json!({})),
    ])
    .await;
    let body = json!({"tags": ["vip", " OLD "], "contactStage": [1, 2], "contactType": 3, "contactListView": "Person",
        "fromDate": "2020-12-08", "toDate": CREATED, "isPrivate": true, "managerList": [MIKE, SAM]});
    let path = "filter/access?filterValue=%20Contact%20%20ONTA";
    let reply = world.put_with(path, ADA_TOKEN, &body.to_string(), &[ASYNC]).await.unwrap();
    (world, job(&reply).unwrap())
}

#[tokio::test]
async fn job_has_the_specified_members_in_order() {
    let (world, id) = complete_job().await;
    world.set_clock(after(5));
    let mut snapshot = String::new();
    for state in ["queued", "done"] {
        let json = world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap();
        let xml =
            world.access_with("GET", &format!("jobs/{id}"), ADA_TOKEN, "", &[("accept", "text/xml")]).await.unwrap();
        let list = world.access_with("GET", "jobs", ADA_TOKEN, "", &[("accept", "application/xml")]).await.unwrap();
        // An object and a list of one item have the same XML.
        assert_eq!(xml.text, list.text);
        assert_eq!(world.get("jobs", ADA_TOKEN).await.unwrap().response(), json!([response(&json)]));
        assert_eq!(xml.header("content-type"), "text/xml; charset=utf-8");

        let members: BTreeSet<String> = response(&json).as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, MEMBERS.map(str::to_owned).into());
        let position = |text: &str, member: String| text.find(&member).unwrap_or_else(|| panic!("{member} in {text}"));
        let positions = MEMBERS.map(|member| position(&json.text, format!("\"{member}\":")));
        assert!(positions.is_sorted(), "{}", json.text);
        let positions = MEMBERS.map(|member| position(&xml.text, format!("<{member}")));
        assert!(positions.is_sorted(), "{}", xml.text);
        let text = format!("{state}\n{}\n{}\n", json.text, xml.text).replace(&id.to_string(), "JOB");
        snapshot += &text.replace("><", ">\n<").replace(",\"", ",\n\"");
        world.work().await.unwrap();
    }
    crate::check_file("job", &snapshot);
}

#[tokio::test]
async fn running_job_shows_progress_and_estimated_end() {
    let world = acme_with((1..=80).map(|id| contact(id, json!({})))).await;
    let id = queue(&world, ADA_TOKEN, &[MIKE]).await;
    world.set_clock(after(60));
    let mut matched = 0;
    for number in 0..4u16 {
        // A shard finishes every 10 s, the first one immediately.
        world.set_clock(after(60 + 10 * i64::from(number)));
        let message = world.queue.take().unwrap();
        world.jobs().work(&message, &jobs::Deadline::never()).await.unwrap();
        let shard = (1..=80).filter(|id| contact_id(*id).shard(4) == number).count();
        matched += shard;
        if number == 3 {
            break;
        }
        world.set_clock(after(70 + 10 * i64::from(number)));
        let job = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&job["state"], &job["started"]), (&json!("running"), &shown_at(after(60))));
        assert_eq!((&job["matched"], &job["updated"]), (&json!(matched), &json!(matched)));
        assert_eq!(job["percent"], 25 * (number + 1));
        #[expect(clippy::cast_precision_loss, reason = "80 contacts")]
        let per_second = (matched as f64 / f64::from(number + 1)).round() / 10.0;
        assert_eq!(job["perSecond"], per_second);
        // One shard took 10 s, two took 20, three took 30: the estimated end is 40 s after the start.
        assert_eq!(job["estimatedEnd"], shown_at(after(100)), "shard {number}");
        assert_eq!(job["finished"], Value::Null);
    }
    world.set_clock(after(1000));
    let job = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&job["state"], &job["percent"], &job["estimatedEnd"]), (&json!("done"), &json!(100), &Value::Null));
    assert_eq!((&job["finished"], &job["perSecond"]), (&shown_at(after(90)), &json!(2.7)));
    assert_eq!(counts(&job), [80, 80, 0, 0, 0, 0]);
}
