//! Shared parts of the benchmarks: a portal of any size, processes that share an engine, and the bare SDK loop that the
//! engine is compared with.

pub mod bare;
pub mod portal;
pub mod processes;
