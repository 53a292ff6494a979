//! Shared parts of the benchmarks: a portal of any size, processes that share an engine, a table with a limit, rows of
//! measurements, and the bare SDK loop that the engine is compared with.

pub mod bare;
pub mod limited;
pub mod portal;
pub mod processes;
pub mod verdict;
