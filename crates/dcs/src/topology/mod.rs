//! The nodes of an etcd cluster: finding all of them, keeping to one, going on to the next.
//!
//! Both protocols of etcd share this; source: store contract, section 8. What a request is, and
//! what its failure means, is the business of each of them: see [`Reach`].

mod call;
mod discover;
mod dns;
mod guard;
mod nodes;
mod options;
mod peers;
mod srv;

pub(crate) use call::{Asks, Failed, Reach, call};
pub(crate) use discover::discover;
pub(crate) use nodes::Topology;
pub use options::{DEFAULT_PORT, Options, Protocol};
pub use srv::Srv;
