//! The embedded store: the members keep the state of the cluster themselves, on their own disks,
//! by the Raft protocol. For users who do not run a store of their own.
//!
//! Every member with a `self_addr` votes, also [`witness`]es without PostgreSQL; a majority must
//! live. An observer has no `self_addr` and asks members over the same port. What a member keeps
//! and when it is safe is told in `log`; how a cluster begins, how members come, go, and come
//! back without their disk in `formation` and `membership`; the port in `transport`.
//!
//! The transport is our own: members of the reference cannot be in one Raft cluster with ours.
//!
//! Rules that keep the data safe:
//! - entries and votes are on the disk before anything that promises them leaves;
//! - a member number that has voted is never used with an empty disk again;
//! - reads are confirmed by a majority, so nobody serves an old state for long;
//! - keys expire by an entry in the log, which the leader proposes when the whole time is over by
//!   its own monotonic clock, never earlier. The other members measure too, for the day they lead.
//!
//! Read [`RaftStore`] first, then [`Node`].

mod access;
mod command;
mod core;
mod error;
mod formation;
mod ident;
mod input;
mod lease;
mod log;
mod machine;
mod marks;
mod membership;
mod node;
mod options;
mod reads;
mod remote;
mod roster;
mod serve;
mod store;
mod tracing_log;
mod transport;
pub mod witness;

pub use error::RaftError;
pub use ident::Address;
pub use input::View;
pub use node::Node;
pub use options::{Options, Tuning};
pub use roster::{Progress, RaftMember, RaftRole};
pub use store::{RaftClient, RaftStore};

#[cfg(test)]
mod tests;
