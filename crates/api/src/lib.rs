//! The REST interface of a member: as data, as server, as client.
//!
//! - [`wire`] holds the documents, request bodies and health rules as plain values and pure
//!   functions; both ends and the control tool use it.
//! - `server` (feature `server`) answers requests on behalf of a [`server::Member`].
//! - `client` (feature `client`) asks other members.
//!
//! The crate knows neither the store nor PostgreSQL: the node publishes a [`wire::Snapshot`] and
//! looks after a [`wire::ServerFacts`], and carries out what a request asks for.
//!
//! Read [`wire::Snapshot`], [`wire::Status`] and [`wire::health`] first.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use patroni_api::wire::{Query, ServerFacts, Snapshot, Status, health};
//! use patroni_core::{MemberName, Role, Scope, State};
//!
//! let now = Instant::now();
//! let mut snapshot = Snapshot::new(Scope::new("demo"), MemberName::new("node1"));
//! snapshot.lock_until = Some(now + Duration::from_secs(30));
//! let facts = ServerFacts::without_row(State::Starting, Role::Primary);
//! let status = Status::new(&snapshot, &facts, now);
//! // `/primary` follows the lock, `/health` follows PostgreSQL.
//! assert!(health::is_up("/primary", &Query::default(), &status));
//! assert!(!health::is_up("/health", &Query::default(), &status));
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

#[cfg(feature = "client")]
pub mod client;
pub mod error;
#[cfg(feature = "server")]
pub mod server;
#[cfg(any(feature = "client", feature = "server"))]
pub mod tls;
pub mod wire;

pub use error::{BindError, CipherListError, ClientError, TlsError, Unavailable};
