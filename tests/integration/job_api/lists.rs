//! Lists of jobs.

use aws_sdk_dynamodb::types::AttributeValue;
use models::job::JobId;
use models::values::id::UserId;
use serde_json::json;
use store::keys::{Key, PK, SK};
use tests::World;

use super::shown_jobs::complete_job;
use super::{after, five, ids, outcome, pages, queue, shown};
use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, READER_TOKEN, SAM, SAM_TOKEN, ZOE_TOKEN, acme, contact, id, lines, zenith,
};

/// Makes thirty single changes, one a second, every third by Mike. Returns the jobs, newest first, each with its user.
async fn thirty() -> (World, Vec<(String, UserId)>) {
    let mut values = acme();
    values.push(contact(1, json!({})));
    values.extend(zenith());
    values.push(contact(1, json!({})));
    let world = World::with(&lines(values)).await.unwrap();
    let mut jobs = Vec::new();
    for second in 0..30 {
        world.set_clock(after(second));
        let (token, user) = if second % 3 == 0 { (MIKE_TOKEN, MIKE) } else { (ADA_TOKEN, ADA) };
        let managers = if second % 2 == 0 { [SAM] } else { [MIKE] };
        let reply = world.put("1/access", token, &json!({"isShared": true, "managerList": managers})).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        jobs.push((reply.header("x-job-id").to_owned(), user));
    }
    let reply = world.put("1/access", ZOE_TOKEN, &json!({"isShared": false})).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    jobs.reverse();
    (world, jobs)
}

#[tokio::test]
async fn administrator_lists_all_jobs_and_user_its_own_newest_first() {
    let (world, jobs) = thirty().await;
    let all: Vec<String> = jobs.iter().map(|(id, _)| id.clone()).collect();
    let mikes: Vec<String> = jobs.iter().filter(|(_, user)| *user == MIKE).map(|(id, _)| id.clone()).collect();
    let first = world.get("jobs", ADA_TOKEN).await.unwrap();
    assert_eq!((ids(&first.json()), first.count("x-next-index")), (all[..25].to_vec(), Some(25)));
    let second = world.get("jobs?startIndex=25", ADA_TOKEN).await.unwrap();
    assert_eq!((ids(&second.json()), second.count("x-next-index")), (all[25..].to_vec(), None));
    // A read-only token suffices.
    assert_eq!(ids(&world.get("jobs?count=1000", READER_TOKEN).await.unwrap().json()), all);
    let own = world.get("jobs", MIKE_TOKEN).await.unwrap();
    assert_eq!((ids(&own.json()), own.count("x-next-index")), (mikes.clone(), None));
    assert_eq!(world.get("jobs", SAM_TOKEN).await.unwrap().response(), json!([]));
    assert_eq!(ids(&world.get("jobs", ZOE_TOKEN).await.unwrap().json()).len(), 1);

    for size in [1, 4, 7, 10, 29, 30, 31] {
        assert_eq!(ids(&json!(pages(&world, "jobs", ADA_TOKEN, size).await)), all, "{size}");
        assert_eq!(ids(&json!(pages(&world, "jobs", MIKE_TOKEN, size).await)), mikes, "{size}");
    }
    for query in ["count=0", "count=0&startIndex=3", "startIndex=30", "startIndex=10000"] {
        for token in [ADA_TOKEN, MIKE_TOKEN] {
            let reply = world.get(&format!("jobs?{query}"), token).await.unwrap();
            assert_eq!((reply.response(), reply.count("x-next-index")), (json!([]), None), "{query}");
        }
    }
    for second in [0, 1] {
        assert_eq!(shown(&world, ADA_TOKEN, jobs[second].0.parse().unwrap()).await, first.response()[second]);
    }
}

#[tokio::test]
async fn run_without_a_record_hides_no_other_job_of_its_user() {
    let (world, jobs) = thirty().await;
    let mut mikes: Vec<String> = jobs.iter().filter(|(_, user)| *user == MIKE).map(|(id, _)| id.clone()).collect();
    // The state left by a process that died between a job's entry in its user's list and the job's record.
    let died = mikes.remove(1).parse().unwrap();
    let (pk, sk) = Key::Job(id("acme"), died).encode();
    let request = world.client.delete_item().table_name(&world.table);
    request.key(PK, AttributeValue::S(pk)).key(SK, AttributeValue::S(sk)).send().await.unwrap();
    let (mut found, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        let page = world.get(&format!("jobs?count=3&startIndex={start}"), MIKE_TOKEN).await.unwrap();
        found.extend(ids(&page.json()));
        next = page.count("x-next-index");
    }
    assert_eq!(found, mikes);
}

#[tokio::test]
async fn unknown_parameter_of_a_list_is_refused() {
    let (world, id) = complete_job().await;
    for (path, field) in [
        ("jobs?status=done".to_owned(), "status"),
        ("jobs?count=-1".to_owned(), "count"),
        ("jobs?count=x".to_owned(), "count"),
        ("jobs?startIndex=10001".to_owned(), "startIndex"),
        ("jobs?count=1&count=2".to_owned(), "count"),
        (format!("jobs/{id}?count=1"), "count"),
        (format!("jobs/{id}/changes?page=1"), "page"),
    ] {
        let reply = world.get(&path, ADA_TOKEN).await.unwrap();
        assert_eq!(outcome(&reply), "400 invalid-request", "{path}: {}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{path}: {}", reply.text);
    }
    for path in [format!("jobs/{id}/undo?x=1"), format!("jobs/{id}/cancel?dryRun=true")] {
        assert_eq!(outcome(&world.post(&path, ADA_TOKEN).await.unwrap()), "400 invalid-request", "{path}");
    }
    assert_eq!(shown(&world, ADA_TOKEN, id).await["state"], "queued");
}

#[tokio::test]
async fn invisible_job_is_answered_as_missing() {
    let mut values = acme();
    values.extend(five());
    values.extend(zenith());
    let world = World::with(&lines(values)).await.unwrap();
    let id = queue(&world, MIKE_TOKEN, &[MIKE]).await;
    let unknown = JobId::from_u128(12345);
    for (token, id) in [(SAM_TOKEN, id), (ZOE_TOKEN, id), (ADA_TOKEN, unknown), (MIKE_TOKEN, unknown)] {
        for (method, action) in [("GET", ""), ("GET", "/changes"), ("POST", "/undo"), ("POST", "/cancel")] {
            let reply = world.access_with(method, &format!("jobs/{id}{action}"), token, "", &[]).await.unwrap();
            assert_eq!(outcome(&reply), "404 job-not-found", "{method} {action}");
        }
    }
    for name in ["5", "x", "00000000-0000-0000-0000-00000000000g", "%20"] {
        for (method, action) in [("GET", ""), ("GET", "/changes"), ("POST", "/undo"), ("POST", "/cancel")] {
            let reply = world.access_with(method, &format!("jobs/{name}{action}"), ADA_TOKEN, "", &[]).await.unwrap();
            assert_eq!(outcome(&reply), "400 invalid-request", "{name}{action}");
            assert_eq!(reply.json()["error"]["details"][0]["field"], "jobid");
        }
    }
    for action in ["/undo", "/cancel"] {
        let reply = world.post(&format!("jobs/{id}{action}"), READER_TOKEN).await.unwrap();
        assert_eq!(outcome(&reply), "403 scope-missing");
    }
    for token in [MIKE_TOKEN, ADA_TOKEN] {
        assert_eq!(shown(&world, token, id).await["state"], "queued");
    }
}
