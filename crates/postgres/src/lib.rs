//! Supervision of one local PostgreSQL server.

pub mod binaries;
pub mod bootstrap;
pub mod callbacks;
pub mod cancel;
pub mod command;
pub mod hooks;
pub mod options;

pub use binaries::Binaries;
pub use cancel::Cancel;
