//! The limiter of bulk writes in the process of the service: the rule of the crate `limiter`, with senders that wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limiter::{Admission, Batch, Limiter};
use tokio::sync::{Mutex as Turn, Notify};

use crate::dynamodb::backoff::Time;
use crate::error::StoreError;

/// The limiter of one table, which all bulk writers of the process share.
#[derive(Debug)]
pub(crate) struct Pressure {
    limiter: Mutex<Limiter>,
    /// Held by the one sender that waits for the rate or the window. The others wait in order of arrival.
    turn: Turn<()>,
    ended: Notify,
    time: Arc<dyn Time>,
    /// The moment from which the limiter counts its time.
    start: Instant,
}

impl Pressure {
    /// Returns a limiter that knows nothing about the table.
    pub(crate) fn new(time: Arc<dyn Time>) -> Self {
        Self {
            limiter: Mutex::new(Limiter::new(Duration::ZERO)),
            turn: Turn::new(()),
            ended: Notify::new(),
            start: time.now(),
            time,
        }
    }

    /// Waits until a batch of `items` may be sent. A dropped future leaves no trace.
    pub(crate) async fn admit(&self, items: usize) -> Permit<'_> {
        let _turn = self.turn.lock().await;
        loop {
            let now = self.now();
            let admission = self.limiter().admit(now, items);
            match admission {
                Admission::Granted => return Permit { pressure: self, batch: Batch { items, sent: now } },
                Admission::NotBefore(due) => self.time.pause(due.saturating_sub(now)).await,
                Admission::AfterAnother => self.ended.notified().await,
            }
        }
    }

    /// Waits until one item may be written, makes the write, and reports the result.
    pub(crate) async fn write_one<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let permit = self.admit(1).await;
        let written = write.await;
        match &written {
            Ok(_) => permit.finished(1, 0),
            Err(error) if error.is_throttled() => permit.finished(0, 1),
            Err(_) => drop(permit),
        }
        written
    }

    fn now(&self) -> Duration {
        self.time.now().saturating_duration_since(self.start)
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        // The limiter is valid after each statement, so a panic elsewhere does not spoil the limiter.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send one batch. A dropped permit frees its place in the window. The batch still counts in the rate.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit<'a> {
    pressure: &'a Pressure,
    batch: Batch,
}

impl Permit<'_> {
    /// Reports the result. `rejected` counts the items that were throttled or unprocessed. Items that failed for
    /// another reason count as neither.
    pub(crate) fn finished(self, accepted: usize, rejected: usize) {
        let now = self.pressure.now();
        self.pressure.limiter().answered(now, self.batch, accepted, rejected);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.pressure.limiter().ended();
        self.pressure.ended.notify_one();
    }
}

#[cfg(test)]
mod tests;
