//! The sections of the node's own configuration, one struct each.

pub mod postgresql;

pub use postgresql::Postgresql;
