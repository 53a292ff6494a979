//! Gates: a test decides when a held call continues.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds calls until a test opens the gate. Clones share one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    open: watch::Sender<bool>,
    reached: watch::Sender<u64>,
}

impl Gate {
    /// Creates a closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Releases held calls and lets later calls pass.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Returns whether the gate is open.
    pub fn is_open(&self) -> bool {
        *self.0.open.borrow()
    }

    /// Returns once a call has reached the gate.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Returns once this many calls have reached the gate.
    pub async fn reached_by(&self, calls: u64) {
        wait_for(&self.0.reached, |reached| *reached >= calls).await;
    }

    /// Returns once the gate is open.
    pub async fn opened(&self) {
        wait_for(&self.0.open, |open| *open).await;
    }

    /// Counts a call as having reached the gate, and returns once the gate is open.
    pub(crate) async fn pass(&self) {
        self.0.reached.send_modify(|reached| *reached += 1);
        self.opened().await;
    }
}

/// Returns once the watched value meets the condition.
pub(super) async fn wait_for<T>(sender: &watch::Sender<T>, condition: impl FnMut(&T) -> bool) {
    let waited = sender.subscribe().wait_for(condition).await.map(drop);
    // Waiting fails only when the sender is dropped, and `sender` is borrowed here.
    debug_assert!(waited.is_ok());
}
