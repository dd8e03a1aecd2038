//! Bootstrap, copies and rewind on real servers, and real processes.
//!
//! PostgreSQL refuses to run as root: as root each test runs itself again as user `postgres`.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod bootstrap;
mod callbacks;
mod commands;
mod replication;
mod rewind;
mod support;
