//! The deterministic simulator.
mod chance;
mod clients;
mod clock;
mod daemon;
mod event;
mod faults;
mod invariants;
mod mutants;
mod network;
mod node;
mod operators;
mod options;
mod postgres;
mod queue;
mod report;
mod survey;
mod sweep;
mod trace;
mod world;

pub use invariants::Invariant;
pub use options::{Faults, Mutant, Options};
pub use report::{Coverage, Report, Violation};
pub use sweep::{Summary, run, sweep, trace};
