//! Distributed configuration stores behind one trait.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod codec;
pub mod error;
#[cfg(feature = "etcd3")]
pub mod etcd3;
pub mod key;
pub mod known;
pub mod retry;
pub mod store;
pub mod wake;

pub use error::{StoreError, StoreErrorKind};
pub use store::{Identity, Store, Timings};
