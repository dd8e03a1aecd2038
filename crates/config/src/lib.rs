//! Typed settings: files, environment, precedence.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod dynamic;
pub mod file;

pub use dynamic::Dynamic;
