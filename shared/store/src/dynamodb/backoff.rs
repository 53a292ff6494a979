//! Pauses before retries: exponential, with jitter.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

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
