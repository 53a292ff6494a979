//! The deadline of the work on a shard.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Deadline after which no new page is started. The current page is still finished.
#[derive(Clone, Debug, Default)]
pub struct Deadline {
    pub(super) at: Option<Instant>,
    pub(super) signal: Option<watch::Receiver<bool>>,
    pub(super) turn_end: Option<Instant>,
}

impl Deadline {
    /// Returns a deadline that never comes.
    pub fn never() -> Self {
        Self::default()
    }

    /// Returns a deadline at an instant.
    pub fn at(at: Instant) -> Self {
        Self { at: Some(at), ..Self::default() }
    }

    /// Returns a deadline that comes when `signal` becomes true.
    pub fn on_signal(signal: watch::Receiver<bool>) -> Self {
        Self { signal: Some(signal), ..Self::default() }
    }

    /// Adds a turn to the deadline: after `turn`, the worker requeues its shard, so that other shards get their turn.
    /// Unlike a deadline, a turn ends only after a page, so that each turn makes progress.
    #[must_use]
    pub fn with_turn(self, turn: Duration) -> Self {
        Self { turn_end: Some(Instant::now() + turn), ..self }
    }

    /// Returns whether the turn has ended.
    pub(crate) fn turn_has_ended(&self) -> bool {
        self.turn_end.is_some_and(|end| Instant::now() >= end)
    }

    /// Adds a signal to the deadline. The deadline then comes at the latest when `signal` becomes true.
    #[must_use]
    pub fn or_on_signal(self, signal: Option<watch::Receiver<bool>>) -> Self {
        Self { signal, ..self }
    }

    /// Returns whether the deadline has come.
    pub fn is_up(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at) || self.signal.as_ref().is_some_and(|signal| *signal.borrow())
    }

    /// Returns the instant of the deadline, if it has one.
    pub(crate) fn instant(&self) -> Option<Instant> {
        self.at
    }
}
