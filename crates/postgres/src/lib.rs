//! Supervision of one local PostgreSQL server.
//!
//! A [`Supervisor`] recognises and adopts a server, writes its configuration, starts, stops and
//! promotes it, and reports facts about it. It deliberately does not know the cluster: whom to
//! follow, when to promote and what a lost lock means is decided elsewhere and told to it.
//!
//! Read [`Supervisor`] first, then [`patroni_core::server::LocalServer`] (what one look tells)
//! and [`StartRequest`] and [`StopRequest`]. Everything that could wait for a frozen server has a
//! limit; what is not known in time is reported as unknown.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use patroni_config::file::Postgresql;
//! use patroni_postgres::{Ask, Clock, Supervisor};
//!
//! # async fn example() -> Result<(), patroni_postgres::AdoptError> {
//! let settings = Postgresql {
//!     data_dir: "/var/lib/postgresql/15/main".into(),
//!     ..Postgresql::default()
//! };
//! let supervisor = Supervisor::adopt(settings, Clock::start()).await?;
//! let server = supervisor.observe(Ask::default(), Duration::from_secs(2)).await;
//! println!("{} {:?}", server.role, server.status);
//! # Ok(())
//! # }
//! ```

mod adopt;
pub mod archive;
pub mod binaries;
pub mod bootstrap;
pub mod callbacks;
mod cancel;
pub mod citus;
mod clock;
pub mod command;
mod conf;
pub mod configured;
pub mod connection;
pub mod conninfo;
pub mod controldata;
mod create;
mod custom_bootstrap;
mod data_dir;
mod directories;
mod diverge;
mod elsewhere;
mod follow;
pub mod hooks;
mod knock;
mod last_resort;
mod launch;
mod monitor;
mod observe;
mod obstacle;
pub mod options;
pub mod pgpass;
mod pidfile;
mod process;
mod processes;
pub mod programs;
mod promote;
mod reload;
pub mod replication;
mod rest;
pub mod rewind;
mod senders;
pub mod single_user;
pub mod slots;
mod start;
mod stop;
mod supervisor;
pub mod survey;
mod sync_names;
mod version;
pub mod waldump;

pub use adopt::AdoptError;
pub use binaries::Binaries;
pub use cancel::Cancel;
pub use clock::Clock;
pub use conf::ClusterFacts;
pub use connection::{Named, QueryError};
pub use create::CopyFrom;
pub use directories::DirectoryError;
pub use elsewhere::RewindFrom;
pub use follow::RecoveryChange;
pub use knock::Knock;
pub use last_resort::{Stopped, Target};
pub use monitor::Ask;
pub use promote::PromoteError;
pub use reload::ReloadReport;
pub use rest::{ReplicationRow, RestRow};
pub use start::{StartOutcome, StartRequest};
pub use stop::{ShutdownPoint, StopMode, StopOutcome, StopPreparation, StopRequest, Until};
pub use supervisor::{CachedStatus, Supervisor};
