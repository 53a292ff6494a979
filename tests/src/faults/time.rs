//! Virtual time: pauses take no real time, and partitions regain capacity.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::{AsyncSleep, Sleep};
use futures::future::BoxFuture;
use store::dynamodb::backoff::Time;

/// The SDK's shortest timeout. A shorter sleep of the SDK is a pause before another attempt.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Time that passes with each call and each pause, and never by itself. Clones share one time.
#[derive(Clone)]
pub struct VirtualTime(Arc<Mutex<State>>);

struct State {
    start: Instant,
    passed: Duration,
    /// Timeouts, with the tasks to wake.
    timeouts: Vec<(Duration, Waker)>,
}

impl Default for VirtualTime {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { start: Instant::now(), passed: Duration::ZERO, timeouts: Vec::new() })))
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualTime").field(&self.passed()).finish()
    }
}

impl VirtualTime {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time that has passed since the start.
    pub fn passed(&self) -> Duration {
        self.lock().passed
    }

    /// Lets time pass, and wakes the tasks whose timeout has come.
    pub fn advance(&self, time: Duration) {
        let mut state = self.lock();
        state.passed += time;
        let passed = state.passed;
        let (due, later) = std::mem::take(&mut state.timeouts).into_iter().partition(|(at, _)| *at <= passed);
        state.timeouts = later;
        drop(state);
        let due: Vec<(Duration, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Lets time pass, and lets other tasks run.
    pub async fn take(&self, time: Duration) {
        self.advance(time);
        yielded().await;
    }
}

impl Time for VirtualTime {
    fn now(&self) -> Instant {
        let state = self.lock();
        state.start + state.passed
    }

    fn pause(&self, pause: Duration) -> BoxFuture<'static, ()> {
        let time = self.clone();
        Box::pin(async move { time.take(pause).await })
    }
}

impl AsyncSleep for VirtualTime {
    fn sleep(&self, duration: Duration) -> Sleep {
        let time = self.clone();
        if duration < SHORTEST_TIMEOUT {
            return Sleep::new(async move { time.take(duration).await });
        }
        let at = self.passed() + duration;
        Sleep::new(Timeout { time, at })
    }
}

/// A timeout that other calls and pauses let come.
struct Timeout {
    time: VirtualTime,
    at: Duration,
}

impl Future for Timeout {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.time.lock();
        if state.passed >= self.at {
            return Poll::Ready(());
        }
        state.timeouts.push((self.at, context.waker().clone()));
        Poll::Pending
    }
}

/// Lets the other tasks of the thread run.
pub(super) async fn yielded() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if !std::mem::take(&mut is_first) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Capacity in units a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    /// Units that a partition regains each second.
    pub per_second: f64,
    /// Units that a partition has at most.
    pub burst: f64,
}

/// The units in the bucket of each partition, for writes or not, and the time of its last use.
type Levels = HashMap<(String, bool), (f64, Duration)>;

/// A token bucket for the reads and another for the writes of each partition, which fill up in virtual time. Clones
/// share the buckets.
#[derive(Clone, Debug)]
pub struct Buckets {
    time: VirtualTime,
    reads: Units,
    writes: Units,
    levels: Arc<Mutex<Levels>>,
}

impl Buckets {
    /// Creates full buckets.
    pub fn new(time: &VirtualTime, reads: Units, writes: Units) -> Self {
        Self { time: time.clone(), reads, writes, levels: Arc::default() }
    }

    /// Takes units from a partition's bucket. Returns false if the bucket has too few.
    pub(super) fn take(&self, partition: &str, is_write: bool, units: u32) -> bool {
        let now = self.time.passed();
        let capacity = if is_write { self.writes } else { self.reads };
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, used) = levels.entry((partition.to_owned(), is_write)).or_insert((capacity.burst, now));
        let regained = (now.saturating_sub(*used)).as_secs_f64() * capacity.per_second;
        (*level, *used) = ((*level + regained).min(capacity.burst), now);
        let has_enough = *level >= f64::from(units);
        if has_enough {
            *level -= f64::from(units);
        }
        has_enough
    }
}
