//! What ends a start, or keeps the old configuration on a reload.

use std::io;
use std::path::PathBuf;

use crate::dynamic::DynamicError;
use crate::origin::Origin;
use crate::yaml::YamlError;

/// A local configuration that cannot be used. `Display` is what the operator reads on standard
/// error before exit code 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No source gave anything.
    #[error("Config is empty.")]
    Empty,
    /// The path is neither a file nor a directory.
    #[error("invalid config path")]
    InvalidPath {
        /// The path as given.
        path: PathBuf,
    },
    /// A file holds no mapping.
    #[error("invalid config file {}", file.display())]
    NoMapping {
        /// The file.
        file: PathBuf,
    },
    /// A file is no YAML.
    #[error("invalid config file {}: {error}", file.display())]
    Syntax {
        /// The file, or the variable that stands in for one.
        file: PathBuf,
        /// Place and kind of the mistake.
        error: YamlError,
    },
    /// A file cannot be read.
    #[error("cannot read config file {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// `postgresql.parameters` has a wrong type.
    #[error("postgresql.parameters is not a dictionary")]
    ParametersNotMapping,
    /// The dynamic configuration cannot be used; the one in effect stays.
    #[error(transparent)]
    Dynamic(#[from] DynamicError),
    /// No section of a store. The second line is part of the sentence that operators know.
    #[error(
        "Can not find suitable configuration of distributed configuration store\n\
         Available implementations: consul, etcd, etcd3, exhibitor, kubernetes, raft, zookeeper"
    )]
    NoStore,
    /// One key has a value that cannot be used, or is missing.
    #[error("{}{path} {problem}", at(origin.as_ref()))]
    Setting {
        /// Dotted path of the key.
        path: String,
        /// Where it was written, when it was.
        origin: Option<Origin>,
        /// What is wrong with it, to be read after the path.
        problem: String,
    },
}

impl ConfigError {
    /// The ERROR line that the log gets before the failure itself, for the cases that have one.
    pub fn log_line(&self) -> Option<String> {
        match self {
            Self::InvalidPath { path } => Some(format!(
                "config path {} is neither directory nor file",
                path.display()
            )),
            Self::NoMapping { file } => Some(format!("{} does not contain a dict", file.display())),
            Self::Empty
            | Self::Syntax { .. }
            | Self::Read { .. }
            | Self::ParametersNotMapping
            | Self::Dynamic(_)
            | Self::NoStore
            | Self::Setting { .. } => None,
        }
    }
}

fn at(origin: Option<&Origin>) -> String {
    origin
        .map(|origin| format!("{origin}: "))
        .unwrap_or_default()
}
