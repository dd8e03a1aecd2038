//! Bootstrap, copies, rewind and slots on real servers, and real processes.
//!
//! PostgreSQL refuses to run as root: as root each test runs itself again as user `postgres`.

mod bootstrap;
mod callbacks;
mod commands;
mod rewind;
mod slots;
mod support;
