//! Runs that wait for workers.

use axum::body::Body;
use lambda_http::RequestExt as _;
use lambda_http::http::Request;
use serde_json::{Value, json};
use tests::{Reply, World};

use super::{ASYNC, accesses, counts, five, response, run, shown};
use crate::portal::{ADA_TOKEN, MIKE, access_of, acme_with, job, private};

#[tokio::test]
async fn respond_async_gets_a_queued_job_that_workers_run() {
    for prefer in [
        &["respond-async"][..],
        &["respond-async, wait=10"],
        &["wait=10,Respond-Async"],
        &["RESPOND-ASYNC;q=1"],
        &["wait=10", "respond-async"],
    ] {
        let world = acme_with(five()).await;
        let before = accesses(&world, 1..=5).await;
        let headers: Vec<_> = prefer.iter().map(|value| ("prefer", *value)).collect();
        let reply = run(&world, ADA_TOKEN, "", &[MIKE], &headers).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        assert_eq!(reply.header("preference-applied"), "respond-async", "{prefer:?}");
        let id = job(&reply).unwrap();
        assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{id}"));
        let queued = response(&reply);
        assert_eq!(
            (&queued["id"], &queued["state"], &queued["kind"]),
            (&json!(id), &json!("queued"), &json!("filter"))
        );
        assert_eq!((counts(&queued), &queued["percent"], &queued["started"]), ([0; 6], &json!(0), &Value::Null));
        assert_eq!(accesses(&world, 1..=5).await, before);

        let location = Request::get(reply.header("location")).header("authorization", ADA_TOKEN);
        let found = world.request(location.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!((found.status.as_u16(), found.response()), (200, reply.response()));

        assert_eq!(world.work().await.unwrap(), 4);
        let done = shown(&world, ADA_TOKEN, id).await;
        assert_eq!((&done["state"], &done["percent"], &done["error"]), (&json!("done"), &json!(100), &Value::Null));
        assert_eq!(counts(&done), [5, 4, 1, 0, 0, 0]);
        assert!(accesses(&world, 1..=5).await.values().all(|access| *access == private(&[MIKE])));
    }
}

#[tokio::test]
async fn other_preferences_do_not_make_a_run_asynchronous() {
    for prefer in ["wait=10", "respond-asynchronously", "return=minimal", ""] {
        let world = acme_with(five()).await;
        let reply = run(&world, ADA_TOKEN, "", &[MIKE], &[("prefer", prefer)]).await;
        assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (200, ""), "{prefer}");
        assert_eq!(reply.count("x-updated-count"), Some(4), "{prefer}");
        assert_eq!(world.queue.waiting(), []);
    }
}

/// Sends a run whose deadline has passed.
async fn late(world: &World, query: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::put(format!("/api/2.0/crm/contact/filter/access?{query}"))
        .header("authorization", ADA_TOKEN)
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::from(json!({"isPrivate": true, "managerList": [MIKE]}).to_string());
    // The context's deadline is long past.
    world.request(request.body(body).unwrap().with_lambda_context(lambda_http::Context::default())).await.unwrap()
}

#[tokio::test]
async fn run_over_its_deadline_is_queued() {
    let world = acme_with(five()).await;
    let reply = late(&world, "", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (202, ""), "{}", reply.text);
    let id = job(&reply).unwrap();
    assert_eq!(reply.header("location"), format!("/api/2.0/crm/access/jobs/{id}"));
    assert_eq!(response(&reply)["state"], "running");
    assert_eq!(access_of(&world, 1).await.revision, None);
    assert_eq!(world.work().await.unwrap(), 4);
    let done = shown(&world, ADA_TOKEN, id).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [5, 4, 1, 0, 0, 0]));
    assert!(accesses(&world, 1..=5).await.values().all(|access| *access == private(&[MIKE])));
}

#[tokio::test]
async fn queued_run_with_a_limit_counts_before_it_writes() {
    for (limit, state, updated) in [(3, "failed", 0), (4, "done", 4)] {
        for prefers in [true, false] {
            let world = acme_with(five()).await;
            let query = format!("maxAffected={limit}");
            let reply = match prefers {
                true => run(&world, ADA_TOKEN, &query, &[MIKE], &[ASYNC]).await,
                false => late(&world, &query, &[]).await,
            };
            assert_eq!(reply.status, 202, "{}", reply.text);
            assert_eq!(reply.header("preference-applied"), if prefers { "respond-async" } else { "" });
            assert_eq!(response(&reply)["state"], "queued");
            world.work().await.unwrap();
            let over = shown(&world, ADA_TOKEN, job(&reply).unwrap()).await;
            assert_eq!((&over["state"], &over["updated"]), (&json!(state), &json!(updated)), "{over}");
            if state == "failed" {
                let error = over["error"].as_str().unwrap();
                assert!(error.contains("4 contacts would be") && error.contains("maxAffected allows 3"), "{error}");
                assert_eq!(access_of(&world, 1).await.revision, None);
            } else {
                assert_eq!(counts(&over), [5, 4, 1, 0, 0, 0]);
            }
            assert_eq!(world.jobs().sweep(jobs::Abandoned::All, &jobs::Deadline::never()).await.unwrap(), 0);
        }
    }
}
