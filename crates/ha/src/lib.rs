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
//!
//! ```
//! use patroni_ha::{Cycle, Memory, Observation, Outcome, Step, Verdict};
//! use patroni_core::Moment;
//!
//! /// A body: carries out what the cycle asks for, until it ends.
//! fn run(
//!     observation: Observation,
//!     memory: Memory,
//!     mut carry_out: impl FnMut(patroni_ha::Command) -> (Outcome, Moment),
//! ) -> (Verdict, Memory) {
//!     let mut cycle = Cycle::begin(observation, memory);
//!     loop {
//!         match cycle.step() {
//!             Step::Do { say, command } => {
//!                 for sentence in say {
//!                     println!("{:?}: {sentence}", sentence.level);
//!                 }
//!                 let (outcome, now) = carry_out(command);
//!                 cycle.resume(outcome, now);
//!             }
//!             Step::Done { verdict, memory, .. } => return (verdict, memory),
//!         }
//!     }
//! }
//! ```
//!
//! # Where it does the safe thing instead of the reference's
//!
//! Each of these was seen in the reference (4.1.5). A cluster in which nodes of both kinds live
//! works with either behaviour.
//!
//! - *The judged snapshot.* Every conditional write carries the revision of the snapshot that
//!   the rule looked at, never that of a view refreshed by another reader in between.
//! - *An unreadable `scheduled_at`* is a stale request that the leader clears; the reference
//!   takes it for a dead store, and every primary demotes.
//! - *A thawed primary* (its lease ran out while the process did not run) reads the store anew
//!   before it extends the lock, and takes a free lock back only when nobody can have led
//!   meanwhile: no later timeline in the history or at a peer, no published position beyond its
//!   own, no other living primary.
//! - *Two demotions.* While a task that stops the server runs, no second one is begun.
//! - *The lock given back is not extended again* by the cycle that runs beside the demotion.
//! - *The watchdog* stays armed until the control file says that everything is shut down, or the
//!   process is gone; a failed stop keeps it armed.
//! - *A query that timed out* says nothing about the role: the last known role counts, and the
//!   status is left unwritten.
//! - *The `sync` key and `synchronous_standby_names`*: before a promotion the key is narrowed to
//!   this node first; a standby enters the key only after PostgreSQL was seen to wait for it.
//! - *Votes*: one says "you have all that I have". So that of a node which may not lead counts,
//!   that of a former leader which is ahead does not, and a later timeline is ahead of an earlier
//!   one. The candidate of a switchover in quorum mode needs them, too.
//! - *Fewer votes* are written into the key only when the standbys' positions back them, and the
//!   key names a new leader before its promotion; see [`quorum::Key::is_backed`].
//! - *An adopted standby with an empty store* ends the daemon and leaves PostgreSQL running; the
//!   reference promotes it.
//! - *A lock that a newer view contradicts* is not acted on: nothing is promoted until a view
//!   shows it ours.
//! - *A silent store* does not end the lease: a primary leads on until an orderly stop needs the
//!   rest of it (see [`lease`]).
//! - *An immediate stop that hangs* is followed by a kill.
//! - *A fork on the same timeline number*: whole histories are compared, not numbers, also before
//!   a crashed primary follows anybody, and whenever a standby gets no WAL for a while.
//! - *A crashed primary whose cluster has become a standby* is not started as one.
//! - *A restart, promotion or start that runs when the store fails* is ended before the offline
//!   demotion begins.
//!
//! # Beside the cycle
//!
//! [`citus`] decides what the leader of a Citus coordinator writes into the table of nodes.
#![deny(clippy::wildcard_enum_match_arm)]

#[cfg(test)]
extern crate self as patroni_ha;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub mod citus;
pub mod command;
mod context;
pub mod cycle;
pub mod divergence;
pub mod eligibility;
mod failsafe;
mod history;
pub mod intent;
mod invariants;
pub mod job;
pub mod job_run;
mod jobs;
pub mod journal;
pub mod lease;
pub mod memory;
pub mod mutant;
pub mod observation;
pub mod outcome;
mod publish;
pub mod quorum;
mod replay;
pub mod rule;
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
pub use publish::slot_positions;
pub use rule::Rule;
pub use sentence::{Level, Sentence};
pub use sync::StandbyWatch;
pub use verdict::Verdict;
