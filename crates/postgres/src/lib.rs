//! Supervision of one local PostgreSQL server.

pub mod archive;
pub mod binaries;
pub mod bootstrap;
pub mod callbacks;
pub mod cancel;
pub mod command;
pub mod configured;
pub mod hooks;
pub mod options;
pub mod replication;
pub mod rewind;
pub mod single_user;
pub mod slots;
pub mod waldump;

pub use binaries::Binaries;
pub use cancel::Cancel;
#![deny(clippy::wildcard_enum_match_arm)]

mod cancel;
mod clock;
pub mod conf;
pub mod connection;
pub mod conninfo;
pub mod controldata;
pub mod data_dir;
mod launch;
pub mod pgpass;
mod pidfile;
mod process;
pub mod programs;
pub mod version;

pub use cancel::Cancel;
pub use clock::Clock;
