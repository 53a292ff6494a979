//! Small value types that the whole crate uses.

pub mod fold;
pub mod id;
pub mod printable;
pub mod sorted_ids;
pub mod timestamp;
pub(crate) mod zone;
