//! Why a member cannot start or go on.

use std::io;
use std::path::PathBuf;

use super::ident::Address;
use crate::error::{StoreError, StoreErrorKind};

/// A member that cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RaftError {
    /// The settings lack something.
    #[error("use raft: {0}")]
    Settings(&'static str),
    /// Not `host:port`.
    #[error("use raft address {0:?}: host:port expected")]
    Address(String),
    /// Two addresses hash to the same number.
    #[error("tell raft members {0} and {1} apart: write one of the addresses differently")]
    SameId(Address, Address),
    /// An operation on a file failed.
    #[error("{what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("lock {}: another process uses this directory", .0.display())]
    Locked(PathBuf),
    /// The directory belongs to another member.
    #[error("use {}: it belongs to member {owner}, not to {}", path.display(), wanted)]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: Address,
        /// Who asks.
        wanted: Address,
    },
    /// Damage that no crash explains.
    #[error(
        "read {} at offset {offset}: {why}; restore the disk, or empty the directory and let \
         this member join again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// The port cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: Address,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The consensus library refused.
    #[error("run raft")]
    Protocol(#[source] raft::Error),
    /// A committed entry that this version does not understand.
    #[error("apply raft entry {index}: unknown command, this software is too old")]
    Unknown {
        /// The entry.
        index: u64,
    },
    /// The member died.
    #[error("go on with raft: {0}")]
    Stopped(String),
}

impl RaftError {
    /// For `map_err`: wraps an I/O error.
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

impl From<RaftError> for StoreError {
    fn from(error: RaftError) -> Self {
        Self {
            operation: "start raft member",
            kind: StoreErrorKind::Denied(error.to_string()),
            source: Some(Box::new(error)),
        }
    }
}
