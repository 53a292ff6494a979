//! Injected failures: one vocabulary for the table, the bus and the clock of a world.
//!
//! A [`FaultPlan`] says which [`Calls`] meet which [`Fault`]:
//!
//! ```ignore
//! proxy.inject(Calls::of(Operation::BatchWriteItem).nth(2).meet(Fault::Die(When::Before)));
//! bus.inject(Calls::all().meet(Fault::Refuse));
//! world.clock.inject(Calls::all().meet(Fault::Panic));
//! ```
//!
//! Four places accept a plan, and each place asks one [`Injector`] about each of its calls:
//!
//! - [`Proxy`], an HTTP proxy in front of the engine. Throttling, partly processed batches, lost answers, stale reads
//!   and dead processes belong here: the SDK must retry, time and count as in production, so the faults must act on the
//!   wire and not inside the SDK. Two proxies of one engine act as two processes that share a table.
//! - [`FaultyEngine`], a way to an engine in this process. Thousands of schedules of faults run here, because pauses,
//!   delays and time-outs pass in [`VirtualTime`].
//! - [`TestBus`](crate::TestBus), which has no wire: the job engine calls the bus through a trait.
//! - [`TestClock`](crate::TestClock), a function that the service calls. A panic is the only fault of a clock.
//!
//! A plan is reproducible: [`Calls::at_random`] draws from a seed, and every other selection counts calls. Slow answers
//! and time-outs are a [`Gate`] that opens late or never, so no test sleeps.
//!
//! Two failures of the tests are no faults of a call and stay outside: a lost message
//! ([`TestQueue::clear`](crate::TestQueue::clear)), and the killed process of the program's own tests.

mod answering;
mod answers;
mod batch;
mod call;
mod gate;
mod in_process;
mod injector;
mod plan;
mod proxy;
mod statements;
mod time;
mod upstream;

pub use call::{Call, Operation};
pub use gate::Gate;
pub use in_process::{FaultyEngine, LaggingEngine, RecordedWrite};
pub use injector::Injector;
pub use plan::{Calls, Capacity, Fault, FaultPlan, Share, SplitMix, When};
pub use proxy::Proxy;
pub use time::{Buckets, Units, VirtualTime};
pub use upstream::Upstream;
