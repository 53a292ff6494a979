//! The job engine: sets the access of all contacts that a filter selects or a call names, and undoes such changes. A
//! preview records the changes that a run would make, and the run of the preview makes them.
//!
//! A job has as many shards as its portal, or one shard if a call names the contacts. A worker claims a shard with a
//! lease and processes the shard page by page. The worker reads the access records of a page, and skips the contacts
//! that the caller may not edit or whose access already matches. The other contacts of the page form a chunk. The
//! worker then makes three writes:
//!
//! 1. The chunk, which holds the previous access of its contacts. A chunk is undo log, audit trail and checkpoint.
//! 2. The access records, each with the job as its revision.
//! 3. The shard's progress. This write renews the lease.
//!
//! The worker reads the next page while it writes the current page.
//!
//! A worker that takes over a shard first completes the last chunk from the stored chunk. Every unfinished job has an
//! open-job entry, by which [`sweep`] finds the job.
//!
//! The engine does not depend on HTTP. For each active shard, memory holds two pages, a chunk and the set of judged
//! contacts. A synchronous run also holds the index positions up to the end of the answer's page.

pub mod chain;
mod changes;
mod closing;
pub mod compaction;
mod contact_bitmap;
pub mod context;
pub mod events;
mod give_up;
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
pub use run::contact::{ContactOutcome, ContactRun, LoadedContact};
pub use run::contacts::ContactsRun;
pub use run::filter::{FilterRun, RunError};
pub use run::snapshot::SnapshotRun;
pub use run::{Applied, Outcome, StartError};
pub use shard::{Deadline, Stopped};
pub use sweep::Abandoned;
pub use worker::{WorkError, Worked};
