//! The TLS settings of connections over HTTP, read from files.

use std::path::Path;
use std::sync::Arc;

use patroni_tls::{Proof, ServerVerifier, Trust, provider};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::pem::{PemError, read};

/// Settings that no connection can be made with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    File(#[from] PemError),
    #[error("cacert holds no usable certificate")]
    NoAuthority,
    #[error("cert holds no usable certificate")]
    Certificate(#[source] pem::Error),
    #[error("no usable private key in key or cert (an encrypted one cannot be used)")]
    Key(#[source] pem::Error),
    #[error("certificates and key cannot be used")]
    Rejected(#[from] rustls::Error),
}

/// How a server is verified, and what it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    /// Whether the server must have a certificate of an authority.
    pub(crate) verify: bool,
    /// Those authorities; the system's without it.
    pub(crate) cacert: Option<&'a Path>,
    /// The client's certificate, which may hold the key too.
    pub(crate) cert: Option<&'a Path>,
    /// The key of the client's certificate.
    pub(crate) key: Option<&'a Path>,
}

/// Reads certificates and key anew. Without encryption nothing is read.
pub(crate) async fn load(url: &str, files: Files<'_>) -> Result<ClientConfig, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    if !url.starts_with("https:") {
        let nobody = builder.with_root_certificates(RootCertStore::empty());
        return Ok(nobody.with_no_client_auth());
    }
    let verifier = Arc::new(verifier(files).await?);
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(cert) = files.cert else {
        return Ok(builder.with_no_client_auth());
    };
    let certificate = read(cert).await?;
    let key = match files.key {
        Some(path) => read(path).await?,
        None => certificate.clone(),
    };
    let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(TlsError::Key)?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

async fn verifier(files: Files<'_>) -> Result<ServerVerifier, TlsError> {
    if !files.verify {
        return Ok(ServerVerifier::blind());
    }
    let trust = match files.cacert {
        Some(path) => {
            let pem = read(path).await?;
            let certificates = CertificateDer::pem_slice_iter(&pem).flatten().collect();
            Trust::named(certificates).ok_or(TlsError::NoAuthority)?
        }
        None => Trust::system(),
    };
    Ok(ServerVerifier::new(Proof::ChainAndName, trust, Vec::new())?)
}
