//! The vocabulary that every crate of patroni-rs speaks.
//!
//! Positions, timelines, names, roles, and one type for each object kept in the store, with its
//! JSON form and its reading rules. Nothing here does IO, waits or reads a clock: times are
//! values that somebody else measured.
//!
//! Read [`Cluster`] first (what a store holds), then [`Member`] and [`server::LocalServer`]
//! (what a node sees of its own PostgreSQL).
//!
//! ```
//! use patroni_core::{Lsn, MemberName, SlotName};
//!
//! let flushed: Lsn = "0/3000148".parse()?;
//! assert_eq!(flushed.bytes(), 0x3000148);
//! assert_eq!(SlotName::of_member(&MemberName::new("Node-1")).as_str(), "node_1");
//! # Ok::<(), patroni_core::LsnError>(())
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

pub mod account;
pub mod causes;
pub mod cluster;
pub mod config_doc;
pub mod copy;
pub mod exact;
pub mod failover;
pub mod history;
pub mod json;
pub mod lsn;
pub mod member;
pub mod name;
pub mod password_file;
pub mod rest_url;
pub mod restart;
pub mod role;
pub mod secret;
pub mod server;
pub mod state;
pub mod status;
pub mod sync;
pub mod sync_names;
pub mod system_id;
pub mod tags;
pub mod time;
pub mod timeline;
pub mod upstream;
pub mod value;
pub mod version;
pub mod xid;

pub use account::Account;
pub use causes::Causes;
pub use cluster::{Cluster, Leader, Revision};
pub use config_doc::ConfigDoc;
pub use copy::CopyProgress;
pub use failover::{Failover, FailoverRequest};
pub use history::{History, HistoryLine};
pub use lsn::{Lsn, LsnError};
pub use member::{Member, MemberData};
pub use name::{MemberName, Scope, SlotName};
pub use restart::RestartConditions;
pub use role::Role;
pub use secret::Secret;
pub use state::State;
pub use status::Status;
pub use sync::SyncState;
pub use sync_names::SyncNames;
pub use system_id::SystemId;
pub use tags::Tags;
pub use time::Moment;
pub use timeline::Timeline;
pub use upstream::{ConnUrl, Upstream};
pub use version::Version;
pub use xid::Xid;
