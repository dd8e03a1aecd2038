//! Certificates and keys as texts, the form that the clients of the stores take.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(feature = "zookeeper")]
use base64::Engine as _;

/// A file that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub(crate) struct PemError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Reads a file.
pub(crate) async fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    tokio::fs::read(path).await.map_err(|source| PemError {
        path: path.to_owned(),
        source,
    })
}

/// The system's certificates as one PEM text. Those that cannot be read are left out, as
/// everywhere on a system.
#[cfg(feature = "zookeeper")]
pub(crate) fn system_certificates() -> String {
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
