//! The service as its callers see it: real handlers, a real engine.

mod model;
mod documents;
mod filter;
mod portal;
mod runs;
mod single;
