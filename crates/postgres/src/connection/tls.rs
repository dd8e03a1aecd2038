//! TLS for connections to servers: libpq's `sslmode` and friends on rustls.
//!
//! Not supported, because rustls does not: encrypted private keys (`sslpassword`), certificates
//! without a subject alternative name, TLS before 1.2.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use patroni_config::file::postgresql::Credentials;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// TLS material that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file does not read as PEM.
    #[error("read {what} from {path}")]
    File {
        /// What was expected.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The file has no such block.
    #[error("find {what} in {path}")]
    Nothing {
        /// What was expected.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The pieces do not fit together.
    #[error("set up TLS: {0}")]
    Setup(String),
}

/// How much of the server's certificate is believed without proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Anything: encryption only.
    Blind,
    /// The chain is checked, the host name is not.
    Chain,
    /// Chain and host name.
    Full,
}

/// What connections of this user use for TLS; whether they use it is `sslmode`.
///
/// # Errors
/// A file that is configured cannot be used.
pub fn connector(user: &Credentials) -> Result<MakeRustlsConnect, TlsError> {
    Ok(MakeRustlsConnect::new(client_config(user)?))
}

fn client_config(user: &Credentials) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust(user) {
        Trust::Blind => Arc::new(Lenient {
            provider: Arc::clone(&provider),
            chain: None,
        }),
        Trust::Chain => Arc::new(Lenient {
            provider: Arc::clone(&provider),
            chain: Some(chain_verifier(user, Arc::clone(&provider))?),
        }),
        Trust::Full => chain_verifier(user, Arc::clone(&provider))?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&user.sslcert, &user.sslkey) {
        (Some(cert), Some(key)) => {
            let chain = certificates(Path::new(cert))?;
            let key_path = Path::new(key);
            let key = PrivateKeyDer::from_pem_file(key_path)
                .map_err(|source| file("a private key", key_path, source))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsError::Setup(error.to_string()))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// libpq checks the chain also with `require` when a root certificate is configured.
fn trust(user: &Credentials) -> Trust {
    match user.sslmode.as_deref() {
        Some("verify-full") => Trust::Full,
        Some("verify-ca") => Trust::Chain,
        Some("require") if user.sslrootcert.is_some() => Trust::Chain,
        _ => Trust::Blind,
    }
}

fn chain_verifier(
    user: &Credentials,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    match user.sslrootcert.as_deref() {
        Some("system") | None => {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // One root that this library refuses must not hide all the others.
                let _ = roots.add(certificate);
            }
        }
        Some(path) => {
            for certificate in certificates(Path::new(path))? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::Setup(error.to_string()))?;
            }
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(revocation_lists(user)?)
        .build()
        .map_err(|error| TlsError::Setup(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| file("certificates", path, source))?;
    if found.is_empty() {
        return Err(TlsError::Nothing {
            what: "certificates",
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn revocation_lists(
    user: &Credentials,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut paths: Vec<PathBuf> = user.sslcrl.iter().map(PathBuf::from).collect();
    if let Some(dir) = &user.sslcrldir {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let mut lists = Vec::new();
    for path in paths {
        let found: Vec<_> = CertificateRevocationListDer::pem_file_iter(&path)
            .and_then(Iterator::collect)
            .map_err(|source| file("revocation lists", &path, source))?;
        lists.extend(found);
    }
    Ok(lists)
}

fn file(what: &'static str, path: &Path, source: rustls_pki_types::pem::Error) -> TlsError {
    TlsError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Checks less than rustls would: nothing, or all but the host name.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let checked =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // The name is looked at last, so everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(sslmode: &str, sslrootcert: Option<&str>) -> Credentials {
        Credentials {
            sslmode: Some(sslmode.to_owned()),
            sslrootcert: sslrootcert.map(str::to_owned),
            ..Credentials::default()
        }
    }

    #[test]
    fn modes_mean_what_libpq_says() {
        assert_eq!(trust(&user("prefer", None)), Trust::Blind);
        assert_eq!(trust(&user("require", None)), Trust::Blind);
        assert_eq!(trust(&user("require", Some("/ca"))), Trust::Chain);
        assert_eq!(trust(&user("verify-ca", Some("/ca"))), Trust::Chain);
        assert_eq!(trust(&user("verify-full", Some("/ca"))), Trust::Full);
    }

    #[test]
    fn missing_files_are_named() {
        let refused = client_config(&user("verify-full", Some("/nonexistent/ca.pem")));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/ca.pem")
        );
        assert!(client_config(&user("prefer", None)).is_ok());
    }
}
