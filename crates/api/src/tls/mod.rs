//! Certificates, keys and trust, for both ends.

mod clients;
mod material;

use std::path::PathBuf;

use patroni_core::Secret;

pub use clients::{NoClient, OwnOrIssuedClient};
pub use material::{Identity, trust};

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, its chain after it.
    pub certfile: PathBuf,
    /// The key; without one it is in the certificate's file.
    pub keyfile: Option<PathBuf>,
    /// The key's password, if it has one.
    pub keyfile_password: Option<Secret>,
}
