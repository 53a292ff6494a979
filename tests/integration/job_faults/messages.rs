//! Messages that arrive late, twice or at two workers.

use jobs::{Deadline, Worked};
use models::job::State;
use tests::TestBus;
use tests::faults::{Fault, Gate, When};

use super::bed::Bed;
use super::steps::{Step, at};

#[tokio::test]
async fn late_message_does_nothing() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let messages = bed.world.queue.waiting();
    bed.world.work().await.unwrap();
    bed.check_done(id).await;
    let (states, writes) = (bed.states().await, bed.world.trips.spent().writes);
    for message in &messages {
        assert_eq!(bed.world.jobs().work(message, &Deadline::never()).await.unwrap(), Worked::Nothing);
    }
    assert_eq!(bed.world.trips.spent().writes, writes);
    assert_eq!(bed.states().await, states);
    bed.check_done(id).await;
}

#[tokio::test]
async fn message_about_a_finished_shard_does_nothing_while_the_job_runs() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let (one, two) = (bed.world.queue.take().unwrap(), bed.world.queue.take().unwrap());
    let jobs = bed.world.jobs();
    assert_eq!(jobs.work(&one, &Deadline::never()).await.unwrap(), Worked::ShardDone);
    assert_eq!(jobs.work(&one, &Deadline::never()).await.unwrap(), Worked::Nothing);
    assert_eq!(bed.job(id).await.state, State::Running);
    assert_eq!(jobs.work(&two, &Deadline::never()).await.unwrap(), Worked::ShardDone);
    bed.check_done(id).await;
}

#[tokio::test]
async fn duplicate_message_is_processed_once() {
    for held in [Step::Start, Step::Chunk, Step::Batch, Step::Progress, Step::End] {
        let bed = Bed::new(1).await;
        let (id, message) = bed.enqueue_one().await;
        let (one, other) = (bed.process().await, bed.process().await);
        let gate = Gate::new();
        one.proxy.inject(at(held, 1, Fault::Hold(When::Before, gate.clone())));
        let (first, ()) = tokio::join!(one.work(&message), async {
            gate.reached().await;
            assert_eq!(other.work(&message).await.unwrap(), Worked::Nothing, "{held:?}");
            gate.open();
        });
        assert_eq!(first.unwrap(), Worked::ShardDone, "{held:?}");
        bed.check_done(id).await;
    }
}

#[tokio::test]
async fn one_of_two_workers_processes_a_message_received_by_both() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let (one, two) = (bed.process().await, bed.process().await);
    let (first, second) = tokio::join!(one.work(&message), two.work(&message));
    let mut worked = [first.unwrap(), second.unwrap()];
    worked.sort_by_key(|worked| *worked == Worked::Nothing);
    assert_eq!(worked, [Worked::ShardDone, Worked::Nothing]);
    bed.check_done(id).await;
}

#[tokio::test]
async fn two_workers_that_finish_the_last_shards_together_finish_the_job_once() {
    let bus = TestBus::default();
    let bed = Bed::new(2).await.publishing_on(&bus);
    let id = bed.enqueue().await;
    let (one, two) = (bed.process().await, bed.process().await);
    let (gate, messages) = (Gate::new(), bed.world.queue.waiting());
    bed.world.queue.clear();
    for worker in [&one, &two] {
        worker.proxy.inject(at(Step::Finish, 1, Fault::Hold(When::Before, gate.clone())));
    }
    let opening = async {
        gate.reached().await;
        gate.open();
    };
    let (first, second, ()) = tokio::join!(one.work(&messages[0]), two.work(&messages[1]), opening);
    assert_eq!((first.unwrap(), second.unwrap()), (Worked::ShardDone, Worked::ShardDone));
    bed.check_done(id).await;
    assert!((1..=2).contains(&bus.published().len()), "{:?}", bus.published());
}
