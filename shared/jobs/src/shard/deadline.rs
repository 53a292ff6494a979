//! The time until which work may go on.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// When a worker starts no new page. The current page is still finished.
#[derive(Clone, Debug, Default)]
pub struct Deadline {
    pub(super) at: Option<Instant>,
    pub(super) told: Option<watch::Receiver<bool>>,
    pub(super) turn_end: Option<Instant>,
}

impl Deadline {
    /// When it is through.
    pub fn never() -> Self {
        Self::default()
    }

    /// At an instant.
    pub fn at(at: Instant) -> Self {
        Self { at: Some(at), ..Self::default() }
    }

    /// When it is told to.
    pub fn when_told(told: watch::Receiver<bool>) -> Self {
        Self { told: Some(told), ..Self::default() }
    }

    /// The same deadline for a worker that hands its shard on after `turn`, so that others get their turn. Unlike a
    /// deadline, a turn ends only after a page, so that each turn makes progress.
    #[must_use]
    pub fn with_turn(self, turn: Duration) -> Self {
        Self { turn_end: Some(Instant::now() + turn), ..self }
    }

    /// Whether the turn is over.
    pub(super) fn turn_is_over(&self) -> bool {
        self.turn_end.is_some_and(|end| Instant::now() >= end)
    }

    /// The same, or when it is told to, whichever comes first.
    #[must_use]
    pub fn or_when_told(self, told: Option<watch::Receiver<bool>>) -> Self {
        Self { told, ..self }
    }

    /// Whether it has come.
    pub fn is_up(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at) || self.told.as_ref().is_some_and(|told| *told.borrow())
    }

    /// The instant, if it is one.
    pub(crate) fn instant(&self) -> Option<Instant> {
        self.at
    }
}
