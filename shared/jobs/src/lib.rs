//! The job engine: sets the access of every contact that a plan selects, however many there are, or that a call names,
//! and takes it back.
//!
//! A job has as many shards as its portal, or one where contacts are named, each worked through in pages by whoever holds the shard's lease. Of a page the
//! access records are read; what the caller may not edit and what already is as asked is dropped; what is left is a
//! chunk. A chunk is written **before** the records it is about, with what each had: it is the undo log, the audit and the
//! checkpoint. Then the records are written, each with the job as its revision, then the shard's progress, which renews
//! the lease. While one page is written the next is read.
//!
//! Who takes a shard over finishes its last chunk from the chunk itself, then goes on. What was begun and is not through
//! stands in the list of open jobs, where [`sweep`] finds it.
//!
//! The engine knows no HTTP. For each shard at work it holds two pages and a chunk in memory, and for a run that is
//! waited for the positions up to the end of the answer's page, whatever the number of matches.

pub mod changes;
pub mod compaction;
pub mod context;
pub mod events;
mod give_up;
mod met;
mod moves;
pub mod panics;
pub mod queue;
pub mod requests;
pub mod rules;
pub mod run;
pub mod shard;
mod source;
pub mod sweep;
mod top;
pub mod worker;

pub use context::{Clock, Events, Jobs};
pub use panics::{Panicked, catch_panic};
pub use queue::{Message, Queue, QueueError};
pub use run::contacts::ContactsRun;
pub use run::filter::{FilterRun, RunError};
pub use run::{Applied, Outcome, StartError};
pub use shard::{Deadline, Stopped};
pub use sweep::Abandoned;
pub use worker::{JOB_FAILED, WorkError, Worked};
