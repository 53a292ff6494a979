//! The deadline of the work on a shard.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Deadline after which no new page is started. The current page is still finished.
#[derive(Clone, Debug, Default)]
pub struct Deadline {
    pub(super) at: Option<Instant>,
    pub(super) told: Option<watch::Receiver<bool>>,
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

    /// Returns a deadline that comes when `told` is set to true.
    pub fn when_told(told: watch::Receiver<bool>) -> Self {
        Self { told: Some(told), ..Self::default() }
    }

    /// Adds a turn to the deadline: after `turn`, the worker requeues its shard, so that other shards get their turn.
    /// Unlike a deadline, a turn ends only after a page, so that each turn makes progress.
    #[must_use]
    pub fn with_turn(self, turn: Duration) -> Self {
        Self { turn_end: Some(Instant::now() + turn), ..self }
    }

    /// Returns whether the turn is over.
    pub(super) fn turn_is_over(&self) -> bool {
        self.turn_end.is_some_and(|end| Instant::now() >= end)
    }

    /// Adds a signal to the deadline, which then comes at the latest when `told` is set to true.
    #[must_use]
    pub fn or_when_told(self, told: Option<watch::Receiver<bool>>) -> Self {
        Self { told, ..self }
    }

    /// Returns whether the deadline has come.
    pub fn is_up(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at) || self.told.as_ref().is_some_and(|told| *told.borrow())
    }

    /// Returns the instant of the deadline, if it has one.
    pub(crate) fn instant(&self) -> Option<Instant> {
        self.at
    }
}
