//! Small values that everything else is made of.

pub mod fold;
pub mod id;
pub mod moment;
pub mod printable;
