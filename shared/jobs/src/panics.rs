//! Catches panics, so that a panic ends only the work in which it happens.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

/// Work that panicked. The text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the work panicked: {0}")]
pub struct Panicked(&'static str);

/// Awaits `work` and turns a panic into an error.
///
/// The work must store its state in the table, because a panic may leave state in memory half changed.
///
/// # Errors
///
/// [`Panicked`] when the work panicked.
pub async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| Panicked(message(&*panic)))
}

/// Returns the panic's message if it is a constant. A formatted message may quote data.
fn message(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("the message is not logged")
}
