//! The REST server: an accept loop of its own, so that it has a hold on every connection.
//!
//! Nothing here waits for the HA loop: health checks are answered from what the node published.
//! Bounds: the number of connections, the time for a handshake and for a header, the size of a
//! body, the time for a request. When all places are taken, the connection that has been idle
//! the longest makes room, so slow clients cannot keep health checks out.

mod access;
mod certificate;
mod ciphers;
mod connections;
mod events;
mod line;
mod listener;
mod member;
mod reply;
mod request;
mod routes;
mod run;
mod settings;
mod ui;

pub use member::{Member, Retry};
pub use run::{Bound, Server};
pub use settings::{Credentials, Listen, ServerSettings, ServerTokens, TlsSettings, VerifyClient};
