//! A test world: the real router with the real handlers, a table for each world, and a clock that only tests set.
//!
//! Runs on the embedded engine, in memory, or on the DynamoDB at the URL in `CRM_ACCESS_TEST_DYNAMODB`.
//!
//! With `CRM_ACCESS_TEST_LAG` set, eventually consistent reads and index queries miss the writes of the running
//! request, import or worker until it ends. AWS may behave like this; no local engine does by itself.

mod bus;
pub mod cases;
mod clock;
mod described;
pub mod faults;
mod meter;
mod queue;
mod reply;
mod world;

pub use bus::{EventReader, TestBus};
pub use clock::{NEW_YEAR_2026, TestClock};
pub use meter::{Spent, Trips};
pub use queue::TestQueue;
pub use reply::Reply;
pub use world::{World, WorldError};
