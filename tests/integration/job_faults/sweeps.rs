//! Work that no worker does until the sweep finds the work.

use jobs::{Abandoned, Deadline};
use models::limits::MESSAGE_DEADLINE_MILLIS;
use serde_json::json;
use tests::faults::{Fault, When};

use super::bed::{Bed, is_dead, target};
use super::steps::{Step, at};
use crate::portal::{ADA, ADA_TOKEN};

#[tokio::test]
async fn sweep_closes_a_job_whose_shards_are_finished() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let dead = bed.process().await;
    dead.proxy.inject(at(Step::Finish, 1, Fault::Die(When::Before)));
    assert!(is_dead(&dead.work(&message).await.unwrap_err()));
    assert_eq!(bed.sweep().await, 0);
    assert!(!bed.job(id).await.is_over() && bed.is_open(id).await);
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    // The sweep closes the job without a worker.
    assert_eq!((bed.sweep().await, bed.world.queue.waiting()), (0, vec![]));
    bed.check_done(id).await;
}

#[tokio::test]
async fn sweep_sends_lost_messages_again_once_per_message_deadline() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    for _ in 0..2 {
        bed.world.queue.clear();
        assert_eq!(bed.sweep().await, 0);
        bed.pass(MESSAGE_DEADLINE_MILLIS - 1);
        assert_eq!((bed.sweep().await, bed.world.queue.waiting().len()), (0, 0));
        bed.pass(1);
        assert_eq!((bed.sweep().await, bed.world.queue.waiting().len()), (2, 2));
        assert_eq!((bed.sweep().await, bed.world.queue.waiting().len()), (0, 2));
    }
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    assert_eq!(bed.sweep().await, 0);
}

#[tokio::test]
async fn sweep_sends_only_the_lost_message_again() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let lost = bed.world.queue.take().unwrap();
    bed.world.work().await.unwrap();
    assert!(!bed.job(id).await.is_over());
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    assert_eq!((bed.sweep().await, bed.world.queue.waiting()), (1, vec![lost]));
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn single_worker_resumes_everything_at_once_after_a_restart() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let dead = bed.process().await;
    dead.proxy.inject(at(Step::Batch, 2, Fault::Die(When::Before)));
    dead.work(&bed.world.queue.take().unwrap()).await.unwrap_err();
    bed.world.queue.clear();
    assert_eq!(bed.sweep().await, 0);
    assert_eq!(bed.world.jobs().sweep(Abandoned::All, &Deadline::never()).await.unwrap(), 2);
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
}

#[tokio::test]
async fn job_without_a_record_is_invisible_and_its_open_entry_is_removed() {
    for is_synchronous in [false, true] {
        let bed = Bed::new(2).await;
        let dead = bed.process().await;
        dead.proxy.inject(at(Step::Record, 1, Fault::Die(When::Before)));
        let (run, id) = (bed.run(target(), None).await, bed.world.jobs().new_id());
        if is_synchronous {
            run.apply(&dead.jobs, id, &Deadline::never()).await.unwrap_err();
        } else {
            run.enqueue(&dead.jobs, id).await.unwrap_err();
        }
        bed.world.queue.clear();
        let shown = async || {
            let reply = bed.world.get("jobs", ADA_TOKEN).await.unwrap();
            let own = bed.world.jobs_of(&bed.portal, Some(ADA)).await.unwrap();
            (reply.status.as_u16(), reply.response(), own)
        };
        assert_eq!(shown().await, (200, json!([]), vec![]));
        assert_eq!((bed.sweep().await, bed.is_open(id).await), (0, true));
        bed.pass(MESSAGE_DEADLINE_MILLIS);
        assert_eq!((bed.sweep().await, bed.is_open(id).await), (0, false));
        assert_eq!(shown().await, (200, json!([]), vec![]));
        assert_eq!(bed.world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap().status, 404);
        assert_eq!(bed.states().await, bed.originals);
    }
}
