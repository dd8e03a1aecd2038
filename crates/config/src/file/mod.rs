//! The sections of the node's own configuration, one struct each.

pub mod address;
pub mod auth;
pub mod bootstrap;
pub mod citus;
pub mod ctl;
pub mod dcs;
pub mod guardian;
pub mod journal;
pub mod log;
pub mod postgresql;
pub mod postgresql_probe;
pub mod restapi;
pub mod watchdog;

pub use address::{HostPort, Listen};
pub use auth::BasicAuth;
pub use bootstrap::Bootstrap;
pub use citus::Citus;
pub use ctl::Ctl;
pub use dcs::Dcs;
pub use guardian::Guardian;
pub use journal::Journal;
pub use log::Log;
pub use postgresql::Postgresql;
pub use restapi::RestApi;
pub use watchdog::Watchdog;
