//! Panics that end only the work in which they happen.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

/// Work that panicked. Its text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the work panicked: {0}")]
pub struct Panicked(&'static str);

/// Awaits `work`, and turns its panic into an error.
///
/// The work must leave its truth in the table, not in memory, because memory that it was changing may be half changed.
///
/// # Errors
///
/// [`Panicked`] when the work panicked.
pub async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| Panicked(message(&*panic)))
}

/// The panic's message if it is a constant: a message that is put together may quote data.
fn message(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("the message is not logged")
}
