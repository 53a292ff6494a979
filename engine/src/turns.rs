//! The order of requests to the embedded engine. The engine executes one request at a time, and a bulk job always has
//! further requests, so requests of calls come first.
//!
//! A request of a bulk job starts only when no request of a call waits or runs. A bulk request also waits for a short
//! time after a call's request, because a call makes several requests one after another. So a call waits for at most
//! one request of a bulk job, not for one at each of its own requests. A batch of statements runs in parts, and waits
//! before each part. The waiting time is bounded, so many calls slow a job down but do not stop the job.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep_until, timeout_at};

/// The time after a call's request in which the next request of the same call is likely.
const NEXT_REQUEST: Duration = Duration::from_millis(2);
/// The longest time for which calls delay one request of a bulk job, over all parts of the request.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The turns of an engine.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Permits for concurrent requests of calls, one for each processor: SQLite blocks its thread, and further threads
    /// would only wait.
    calls: Arc<Semaphore>,
    /// One permit: at most one request of a bulk job runs, because a call waits for each running one.
    bulk: Arc<Semaphore>,
    presence: Mutex<Presence>,
    /// Notified when the last request of a call ends.
    no_call: Notify,
}

/// The requests of calls.
#[derive(Debug)]
struct Presence {
    /// Requests that wait or run.
    requests: usize,
    /// When the last request ended.
    ended: Option<Instant>,
}

/// A waiting or running request of a call.
#[derive(Debug)]
pub(crate) struct CallTurn {
    turns: Arc<Turns>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for CallTurn {
    fn drop(&mut self) {
        self.permit.take();
        let mut presence = self.turns.presence();
        presence.requests -= 1;
        presence.ended = Some(Instant::now());
        if presence.requests == 0 {
            self.turns.no_call.notify_one();
        }
    }
}

/// A running request of a bulk job.
#[derive(Debug)]
pub(crate) struct BulkTurn {
    turns: Arc<Turns>,
    _permit: OwnedSemaphorePermit,
    /// The time after which the request no longer waits for calls.
    until: Instant,
}

impl BulkTurn {
    /// Waits until no request of a call is present or expected. A request in parts calls this before each part.
    pub(crate) async fn wait_for_calls(&self) {
        timeout_at(self.until.into(), self.turns.no_calls()).await.unwrap_or_default();
    }
}

impl Turns {
    /// Returns the turns of an engine that executes `at_once` requests of calls concurrently.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(at_once)),
            bulk: Arc::new(Semaphore::new(1)),
            presence: Mutex::new(Presence { requests: 0, ended: None }),
            no_call: Notify::new(),
        }
    }

    /// Waits for the turn of a call's request. Dropping the turn ends it.
    pub(crate) async fn of_call(self: Arc<Self>) -> Result<CallTurn, AcquireError> {
        self.presence().requests += 1;
        let calls = self.calls.clone();
        let mut turn = CallTurn { turns: self, permit: None };
        turn.permit = Some(calls.acquire_owned().await?);
        Ok(turn)
    }

    /// Waits for the turn of a bulk job's request. Dropping the turn ends it.
    pub(crate) async fn of_bulk(self: Arc<Self>) -> Result<BulkTurn, AcquireError> {
        let permit = self.bulk.clone().acquire_owned().await?;
        let turn = BulkTurn { turns: self, _permit: permit, until: Instant::now() + LONGEST_WAIT };
        turn.wait_for_calls().await;
        Ok(turn)
    }

    /// Waits until no request of a call is present or expected. Only the holder of the bulk permit waits.
    async fn no_calls(&self) {
        loop {
            let (requests, ended) = {
                let presence = self.presence();
                (presence.requests, presence.ended)
            };
            if requests > 0 {
                self.no_call.notified().await;
                continue;
            }
            match ended.map(|ended| ended + NEXT_REQUEST) {
                Some(free) if free > Instant::now() => sleep_until(free.into()).await,
                _ => return,
            }
        }
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        // The state is valid after each statement.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn bulk_request_waits_for_calls_and_a_moment_longer() {
        let turns = Arc::new(Turns::new(2));
        let call = turns.clone().of_call().await.unwrap();
        let mut bulk = std::pin::pin!(turns.clone().of_bulk());
        tokio::select! {
            biased;
            _ = &mut bulk => panic!("a bulk request ran beside a call"),
            () = ready(()) => {}
        }
        drop(call);
        tokio::select! {
            biased;
            _ = &mut bulk => panic!("a bulk request ran before the next request of the call"),
            () = ready(()) => {}
        }
        drop(bulk.await.unwrap());
    }

    #[tokio::test]
    async fn calls_do_not_stop_bulk_requests() {
        let turns = Arc::new(Turns::new(2));
        let _call = turns.clone().of_call().await.unwrap();
        let began = tokio::time::Instant::now();
        let bulk = turns.of_bulk().await.unwrap();
        assert!(began.elapsed() >= LONGEST_WAIT);
        // The bound on the waiting time covers all parts of a request together.
        tokio::select! {
            biased;
            () = bulk.wait_for_calls() => {}
            () = ready(()) => panic!("a bulk request waited twice"),
        }
    }

    #[tokio::test]
    async fn cancelled_call_holds_nothing_back() {
        let turns = Arc::new(Turns::new(1));
        let call = turns.clone().of_call().await.unwrap();
        tokio::select! {
            biased;
            _ = turns.clone().of_call() => panic!("two calls at once"),
            () = ready(()) => {}
        }
        drop(call);
        assert_eq!(turns.presence().requests, 0);
    }
}
