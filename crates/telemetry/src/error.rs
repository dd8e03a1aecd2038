//! What can go wrong with the log.

use std::io;
use std::path::PathBuf;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file cannot be opened.
    #[error("open the log file {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The writer cannot be started.
    #[error("start the writer of the log")]
    Thread(#[source] io::Error),
    /// There is a subscriber already.
    #[error("become the subscriber of the process: there is one already")]
    AlreadySet,
    /// The subscriber is gone.
    #[error("change the level of the log: its subscriber is gone")]
    Gone,
}
