//! Credentials and trust of calls.

use std::path::PathBuf;

use patroni_core::Secret;

use crate::tls::IdentityFiles;

/// The settings of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// Name and password for guarded requests, sent with every request.
    pub credentials: Option<(String, Secret)>,
    /// The client certificate.
    pub identity: Option<IdentityFiles>,
    /// Trusted certificates; without them the system's.
    pub cacert: Option<PathBuf>,
    /// What is verified of a server.
    pub verification: Verification,
}

/// What is verified of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Chain and name: the control tool.
    #[default]
    Full,
    /// The chain alone: calls between nodes with a client certificate.
    Chain,
    /// Nothing: `insecure`, and calls between nodes without a client certificate.
    None,
}
