//! Whole clusters in one process, on loopback ports.

mod faults;
mod membership;
mod store;
mod world;

pub(crate) use world::is_cut;
