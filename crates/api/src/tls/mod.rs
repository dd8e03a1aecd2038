//! Certificates, keys and trust, for both ends.

mod material;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use patroni_core::Secret;
use rustls::crypto::CryptoProvider;

pub use material::{Identity, Trust};
pub use trust::{AnyServer, ChainOnly, NoClient, OwnOrIssued, OwnOrIssuedClient};

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

/// The one provider of algorithms, named here so that no process-wide default is needed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
