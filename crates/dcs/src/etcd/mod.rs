//! etcd through its version 2 API (HTTP), as servers before 3.6 offer it with `--enable-v2`.
//!
//! Keys, conditions and times to live are those of every other member of a cluster, whatever
//! software it runs; source: store contract, sections 8 and 9. What is here from the bottom up
//! (which node is asked is the same by both protocols of etcd: `topology` beside this module):
//!
//! - `nodes`: the connections, and one request on one node; `redirect`: being sent on from there;
//!   `failure`: what an answer means;
//! - `keys`: reading, writing and awaiting keys;
//! - `follow`: the long poll of a member, and what wakes it;
//! - `lock`, `store`: the operations of [`Store`](crate::Store).

mod failure;
mod follow;
mod keys;
mod lock;
mod nodes;
mod redirect;
mod store;

pub use crate::topology::{DEFAULT_PORT, Options, Protocol, Srv};
pub use store::Etcd;
