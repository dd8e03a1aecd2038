//! etcd through its version 3 API (gRPC).
//!
//! Keys, leases and conditions are those of every other member of a cluster, whatever software
//! it runs; source: store contract, sections 8 and 10. What is here from the bottom up:
//!
//! - `channel`, `nodes`: the connections (which node is asked is the same by both protocols of etcd:
//!   `topology` beside this module);
//! - `call`, `answer`: one request within its time; `failure`: what an error asks for;
//! - `lease`: the one lease on which lock and member key hang;
//! - `cache`, `follow`: the watched copy that a daemon reads, and what wakes it; `shared`: what
//!   both sides have in common;
//! - `txn`, `write`: the writes; `lock`, `store`: the operations of [`Store`](crate::Store).

mod answer;
mod cache;
mod call;
mod channel;
mod failure;
mod follow;
mod lease;
mod lock;
mod nodes;
mod shared;
mod store;
mod txn;
mod write;

pub use crate::topology::{DEFAULT_PORT, Options, Protocol, Srv};
pub use store::Etcd3;
