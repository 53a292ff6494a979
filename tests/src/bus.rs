//! The event bus of a test.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jobs::Events;
use jobs::events::{Bus, BusError, JobEvent};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::WorldError;
use crate::faults::{Call, Fault, FaultPlan, Injector, Operation, When};

/// The timeout for an event that another task publishes.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A bus that records published events. Clones share one bus.
#[derive(Clone, Debug, Default)]
pub struct TestBus(Arc<BusState>);

#[derive(Debug, Default)]
struct BusState {
    published: watch::Sender<Vec<JobEvent>>,
    injector: Injector,
}

impl TestBus {
    /// Replaces the plan for all further events. The call of an event has the event as its body.
    pub fn inject(&self, plan: FaultPlan) {
        self.0.injector.inject(plan);
    }

    /// Removes the plan.
    pub fn clear(&self) {
        self.0.injector.clear();
    }

    /// Returns the published events.
    pub fn published(&self) -> Vec<JobEvent> {
        self.0.published.borrow().clone()
    }

    /// Returns a reader of the events, from the first on.
    pub fn reader(&self) -> EventReader {
        EventReader { published: self.0.published.subscribe(), next: 0 }
    }

    /// Returns the setting of a job engine that publishes on this bus.
    pub fn events(&self) -> Events {
        Events::Here(Arc::new(self.clone()))
    }

    async fn publish(&self, event: JobEvent) -> Result<(), BusError> {
        let body = serde_json::to_value(&event).map_err(|error| BusError(error.into()))?;
        let faults = self.0.injector.faults_of(&mut Call::new(Operation::PutEvents, body));
        let (mut failed, mut held) = (None, Vec::new());
        for fault in faults {
            match fault {
                Fault::Panic => panic!("the bus cannot take this event"),
                Fault::Hold(When::Before, gate) => gate.pass().await,
                Fault::Hold(When::After, gate) => held.push(gate),
                Fault::InternalError(When::After)
                | Fault::Unavailable(When::After)
                | Fault::Reset(When::After)
                | Fault::Die(When::After) => failed = Some(BusError("the answer of the bus is lost".into())),
                Fault::Throttle(_)
                | Fault::Conflict
                | Fault::Refuse
                | Fault::InternalError(When::Before)
                | Fault::Unavailable(When::Before)
                | Fault::Reset(When::Before)
                | Fault::Die(When::Before) => return Err(BusError("the bus refuses".into())),
                Fault::Unprocessed(_)
                | Fault::EmptyPage
                | Fault::ShortPage(_)
                | Fault::Stale
                | Fault::Delay(..)
                | Fault::Limit(_) => {}
            }
        }
        self.0.published.send_modify(|published| published.push(event));
        for gate in held {
            gate.pass().await;
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Bus for TestBus {
    fn put(&self, event: JobEvent) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(self.publish(event))
    }
}

/// Reads the events of a bus in order, and waits for events that are not yet published.
#[derive(Debug)]
pub struct EventReader {
    published: watch::Receiver<Vec<JobEvent>>,
    next: usize,
}

impl EventReader {
    /// Returns the next event.
    ///
    /// # Errors
    ///
    /// When no event is published within a minute.
    pub async fn next(&mut self) -> Result<JobEvent, WorldError> {
        let next = self.next;
        let published = timeout(EVENT_TIMEOUT, self.published.wait_for(|events| events.len() > next)).await??;
        let event = published.get(next).cloned().ok_or("no event")?;
        drop(published);
        self.next += 1;
        Ok(event)
    }

    /// Returns the next event that meets the condition, and skips other events.
    ///
    /// # Errors
    ///
    /// When no event is published for a minute.
    pub async fn next_matching(&mut self, is_met: impl Fn(&JobEvent) -> bool) -> Result<JobEvent, WorldError> {
        loop {
            let event = self.next().await?;
            if is_met(&event) {
                return Ok(event);
            }
        }
    }
}
