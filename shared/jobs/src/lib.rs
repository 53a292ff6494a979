//! The job engine: sets the access of all contacts that a plan selects or a call names, and undoes such changes.
//!
//! A job has as many shards as its portal, or one shard if a call names the contacts. The holder of a shard's lease
//! works on the shard page by page. It reads the access records of a page and drops the contacts that the caller may
//! not edit or whose access already matches. The rest is a chunk. A chunk is written **before** its access records and
//! holds their previous access: it is undo log, audit trail and checkpoint. Then the access records are written, each
//! with the job as its revision, then the shard's progress, which renews the lease. The next page is read while the
//! current page is written.
//!
//! A worker that takes over a shard finishes the last chunk from the chunk itself, then continues. Unfinished jobs
//! stand in the list of open jobs, where [`sweep`] finds them.
//!
//! The engine knows no HTTP. It holds in memory, per active shard, two pages, a chunk and the set of met contacts, and
//! for a synchronous run the positions up to the end of the answer's page.

pub mod changes;
mod closing;
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
pub mod worker;

pub use closing::JOB_FAILED;
pub use context::{Clock, Events, Jobs};
pub use panics::{Panicked, catch_panic};
pub use queue::{Message, Queue, QueueError};
pub use run::contact::{Attempts, ContactOutcome, ContactRun, LoadedContact, NextAttempt};
pub use run::contacts::ContactsRun;
pub use run::filter::{FilterRun, RunError};
pub use run::{Applied, Outcome, StartError};
pub use shard::{Deadline, Stopped};
pub use sweep::Abandoned;
pub use worker::{WorkError, Worked};
