//! The server's configuration files.

pub(crate) mod guc;
pub(crate) mod guc_table;
pub(crate) mod units;
pub(crate) mod write;
