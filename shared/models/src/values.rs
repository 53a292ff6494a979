//! Small value types of the whole crate.

pub mod fold;
pub mod id;
pub mod printable;
pub mod sorted_ids;
pub mod timestamp;
