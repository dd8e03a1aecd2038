//! ZooKeeper.
//!
//! Keys, owners and conditions are those of every other member of a cluster, whatever software
//! it runs; source: store contract, section 12. Lock and member key are ephemeral nodes of the one
//! session of a process. What is here from the bottom up:
//!
//! - `options`, `tls`, `failure`: how to reach the servers, and what an error means;
//! - `relay`: the way to servers that are not verified, which the client library refuses;
//! - `session`: the session, opened and resumed as needed, and one request within its time, the
//!   only layer that repeats; the servers themselves are changed by the client library;
//! - `znodes`: reading and writing nodes; `load`: reading a cluster;
//! - `seen`, `follow`: what the member has seen, and what wakes it;
//! - `lock`, `store`: the operations of [`Store`](crate::Store).

mod failure;
mod follow;
mod load;
mod lock;
mod options;
mod relay;
mod seen;
mod session;
mod store;
mod tls;
mod znodes;

pub use options::{DEFAULT_PORT, Options};
pub use patroni_config::file::dcs::zookeeper::{Access, Acl, Permission};
#[cfg(feature = "exhibitor")]
pub(crate) use store::Ensemble;
pub use store::ZooKeeper;
