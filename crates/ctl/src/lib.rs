//! patronictl as a library: commands that look at a cluster and steer it.
//!
//! A command reads the store, asks people, and tells members over REST what to do; texts, tables,
//! prompts and exit codes are a contract with scripts and operators. Who could lead, and what a
//! member would refuse, it has judged by `patroni_ha`, as the members do. It does not know how a
//! store or REST speaks on the wire: stores come through [`World`] as
//! [`patroni_dcs::store::Store`], members through [`Rest`].
//!
//! Read [`run()`] first (a command line in, an exit code out), then [`World`] and [`Console`] (what
//! it touches), then `commands/`, where each command is one file.
//!
//! ```
//! use patroni_core::{Cluster, Scope};
//! use patroni_ctl::output::{Format, members::Style, members_table};
//! use patroni_ctl::view::View;
//!
//! let view = View::of_one(Scope::new("demo"), None, Cluster::default());
//! let text = members_table(&view, Format::Pretty, Style::List, false);
//! assert!(text.starts_with("+ Cluster: demo (uninitialized) --"));
//! assert_eq!(members_table(&view, Format::Json, Style::List, false), "[]\n");
//! ```

mod cli;
mod clock;
mod commands;
mod confirm;
mod console;
mod context;
mod diff;
mod doctor;
mod editor;
pub mod exit;
mod log;
pub mod output;
mod outside;
mod peer;
mod postgres;
mod rehearsal;
mod release;
mod rest;
mod run;
mod screen;
mod select;
pub mod settings;
mod story;
mod top;
mod usage;
pub mod view;
mod world;
mod yaml;

pub use cli::{Global, command_line};
pub use clock::{Clock, SystemClock};
pub use console::{Console, Stdio};
pub use exit::Failure;
pub use outside::Outside;
pub use rest::{Answer, Method, Rest, RestError};
pub use run::{Find, Surroundings, run};
pub use screen::{Input, Key, Screen};
pub use settings::{Environment, find};
pub use world::{RaftGroup, World};
