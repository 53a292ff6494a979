//! Jobs when something goes wrong at one exact call: a worker dies or is slow, an answer is lost, a message arrives
//! twice or never, a caller cancels, or another user changes a contact.

mod bed;
mod calls;
mod cancel;
mod count_limit;
mod events;
mod leases;
mod lost_answers;
mod messages;
mod own_filter;
mod previews;
mod refusals;
mod retention;
mod steps;
mod sweeps;
mod takeover;
mod undo;

use std::sync::{Arc, Mutex};

use jobs::Worked;

pub(crate) use bed::{Bed, Process, for_each_death, target};
pub(crate) use steps::{Step, at, refusing, step, written_by};

#[tokio::test]
async fn each_shard_of_the_test_portal_has_three_equal_pages() {
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    let steps = Arc::new(Mutex::new(Vec::new()));
    let recorded = steps.clone();
    worker.proxy.observe(move |call| recorded.lock().unwrap().extend(step(call)));
    assert_eq!(worker.work(&message).await.unwrap(), Worked::ShardDone);
    let page = [Step::Chunk, Step::Post, Step::Batch, Step::Progress];
    let mut steps = steps.lock().unwrap().clone();
    // A chunk and the postings of its contacts are written concurrently.
    for at in 1..steps.len() {
        if steps[at - 1..=at] == [Step::Post, Step::Chunk] {
            steps.swap(at - 1, at);
        }
    }
    let mut expected = vec![Step::Claim, Step::Start];
    expected.extend(page.iter().cycle().take(11));
    expected.extend([Step::End, Step::Finish, Step::Close]);
    assert_eq!(steps, expected);
    bed.check_done(id).await;
}
