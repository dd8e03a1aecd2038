//! One running member: the async body around the decision core.
//!
//! It looks (`observe`), hands what it saw to [`patroni_ha`], carries out the commands that come
//! back (`act`), publishes what the node is, and waits for the next reason to look. It decides
//! nothing: an `if` about the state of the cluster belongs into the core, where the simulator can
//! reach it.
//!
//! Read [`daemon`] first (the life of a node in order), then [`Lease`] and its guard.
//!
//! ```
//! use std::time::Duration;
//! use patroni_core::Moment;
//! use patroni_node::Lease;
//!
//! // Leadership counts from the moment before the renewal was sent.
//! let lease = Lease::default();
//! lease.held_until(Moment::new(Duration::from_secs(30)));
//! assert!(lease.is_held(Moment::new(Duration::from_secs(29))));
//! assert!(!lease.is_held(Moment::new(Duration::from_secs(30))));
//! ```

mod act;
mod adapt;
mod background;
mod callbacks;
mod citus;
mod configuration;
pub mod daemon;
mod executor;
pub mod generate;
mod guardian;
mod ha_loop;
pub mod init;
mod journal;
mod lease_guard;
mod lock_turn;
mod measured_store;
mod member;
mod observe;
mod peers;
mod phases;
mod probe;
mod publish;
mod reload;
pub mod replay;
mod request;
mod say;
mod shutdown;
mod standby_watch;
mod wake;

pub use daemon::{Start, StartError, run};
pub use guardian::run_as_guardian;
pub use lease_guard::Lease;
