//! The job engine: sets the access of every contact that a plan selects, however many there are.
//!
//! Each shard is worked through in pages. Of a page the access records are read; what the caller may not edit and what
//! already is as asked is dropped; what is left fills a chunk. A chunk is written **before** the records it is about,
//! with what each had: it is the undo log, the audit and the checkpoint. Then the records are written, each with the
//! job as its revision, then the shard's progress. Several shards are at work side by side, and while one page is
//! written the next is read.
//!
//! The engine knows no HTTP. It holds one page read ahead, one chunk and the positions of the answer in memory, whatever
//! the number of matches.

pub mod engine;
pub mod filter_run;
mod top;

pub use engine::{Deadline, Outcome, Stopped};
pub use filter_run::{FilterRun, Report, RunError};
