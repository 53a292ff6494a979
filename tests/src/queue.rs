//! The queue of a world.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use jobs::{Message, Queue, QueueError};

/// A queue that keeps messages until a test takes them.
#[derive(Clone, Debug, Default)]
pub struct TestQueue(Arc<Mutex<VecDeque<Message>>>);

impl TestQueue {
    fn messages(&self) -> MutexGuard<'_, VecDeque<Message>> {
        // A panic cannot corrupt the queue, and its test has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the waiting messages, oldest first.
    pub fn waiting(&self) -> Vec<Message> {
        self.messages().iter().cloned().collect()
    }

    /// Takes the oldest message.
    pub fn take(&self) -> Option<Message> {
        self.messages().pop_front()
    }

    /// Loses all messages.
    pub fn clear(&self) {
        self.messages().clear();
    }
}

impl Queue for TestQueue {
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.messages().extend(messages);
        Box::pin(std::future::ready(Ok(())))
    }
}
