//! Server and client on real sockets.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ciphers;
mod events;
mod fake;
mod generated;
mod openapi;
#[path = "../support/schema.rs"]
mod schema;
mod server;
mod tls;
mod ui;
