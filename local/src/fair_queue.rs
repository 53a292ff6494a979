//! The queue of one process, in memory, which serves portals in turn.
//!
//! Each portal has its own queue, with a queue for each of its jobs. A worker takes the next message of the portal
//! whose turn it is. So a portal with hundreds of messages delays another portal by one message, and a user with many
//! jobs delays a colleague by one message for each of these jobs.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jobs::{Message, Queue, QueueError};
use models::job::JobId;
use models::limits::MAX_TRIES;
use models::values::id::PortalId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The first pause before a message whose work failed is delivered again, before jitter.
const REDELIVERY_BASE: Duration = Duration::from_millis(25);
/// The longest pause before a redelivery, before jitter.
const REDELIVERY_CAP: Duration = Duration::from_secs(30);

/// The sender of an in-memory queue that serves portals in turn.
#[derive(Clone, Debug)]
pub struct LocalQueue(Arc<Waiting>);

/// The receiver of a [`LocalQueue`]. After its drop the queue accepts no more messages.
#[derive(Debug)]
pub struct Messages(Arc<Waiting>);

/// Creates a queue, as its sender and its receiver.
pub fn queue() -> (LocalQueue, Messages) {
    let waiting = Arc::new(Waiting::default());
    (LocalQueue(waiting.clone()), Messages(waiting))
}

/// A message for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// The number of failed attempts.
    failures: u32,
}

/// The error of a queue whose receiver was dropped, and which accepts no message.
#[derive(Debug, thiserror::Error)]
#[error("the workers have ended")]
struct Ended;

#[derive(Debug, Default)]
struct Waiting {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: Turns<PortalId, Turns<JobId, VecDeque<Delivery>>>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    closed: bool,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while holding the lock. The queue stays usable even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Appends a message to the queue of its job, unless an equal message already waits. A message only names the shard
    /// to work on, so an equal message adds nothing, and a job never has more messages in memory than shards.
    fn push(&mut self, delivery: Delivery) {
        let Message { portal, job, .. } = &delivery.message;
        let of_job = self.ready.queue(portal).queue(job);
        if !of_job.iter().any(|waiting| waiting.message == delivery.message) {
            of_job.push_back(delivery);
        }
    }

    fn take(&mut self) -> Option<Delivery> {
        self.ready.take_turn(|of_portal| {
            let delivery = of_portal.take_turn(|of_job| (of_job.pop_front(), of_job.is_empty())).flatten();
            (delivery, of_portal.is_empty())
        })?
    }

    /// Delays a failed message. Returns false after [`MAX_TRIES`] failures.
    fn redeliver(&mut self, delivery: Delivery, now: Instant) -> bool {
        let failures = delivery.failures + 1;
        if failures >= MAX_TRIES {
            return false;
        }
        let pause = REDELIVERY_BASE.saturating_mul(1 << delivery.failures).min(REDELIVERY_CAP);
        let until = now + pause.mul_f64(fastrand::f64());
        self.delayed.push(Reverse(Delayed { until, delivery: Delivery { failures, ..delivery } }));
        true
    }

    /// Makes delayed messages ready once their pause has ended. Returns the end of the next pause.
    fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse(first)) = self.delayed.peek() {
            if first.until > now {
                return Some(first.until);
            }
            if let Some(Reverse(Delayed { delivery, .. })) = self.delayed.pop() {
                self.push(delivery);
            }
        }
        None
    }
}

impl Messages {
    /// Waits for the next message.
    pub async fn next(&self) -> Delivery {
        loop {
            let arrived = self.0.arrived.notified();
            let next_pause = {
                let mut state = self.0.state();
                let next_pause = state.wake(Instant::now());
                if let Some(delivery) = state.take() {
                    return delivery;
                }
                next_pause
            };
            match next_pause {
                Some(until) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(until) => {}
                },
                None => arrived.await,
            }
        }
    }

    /// Redelivers a failed message after a pause that grows with each failure. Returns false after [`MAX_TRIES`]
    /// failures: the message is dropped, and the sweep finds its job in the table.
    pub fn redeliver(&self, delivery: Delivery) -> bool {
        let redelivered = self.0.state().redeliver(delivery, Instant::now());
        // Wake a waiting worker, so that the worker also waits for the end of this pause.
        self.0.arrived.notify_one();
        redelivered
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.0.state().closed = true;
    }
}

impl Queue for LocalQueue {
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        let count = messages.len();
        let mut state = self.0.state();
        let sent = if state.closed {
            Err(QueueError { messages: count, source: Box::new(Ended) })
        } else {
            messages.into_iter().for_each(|message| state.push(Delivery { message, failures: 0 }));
            Ok(())
        };
        drop(state);
        (0..count).for_each(|_| self.0.arrived.notify_one());
        Box::pin(std::future::ready(sent))
    }
}

/// A message that is delivered after a pause.
#[derive(Debug)]
struct Delayed {
    until: Instant,
    delivery: Delivery,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Delayed {}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.until.cmp(&other.until)
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Queues that take turns. An empty queue has no turn.
#[derive(Debug)]
struct Turns<K, Q> {
    order: VecDeque<K>,
    queues: HashMap<K, Q>,
}

impl<K, Q> Default for Turns<K, Q> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash, Q: Default> Turns<K, Q> {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns the queue of `key`. A new queue gets the last turn.
    fn queue(&mut self, key: &K) -> &mut Q {
        match self.queues.entry(key.clone()) {
            Entry::Occupied(queue) => queue.into_mut(),
            Entry::Vacant(entry) => {
                self.order.push_back(key.clone());
                entry.insert(Q::default())
            }
        }
    }

    /// Takes an item from the queue whose turn it is. `take` also returns whether the queue is then empty.
    fn take_turn<T>(&mut self, take: impl FnOnce(&mut Q) -> (T, bool)) -> Option<T> {
        let key = self.order.pop_front()?;
        let (item, is_empty) = take(self.queues.get_mut(&key)?);
        if is_empty {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workers::WORKERS;

    fn message(portal: &str, job: u128, shard: u16) -> Message {
        let job = format!("00000000-0000-0000-0000-{job:012}");
        serde_json::from_value(json!({"portal": portal, "job": job, "shard": shard})).unwrap()
    }

    async fn send(queue: &LocalQueue, messages: impl IntoIterator<Item = Message>) {
        queue.send(messages.into_iter().collect()).await.unwrap();
    }

    async fn next(messages: &Messages, count: usize) -> Vec<Message> {
        let mut received = Vec::new();
        for _ in 0..count {
            received.push(messages.next().await.message);
        }
        received
    }

    #[tokio::test]
    async fn portal_with_three_hundred_messages_delays_another_portal_by_one_message() {
        let (queue, messages) = queue();
        send(&queue, (0..300).map(|job| message("acme", job, 0))).await;
        // All workers are busy with the first portal when the second portal sends its message.
        next(&messages, WORKERS).await;
        let late = message("zenith", 1, 0);
        send(&queue, [late.clone()]).await;
        let received = next(&messages, WORKERS + 1).await;
        assert_eq!(received.iter().position(|message| *message == late), Some(1));
    }

    #[tokio::test]
    async fn portals_take_turns_and_so_do_the_jobs_of_a_portal() {
        let (queue, messages) = queue();
        send(&queue, (0..3).map(|shard| message("acme", 1, shard))).await;
        send(&queue, (0..2).map(|shard| message("acme", 2, shard))).await;
        send(&queue, [message("zenith", 3, 0)]).await;
        let expected =
            [("acme", 1, 0), ("zenith", 3, 0), ("acme", 2, 0), ("acme", 1, 1), ("acme", 2, 1), ("acme", 1, 2)];
        assert_eq!(next(&messages, 6).await, expected.map(|(portal, job, shard)| message(portal, job, shard)));
    }

    #[tokio::test]
    async fn waiting_message_is_not_queued_again() {
        let (queue, messages) = queue();
        send(&queue, [message("acme", 1, 0), message("acme", 1, 1), message("acme", 1, 0)]).await;
        next(&messages, 1).await;
        // A worker has received the first message, so an equal message is queued again.
        send(&queue, [message("acme", 1, 0)]).await;
        assert_eq!(next(&messages, 2).await, [message("acme", 1, 1), message("acme", 1, 0)]);
    }

    #[test]
    fn failed_message_is_delayed_and_dropped_after_ten_failures() {
        let (mut state, mut now) = (State::default(), Instant::now());
        let [failing, other] = [message("acme", 1, 0), message("zenith", 2, 0)];
        state.push(Delivery { message: failing.clone(), failures: 0 });
        for _ in 1..MAX_TRIES {
            let failed = state.take().unwrap();
            assert_eq!(failed.message, failing);
            assert!(state.redeliver(failed, now));
            // The pause delays no other message.
            state.push(Delivery { message: other.clone(), failures: 0 });
            assert_eq!(state.take().unwrap().message, other);
            assert_eq!(state.take(), None);
            now += REDELIVERY_CAP;
            assert_eq!(state.wake(now), None);
        }
        let failed = state.take().unwrap();
        assert!(!state.redeliver(failed, now));
        assert_eq!((state.take(), state.wake(now)), (None, None));
    }

    #[tokio::test]
    async fn each_waiting_worker_gets_one_message_of_a_batch() {
        let (queue, messages) = queue();
        let sent: Vec<Message> = (0..WORKERS).map(|shard| message("acme", 1, shard.try_into().unwrap())).collect();
        let workers = futures::future::join_all((0..WORKERS).map(|_| messages.next()));
        let (received, ()) = futures::join!(workers, send(&queue, sent.clone()));
        let mut received: Vec<Message> = received.into_iter().map(|delivery| delivery.message).collect();
        received.sort_by_key(|message| message.shard);
        assert_eq!(received, sent);
    }
}
