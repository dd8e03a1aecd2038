//! The TLS settings of the connection, read from files.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use etcd_client::{Certificate, Identity, TlsOptions};

use super::options::Options;

/// A file that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub(super) struct TlsFileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Reads certificates and key anew, so that renewed files are used by the next connection.
pub(super) async fn load(options: &Options) -> Result<TlsOptions, TlsFileError> {
    let mut tls = TlsOptions::new();
    tls = match &options.cacert {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path).await?)),
        None => tls.ca_certificate(Certificate::from_pem(system_certificates())),
    };
    if let Some(cert) = &options.cert {
        let certificate = read(cert).await?;
        let key = match &options.key {
            Some(path) => read(path).await?,
            None => certificate.clone(),
        };
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}

async fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    tokio::fs::read(path).await.map_err(|source| TlsFileError {
        path: path.to_owned(),
        source,
    })
}

/// The system's certificates as one PEM text, the only form the client takes. Those that cannot
/// be read are left out, as everywhere on a system.
fn system_certificates() -> String {
    let mut pem = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = base64::engine::general_purpose::STANDARD.encode(certificate.as_ref());
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}
