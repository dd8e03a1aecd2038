//! What can go wrong with a device.

use std::io;

use nix::errno::Errno;

/// A device does not do what it should. The texts are part of log sentences.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It cannot be opened.
    #[error("Can't open watchdog device: {0}")]
    Open(#[source] io::Error),
    /// It does not tell what it can do.
    #[error("Could not get information about watchdog device: {0}")]
    Information(#[source] Errno),
    /// It does not take a timeout.
    #[error("Could not set timeout on watchdog device: {0}")]
    SetTimeout(#[source] io::Error),
    /// It does not tell its timeout.
    #[error("Could not get timeout on watchdog device: {0}")]
    GetTimeout(#[source] Errno),
    /// No device has such a timeout.
    #[error("Invalid timeout {0}. Supported values are between 1 and 65535")]
    InvalidTimeout(i64),
    /// It cannot be written to.
    #[error("Could not send watchdog keepalive: {0}")]
    Keepalive(#[source] io::Error),
    /// It cannot be told to stop.
    #[error("Error while closing watchdog: {0}")]
    Close(#[source] io::Error),
}
