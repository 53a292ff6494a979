//! TODO

pub mod batch;
pub mod client;
pub mod in_process;
pub(crate) mod items;
