//! Distributed configuration stores behind one trait.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod error;
pub mod store;

pub use error::{StoreError, StoreErrorKind};
pub use store::{Identity, Store, Timings};
