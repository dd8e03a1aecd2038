//! Reading PEM files.

use std::path::Path;
use std::sync::Arc;

use patroni_core::Secret;
use patroni_tls::{Trust, provider};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::IdentityFiles;
use crate::error::TlsError;

/// A certificate with its chain and key, checked to belong together.
#[derive(Clone, Debug)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`]. A file without any certificate is an error, too.
    pub fn load(files: &IdentityFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.certfile, "certificate")?;
        let keyfile = files.keyfile.as_deref().unwrap_or(&files.certfile);
        let key = private_key(keyfile, files.keyfile_password.as_ref())?;
        CertifiedKey::from_der(chain, key, &provider())
            .map(|key| Self(Arc::new(key)))
            .map_err(|source| TlsError::Rejected {
                path: files.certfile.clone(),
                source,
            })
    }
}

/// Reads a file of certificates that are believed, as such and as issuers.
///
/// # Errors
/// The file cannot be read or holds no usable certificate.
pub fn trust(path: &Path) -> Result<Trust, TlsError> {
    let what = "trusted certificates";
    Trust::named(certificates(path, what)?).ok_or_else(|| TlsError::Empty {
        what,
        path: path.to_owned(),
    })
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    };
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            what,
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn private_key(path: &Path, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = "private key";
    let text = std::fs::read_to_string(path).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source: pem::Error::Io(source),
    })?;
    let text = patroni_tls::unlock(&text, password).map_err(|source| TlsError::LockedKey {
        path: path.to_owned(),
        source,
    })?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|source| {
        let path = path.to_owned();
        if matches!(source, pem::Error::NoItemsFound) {
            TlsError::Empty { what, path }
        } else {
            TlsError::Read { what, path, source }
        }
    })
}
