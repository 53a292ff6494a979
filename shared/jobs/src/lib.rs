//! The job engine: sets the access of every contact that a plan selects, however many there are.
//!
//! Each shard is worked through in pages. Of a page the access records are read; what the caller may not edit and what
//! already is as asked is dropped; what is left is a chunk. A chunk is written **before** the records it is about,
//! with what each had: it is the undo log, the audit and the checkpoint. Then the records are written, each with the
//! job as its revision, then the shard's progress. Several shards are at work side by side, and while one page is
//! written the next is read.
//!
//! The engine knows no HTTP. For each shard at work it holds two pages and a chunk in memory, and for the run the
//! positions up to the end of the answer's page, whatever the number of matches.

pub mod engine;
pub mod filter_run;
mod top;

pub use engine::{Deadline, Outcome, Stopped};
pub use filter_run::{FilterRun, Report, RunError};
