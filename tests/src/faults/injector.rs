//! The injector: asks the plan of a test about each call.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Call, Fault, FaultPlan, When};

type Observer = dyn FnMut(&Call) + Send;

/// Decides the faults of the calls to a table, a bus or a clock. Every call passes until [`Self::inject`].
#[derive(Default)]
pub struct Injector(Mutex<State>);

#[derive(Default)]
struct State {
    plan: FaultPlan,
    permanent: FaultPlan,
    observer: Option<Box<Observer>>,
    calls: u64,
    dead: bool,
}

impl fmt::Debug for Injector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injector").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl Injector {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking condition fails its call and leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the plan for all further calls, and restarts the count of calls. A dead injector stays dead.
    pub fn inject(&self, plan: FaultPlan) {
        let mut state = self.lock();
        state.plan = plan;
        state.calls = 0;
    }

    /// Adds faults that apply before those of the plan, and stay after [`Self::clear`].
    pub fn inject_permanently(&self, plan: FaultPlan) {
        let mut state = self.lock();
        state.permanent = std::mem::take(&mut state.permanent).and(plan);
    }

    /// Shows `observer` every further call, and restarts the count of calls.
    ///
    /// The observer sees one call at a time, in the order of the numbers. The observer must not use the injector: the
    /// injector is locked meanwhile.
    pub fn observe(&self, observer: impl FnMut(&Call) + Send + 'static) {
        let mut state = self.lock();
        state.observer = Some(Box::new(observer));
        state.calls = 0;
    }

    /// Removes the plan and the observer, revives a dead injector and restarts the count of calls. Held calls stay
    /// held.
    pub fn clear(&self) {
        let mut state = self.lock();
        let permanent = std::mem::take(&mut state.permanent);
        *state = State { permanent, ..State::default() };
    }

    /// Returns the number of calls since [`Self::inject`], [`Self::observe`] or [`Self::clear`].
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Returns whether a call has met [`Fault::Die`].
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Numbers a call and returns the faults that the call meets, in order.
    pub fn faults_of(&self, call: &mut Call) -> Vec<Fault> {
        let mut state = self.lock();
        state.calls += 1;
        call.number = state.calls;
        if state.dead {
            return vec![Fault::Die(When::Before)];
        }
        if let Some(observer) = state.observer.as_mut() {
            observer(call);
        }
        let mut faults = state.permanent.faults_of(call);
        faults.extend(state.plan.faults_of(call));
        state.dead = faults.iter().any(|fault| matches!(fault, Fault::Die(_)));
        faults
    }
}
