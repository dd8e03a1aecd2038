//! Harness of the black-box tests: real nodes, real PostgreSQL, real stores, seen from outside.
//!
//! Each [`Cluster`] has its own folder, ports and processes and ends everything it started when
//! it is dropped. Tests wait for states ([`wait::until`]), never for luck.

pub mod authority;
pub mod browser;
pub mod chaos;
pub mod cluster;
pub mod consul;
pub mod disk;
pub mod ensemble;
pub mod etcd;
pub mod http;
pub mod journal;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod kernel;
#[cfg(not(target_os = "linux"))]
#[path = "not_linux.rs"]
mod kernel;
pub mod kubernetes;
pub mod machines;
pub mod maker;
pub mod netns;
pub mod node;
pub mod place;
pub mod ports;
pub mod postgresql;
pub mod proc;
pub mod proxy;
pub mod secured;
pub mod slow_link;
pub mod sql;
pub mod store;
pub mod tap;
pub mod terminal;
pub mod wait;
pub mod writer;
pub mod zookeeper;

pub use browser::Browser;
pub use cluster::Cluster;
pub use disk::Disk;
pub use maker::Maker;
pub use node::Node;
pub use store::StoreKind;
pub use terminal::Terminal;
