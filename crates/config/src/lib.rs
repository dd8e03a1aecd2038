//! Typed settings of a node: from files, environment and the cluster's dynamic configuration to
//! one struct per section.
//!
//! The way of a setting: [`yaml`] reads text, [`Local`] merges files and [`Environment`],
//! [`Effective`] puts that over the dynamic configuration, [`Settings`] gives it types. Each step
//! keeps where a setting was written, so that an error names file, line and key. The crate knows
//! nothing of stores, servers or clocks; it opens configuration files and nothing else. (The
//! validator alone looks at the machine, through [`validate::Probe`].)
//!
//! Read [`Settings`] first, then [`Dynamic`] (the cluster-wide rules) and [`file::Postgresql`].
//!
//! ```
//! use patroni_config::{Effective, Environment, Local, Settings};
//!
//! let variables = [("PATRONI_CONFIGURATION", "
//! scope: demo
//! name: node1
//! etcd3: {host: 10.0.0.5}
//! restapi: {listen: 10.0.0.1:8008}
//! postgresql: {listen: 10.0.0.1:5432, data_dir: /data}
//! ")];
//! let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
//! let local = Local::load(None, &Environment::read(variables))?.require()?;
//! let effective = Effective::compute(&serde_json::Map::new(), &local)?;
//! let (settings, _warnings) = Settings::read(&effective)?;
//! assert_eq!(settings.base_path(), "/service/demo");
//! assert_eq!(settings.restapi.api_url(), "http://10.0.0.1:8008/patroni");
//! # Ok::<(), patroni_config::ConfigError>(())
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

pub mod cache;
pub mod control;
pub mod controlled;
pub mod dynamic;
pub mod effective;
pub mod env;
pub mod error;
pub mod file;
pub mod generate;
mod keys;
mod legacy;
pub mod load;
pub mod merge;
pub mod origin;
pub mod reload;
mod section;
pub mod settings;
pub mod umask;
mod unknown;
pub mod validate;
pub mod witness;
pub mod yaml;

pub use control::ControlSettings;
pub use dynamic::Dynamic;
pub use effective::Effective;
pub use env::Environment;
pub use error::ConfigError;
pub use keys::json_schema::json_schema;
pub use load::Local;
pub use settings::Settings;
pub use witness::WitnessSettings;
