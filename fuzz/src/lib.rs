//! Fuzz targets: each function takes any bytes, reads them as a caller's request, a line of an import file or a stored
//! value, and panics if a property of the reader does not hold.
//!
//! The programs in `targets/` run these functions under libFuzzer. `make fuzz` builds and runs the programs.

#[cfg(feature = "libfuzzer")]
mod allocations;
#[cfg(not(feature = "libfuzzer"))]
#[path = "allocations_uncounted.rs"]
mod allocations;
mod cron;
mod import_lines;
mod messages;
mod requests;
mod stored;

pub use cron::cron;
pub use import_lines::import_lines;
pub use requests::{bodies, forms, queries};
pub use stored::{chunks, cursors, postings};
