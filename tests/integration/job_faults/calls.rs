//! Calls that wait for their run, and deadlines.

use api::App;
use jobs::{Applied, Deadline, Worked};
use models::limits::LEASE_MILLIS;
use serde_json::json;
use tests::faults::{Fault, When};
use tokio::time::Instant;

use super::bed::{Bed, target};
use super::steps::{Step, at, step};
use crate::portal::{ADA, ADA_TOKEN};

#[tokio::test]
async fn workers_finish_a_call_whose_process_died() {
    for (step, which) in [(Step::Chunk, 1), (Step::Batch, 1), (Step::Batch, 4), (Step::Progress, 2), (Step::Finish, 1)]
    {
        for when in When::BOTH {
            let bed = Bed::new(2).await;
            let dead = bed.process().await;
            dead.proxy.inject(at(step, which, Fault::Die(when)));
            let router = local::router::router(&App::new(dead.jobs.clone(), std::time::Duration::from_secs(3600)));
            let body = json!({"isPrivate": true, "managerList": [ADA]}).to_string();
            let request = axum::http::Request::put("/api/2.0/crm/contact/filter/access")
                .header("authorization", ADA_TOKEN)
                .header("content-type", "application/json")
                .body(axum::body::Body::from(body))
                .unwrap();
            tower::ServiceExt::oneshot(router, request).await.unwrap();
            assert!(dead.proxy.is_dead(), "{step:?}");
            // Messages of the dead process were never sent.
            bed.world.queue.clear();

            let jobs = bed.world.jobs_of(&bed.portal, None).await.unwrap();
            let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
            assert!(bed.is_open(job.id).await);
            bed.pass(LEASE_MILLIS - 1);
            assert_eq!(bed.sweep().await, 0);
            bed.pass(1);
            bed.sweep().await;
            bed.world.work().await.unwrap();
            bed.check_done(job.id).await;
            bed.undone(job.id).await;
            bed.check_restored().await;
        }
    }
}

#[tokio::test]
async fn workers_finish_a_run_that_reached_its_deadline() {
    let bed = Bed::new(2).await;
    let (run, id) = (bed.run(target(), None).await, bed.world.jobs().new_id());
    let applied = run.apply(bed.world.jobs(), id, &Deadline::at(Instant::now())).await.unwrap();
    assert!(matches!(applied, Applied::Requeued(job) if job.id == id));
    assert_eq!(bed.world.queue.waiting().len(), 2);
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_requeues_the_rest_at_its_deadline() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut stop = Some(stop);
    worker.proxy.observe(move |call| {
        if step(call) == Some(Step::Batch)
            && let Some(stop) = stop.take()
        {
            stop.send_replace(true);
        }
    });
    let worked = worker.jobs.work(&message, &Deadline::on_signal(stopped)).await.unwrap();
    assert_eq!((worked, bed.world.queue.waiting()), (Worked::Requeued, vec![message]));
    // The worker finished its current page.
    assert_eq!(bed.written(id).await.len(), bed.changes(id).await.len());
    assert!(!bed.written(id).await.is_empty());
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}
