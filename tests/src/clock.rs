//! The clock of a world, which stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jobs::Clock;
use models::values::timestamp::Timestamp;
use serde_json::Value;

use crate::faults::{Call, Fault, FaultPlan, Injector, Operation};

/// Initial time of a world's clock: 2026-01-01T00:00:00Z.
pub const NEW_YEAR_2026: i64 = 17_672_256_000_000_000;

/// A clock that only tests set. Clones share one time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<ClockState>);

#[derive(Debug)]
struct ClockState {
    ticks: AtomicI64,
    injector: Injector,
}

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(ClockState { ticks: AtomicI64::new(NEW_YEAR_2026), injector: Injector::default() }))
    }
}

impl TestClock {
    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        self.0.ticks.store(now.ticks(), Ordering::SeqCst);
    }

    /// Replaces the plan for all further readings. [`Fault::Panic`] is the only fault of a clock.
    pub fn inject(&self, plan: FaultPlan) {
        self.0.injector.inject(plan);
    }

    /// Removes the plan.
    pub fn clear(&self) {
        self.0.injector.clear();
    }

    /// Returns the clock for the job engine.
    pub fn reader(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    fn now(&self) -> Timestamp {
        let faults = self.0.injector.faults_of(&mut Call::new(Operation::ReadClock, Value::Null));
        let panics = faults.iter().any(|fault| matches!(fault, Fault::Panic));
        assert!(!panics, "the clock fails");
        Timestamp::from_ticks(self.0.ticks.load(Ordering::SeqCst))
    }
}
