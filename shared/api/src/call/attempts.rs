//! The attempts of a write that other calls overtake.

use std::fmt;
use std::time::Duration;

use store::dynamodb::backoff;
use tokio::time::{Instant, sleep};

/// The attempts of a contended write, with a pause before each further attempt.
pub struct Attempts {
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    deadline: Instant,
}

/// The permission to start a contended write again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// The write may start again.
    Allowed,
    /// The attempts or the time of the call are used up.
    Exhausted,
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Attempts {
    /// Returns the attempts of a call with this deadline.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { pauses: Box::new(backoff::pauses()), deadline }
    }

    /// Waits until the next attempt may start.
    pub async fn wait(&mut self) -> NextAttempt {
        match self.pauses.next() {
            Some(pause) if Instant::now() + pause < self.deadline => {
                sleep(pause).await;
                NextAttempt::Allowed
            }
            _ => NextAttempt::Exhausted,
        }
    }
}
