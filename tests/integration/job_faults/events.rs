//! Published events.

use jobs::events::JobEvent;
use jobs::{Applied, Deadline, Events, Jobs, Message, WorkError, Worked};
use models::job::{Kind, State};
use models::limits::{MESSAGE_DEADLINE_MILLIS, RETRY_MILLIS};
use serde_json::json;
use tests::TestBus;
use tests::faults::{Calls, Fault, When};

use super::bed::{Bed, is_dead, target};
use super::steps::{Step, at};
use crate::portal::{ADA, MIKE, SAM};

#[tokio::test]
async fn each_ended_job_publishes_one_event_with_its_outcome() {
    let bus = TestBus::default();
    let bed = Bed::new(2).await.publishing_on(&bus);
    let done = bed.applied().await;
    let undo = bed.undone(done).await.id;
    let too_many = bed.enqueue_at_most(Some(1)).await;
    bed.world.work().await.unwrap();
    let cancelled = bed.enqueue().await;
    bed.cancel(cancelled).await;
    // More messages than shards: late messages publish no event again.
    assert!(bed.world.work().await.unwrap() > 2);
    let published = bus.published();
    let expected = [(done, Kind::Filter), (undo, Kind::Undo), (too_many, Kind::Filter), (cancelled, Kind::Filter)];
    assert_eq!(published.iter().map(|event| (event.job_id, event.kind)).collect::<Vec<_>>(), expected);
    for event in &published {
        assert_eq!(event, &JobEvent::new(bed.portal.clone(), &bed.job(event.job_id).await));
        assert!(event.finished.is_some() && !bed.is_open(event.job_id).await);
    }
    let event = serde_json::to_value(&published[0]).unwrap();
    assert_eq!((&event["Portal"], &event["JobId"], &event["Kind"]), (&json!("acme"), &json!(done), &json!("filter")));
    assert_eq!((&event["State"], &event["CreatedBy"]), (&json!("done"), &json!(ADA)));
    assert_eq!((&event["Updated"], &event["Failed"]), (&json!(bed.to_change().len()), &json!(0)));
    assert_eq!(
        published.iter().map(|event| event.state.name()).collect::<Vec<_>>(),
        ["done", "done", "failed", "cancelled"]
    );
    assert_eq!((published[0].target.clone(), published[1].undo_of), (Some(target().into()), Some(done)));

    bed.pass(MESSAGE_DEADLINE_MILLIS);
    bed.sweep().await;
    assert_eq!(bus.published().len(), 4);
}

#[tokio::test]
async fn job_whose_event_is_refused_stays_open_and_publishes_later() {
    for is_synchronous in [false, true] {
        let bus = TestBus::default();
        let bed = Bed::new(1).await.publishing_on(&bus);
        bus.inject(Calls::all().meet(Fault::Refuse));
        let id = if is_synchronous {
            let id = bed.world.jobs().new_id();
            let applied = bed.run(target(), None).await.apply(bed.world.jobs(), id, &Deadline::never()).await.unwrap();
            assert!(matches!(applied, Applied::Completed { .. }), "the contacts are changed, whatever the bus says");
            id
        } else {
            let (id, message) = bed.enqueue_one().await;
            let error = bed.world.jobs().work(&message, &Deadline::never()).await.unwrap_err();
            assert!(matches!(error, WorkError::Bus(_)), "{error:?}");
            id
        };
        assert!(bed.job(id).await.is_over() && bed.is_open(id).await);
        bed.pass(MESSAGE_DEADLINE_MILLIS);
        assert_eq!(bed.sweep().await, 0);
        assert!(bed.is_open(id).await && bus.published().is_empty());
        bus.clear();
        bed.pass(RETRY_MILLIS);
        assert_eq!(bed.sweep().await, 0);
        assert_eq!(bus.published().iter().map(|event| event.job_id).collect::<Vec<_>>(), [id]);
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn repeated_message_publishes_an_event_that_the_bus_refused_before() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await.publishing_on(&bus);
    let (id, message) = bed.enqueue_one().await;
    bus.inject(Calls::all().meet(Fault::Refuse));
    for _ in 0..2 {
        bed.world.jobs().work(&message, &Deadline::never()).await.unwrap_err();
    }
    bus.clear();
    assert_eq!(bed.world.jobs().work(&message, &Deadline::never()).await.unwrap(), Worked::Nothing);
    assert_eq!(bus.published().len(), 1);
    bed.check_done(id).await;
}

#[tokio::test]
async fn worker_that_dies_around_publishing_loses_no_event() {
    for (died, when, times) in [
        (Step::Finish, When::After, 1),
        (Step::Close, When::Before, 2),
        (Step::Close, When::After, 1),
        (Step::End, When::After, 1),
    ] {
        let bus = TestBus::default();
        let bed = Bed::new(1).await.publishing_on(&bus);
        let (id, message) = bed.enqueue_one().await;
        let dead = bed.process().await;
        dead.proxy.inject(at(died, 1, Fault::Die(when)));
        assert!(is_dead(&dead.work(&message).await.unwrap_err()));
        for _ in 0..2 {
            bed.recover().await;
            assert_eq!(
                bus.published().iter().map(|event| event.job_id).collect::<Vec<_>>(),
                vec![id; times],
                "{died:?}"
            );
        }
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn process_without_a_bus_leaves_publishing_to_a_worker() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await.with(|jobs| Jobs { events: Events::Elsewhere, ..jobs });
    let id = bed.world.jobs().new_id();
    bed.run(target(), None).await.apply(bed.world.jobs(), id, &Deadline::never()).await.unwrap();
    let publish = Message { portal: bed.portal.clone(), job: id, shard: None };
    assert_eq!(bed.world.queue.waiting(), std::slice::from_ref(&publish));
    assert!(bed.job(id).await.is_over() && bed.is_open(id).await);
    // The message is lost and the sweep sends it again.
    bed.world.queue.clear();
    bed.pass(MESSAGE_DEADLINE_MILLIS);
    bed.sweep().await;
    assert_eq!(bed.world.queue.take(), Some(publish.clone()));
    let publisher = Jobs { events: bus.events(), ..bed.world.jobs().clone() };
    for _ in 0..2 {
        assert_eq!(publisher.work(&publish, &Deadline::never()).await.unwrap(), Worked::Nothing);
        assert_eq!(bus.published().iter().map(|event| event.job_id).collect::<Vec<_>>(), [id]);
    }
    bed.check_done(id).await;
}

#[tokio::test]
async fn sweep_publishes_a_single_change_and_only_a_bus_costs_an_open_entry() {
    let bus = TestBus::default();
    let bed = Bed::new(1).await;
    let silent = bed.set(6, &[MIKE, SAM]).await;
    assert!(!bed.is_open(silent).await);
    let bed = bed.publishing_on(&bus);
    let id = bed.set(6, &[SAM]).await;
    assert!(bed.is_open(id).await);
    for _ in 0..2 {
        assert_eq!(bed.sweep().await, 0);
        assert_eq!(bus.published(), [JobEvent::new(bed.portal.clone(), &bed.job(id).await)]);
        assert!(!bed.is_open(id).await);
    }
    assert_eq!((bus.published()[0].kind, bus.published()[0].state), (Kind::Contact, State::Done));
    // While the bus refuses the event, the job stays open.
    bus.inject(Calls::all().meet(Fault::Refuse));
    let id = bed.set(6, &[MIKE]).await;
    bed.sweep().await;
    assert!(bed.is_open(id).await && bus.published().len() == 1);
    bus.clear();
    bed.pass(RETRY_MILLIS);
    bed.sweep().await;
    assert_eq!(bus.published().last().map(|event| event.job_id), Some(id));
}
