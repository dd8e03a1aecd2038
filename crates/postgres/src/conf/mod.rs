//! The server's configuration files: what goes into them, writing them, comparing them with what
//! is in effect.

pub(crate) mod auto_conf;
pub(crate) mod files;
pub(crate) mod guc;
pub(crate) mod guc_table;
pub(crate) mod parameters;
pub(crate) mod pending;
pub(crate) mod recovery;
pub(crate) mod units;
pub(crate) mod write;

pub use parameters::ClusterFacts;

#[cfg(test)]
mod tests;
