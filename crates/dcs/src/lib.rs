//! Distributed configuration stores behind one trait.
//!
//! [`Store`] is what the rest of the program sees of etcd and its like: members, a leader lock,
//! configuration, history. It speaks the language of clusters, not that of any store; each
//! backend translates, and all of them share keys, values and waking rules, so that nodes of
//! the reference can be members of the same cluster. What this crate deliberately does not know:
//! who should lead and when (crate `ha`), PostgreSQL, and where settings come from.
//!
//! Read [`Store`] and [`StoreError`] first, then [`memory`] for the smallest complete backend.
//! Everyone who writes a backend holds it to the suite in `conformance` (feature of that name).
//!
//! ```
//! use std::time::Duration;
//! use patroni_core::{MemberName, Scope};
//! use patroni_dcs::{Identity, Store, Timings, memory};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let timings = Timings {
//!     ttl: Duration::from_secs(30),
//!     loop_wait: Duration::from_secs(10),
//!     retry_timeout: Duration::from_secs(10),
//! };
//! let server = memory::Server::new();
//! let member = |name: &str| {
//!     let name = MemberName::new(name);
//!     let identity = Identity::new("service", &Scope::new("demo"), Some(name));
//!     server.store(&identity, timings)
//! };
//! let (a, b) = (member("a"), member("b"));
//! a.acquire_leader().await?;
//! assert!(b.acquire_leader().await.is_err_and(|error| error.is_lost_race()));
//!
//! let cluster = b.load().await?;
//! assert_eq!(cluster.leader_name().map(MemberName::as_str), Some("a"));
//! # Ok::<(), patroni_dcs::StoreError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

#[cfg(any(
    feature = "consul",
    feature = "etcd",
    feature = "etcd3",
    feature = "exhibitor"
))]
mod body;
#[cfg(any(feature = "etcd", feature = "etcd3", feature = "exhibitor"))]
mod chance;
pub mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connect;
#[cfg(feature = "consul")]
pub mod consul;
#[cfg(any(feature = "exhibitor", feature = "kubernetes", feature = "zookeeper"))]
mod crypto;
pub mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "etcd3")]
pub mod etcd3;
#[cfg(feature = "exhibitor")]
pub mod exhibitor;
pub mod key;
pub mod known;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod memory;
#[cfg(feature = "pem")]
mod pem;
#[cfg(feature = "raft")]
pub mod raft;
pub mod retry;
#[cfg(any(feature = "etcd", feature = "etcd3", feature = "kubernetes"))]
mod ring;
pub mod store;
#[cfg(any(feature = "consul", feature = "etcd", feature = "etcd3"))]
mod tls;
#[cfg(any(feature = "etcd", feature = "etcd3"))]
mod topology;
pub mod wake;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

pub use error::{StoreError, StoreErrorKind};
pub use store::{Identity, Store, Timings};
