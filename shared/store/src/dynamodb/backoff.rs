//! Pauses before retries: exponential, with jitter.

use std::fmt;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::future::BoxFuture;

/// Attempts of a batch, including the first.
pub const BATCH_ATTEMPTS: usize = 10;

/// The first pause between two attempts, before jitter.
pub const BACKOFF_BASE: Duration = Duration::from_millis(25);

/// The longest pause between two attempts, before jitter.
pub const BACKOFF_CAP: Duration = Duration::from_secs(2);

/// Returns the pauses between attempts: capped exponential, with full jitter (a random share of each pause), so that
/// clients that were throttled together do not retry together.
pub fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(BACKOFF_BASE)
        .with_max_delay(BACKOFF_CAP)
        .with_max_times(BATCH_ATTEMPTS - 1)
        .build()
        .map(|pause| pause.mul_f64(fastrand::f64()))
}

/// The time that a store measures and waits for: the pauses between attempts and the limiter of bulk writes. A test may
/// have a time of its own, in which a pause takes no real time.
pub trait Time: fmt::Debug + Send + Sync + 'static {
    /// Returns the current instant.
    fn now(&self) -> Instant;

    /// Returns after a pause.
    fn pause(&self, pause: Duration) -> BoxFuture<'static, ()>;
}

/// The time of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineTime;

impl Time for MachineTime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn pause(&self, pause: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(pause))
    }
}
