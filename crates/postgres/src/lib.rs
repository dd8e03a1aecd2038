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
