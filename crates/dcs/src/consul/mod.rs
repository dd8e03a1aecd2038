//! Consul, through the HTTP interface of the local agent.
//!
//! Keys, sessions and conditions are those of every other member of a cluster, whatever software
//! it runs; source: store contract, section 11. What is here from the bottom up:
//!
//! - `options`: how to reach the agent and what may change meanwhile;
//! - `agent`: one request within its time, the only layer that repeats; `failure`: what an
//!   answer asks of it;
//! - `kv`: keys, and transactions about them;
//! - `session`: the one session on which lock and member key hang;
//! - `follow`: blocking reads of lock and configuration, and whom they wake;
//! - `service`: the member as a service of the agent;
//! - `lock`, `store`: the operations of [`Store`](crate::Store).

mod agent;
mod failure;
mod follow;
mod kv;
mod lock;
mod options;
mod service;
mod session;
mod store;

pub use options::{Changeable, DEFAULT_PORT, Options, OptionsError};
pub use store::Consul;
