//! The decision core: what a member of the cluster does next, and why.
//!
//! It is handed facts ([`Observation`]) and what it remembered ([`Memory`]), asks for one
//! [`Command`] at a time, goes on from the [`Outcome`] of each, and ends in a [`Verdict`] whose
//! text is the line that operators read. It deliberately knows no socket, no process, no clock
//! and no chance: two bodies carry it, the node and the simulator, and there is no third way to
//! make a decision.
//!
//! Read [`Cycle`] first, then the modules of vocabulary ([`observation`], [`command`],
//! [`outcome`], [`job`], [`memory`]), then the rules in the order of the decision table.
//!
//! A cycle runs its rules from the beginning at every step, fed with the outcomes so far, until
//! it asks for one that is not there yet. So the rules are straight-line code, and a cycle is a
//! plain value that can be stored and replayed.
#![deny(clippy::wildcard_enum_match_arm)]

#[cfg(test)]
extern crate self as patroni_ha;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub mod command;
mod context;
pub mod cycle;
mod divergence;
pub mod eligibility;
mod failsafe;
mod history;
pub mod intent;
mod invariants;
pub mod job;
pub mod job_run;
mod jobs;
pub mod memory;
pub mod observation;
pub mod outcome;
mod publish;
mod replay;
mod rules;
mod schedule;
pub mod sentence;
mod slots;
mod sync;
pub mod verdict;
mod wording;

pub use command::Command;
pub use cycle::{Cycle, Step};
pub use job::Job;
pub use job_run::{JobContext, JobRun, JobStep};
pub use memory::Memory;
pub use observation::Observation;
pub use outcome::Outcome;
pub use sentence::{Level, Sentence};
pub use verdict::Verdict;
