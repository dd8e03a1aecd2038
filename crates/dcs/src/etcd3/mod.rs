//! etcd through its version 3 API (gRPC).
//!
//! Keys, leases and conditions are those of every other member of a cluster, whatever software
//! it runs; source: store contract, sections 8 and 10. What is here from the bottom up:
//!
//! - `options`, `tls`: how to reach the nodes; `guard`, `nodes`: the connections and
//!   the current node; `discover`: finding all nodes;
//! - `call`: one request within its time, the only layer that repeats; `failure`: what an error
//!   asks of it;
//! - `lease`: the one lease on which lock and member key hang;
//! - `cache`, `follow`: the watched copy that a daemon reads, and what wakes it; `shared`: what
//!   both sides have in common;
//! - `txn`, `write`: the writes; `lock`, `store`: the operations of [`Store`](crate::Store).

mod cache;
mod call;
mod discover;
mod failure;
mod follow;
mod guard;
mod lease;
mod lock;
mod nodes;
mod options;
mod shared;
mod store;
mod tls;
mod txn;
mod write;

pub use options::{DEFAULT_PORT, Options, Protocol};
pub use store::Etcd3;
