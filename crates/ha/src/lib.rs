//! The decision core.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod command;
pub mod job;
pub mod memory;
pub mod observation;
pub mod outcome;

pub use command::Command;
pub use job::Job;
pub use observation::Observation;
pub use outcome::Outcome;
