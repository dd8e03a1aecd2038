//! TLS for connections to servers: libpq's `sslmode` and friends on rustls.
//!
//! Not supported, because rustls does not: certificates without a subject alternative name, TLS
//! before 1.2.
//!
//! Files that libpq finds in `~/.postgresql` by itself are found here, too: `root.crt` for
//! whoever checks the server's certificate, `postgresql.key` beside a configured `sslcert`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use patroni_config::file::postgresql::Credentials;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::{self, PemObject as _};
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
        source: pem::Error,
    },
    /// The file has no such block.
    #[error("find {what} in {path}")]
    Nothing {
        /// What was expected.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The private key has a password that is not known, or is encrypted in a form that is not.
    #[error("use {path} (sslkey)")]
    Locked {
        /// The key.
        path: PathBuf,
        /// Why.
        #[source]
        source: patroni_pem::KeyError,
    },
    /// A certificate without its key.
    #[error("use the certificate {cert} (sslcert): there is no private key; set sslkey")]
    NoKey {
        /// The certificate.
        cert: PathBuf,
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
        Trust::Blind => Arc::new(Verifier {
            provider: Arc::clone(&provider),
            chain: None,
        }),
        checked @ (Trust::Chain | Trust::Full) => Arc::new(Verifier {
            provider: Arc::clone(&provider),
            chain: Some(Chain::of(user, Arc::clone(&provider), checked)?),
        }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match &user.sslcert {
        Some(cert) => builder
            .with_client_auth_cert(certificates(Path::new(cert))?, private_key(user)?)
            .map_err(|error| TlsError::Setup(error.to_string())),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Refuses what will never work, so that it is told at the start and not at the first connection:
/// a key that its password does not open, a certificate without a key.
///
/// # Errors
/// Which it is.
pub(crate) fn refuse_unusable(user: &Credentials) -> Result<(), TlsError> {
    let Some(path) = key_path(user)? else {
        return Ok(());
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => unlocked(&text, &path, user).map(drop),
        // A file that comes later is looked at when it is used.
        Err(_) => Ok(()),
    }
}

fn private_key(user: &Credentials) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = key_path(user)?.unwrap_or_default();
    let unreadable = |source| file("a private key", &path, source);
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(pem::Error::Io(error)))?;
    let text = unlocked(&text, &path, user)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(unreadable)
}

fn unlocked<'t>(text: &'t str, path: &Path, user: &Credentials) -> Result<Cow<'t, str>, TlsError> {
    let open = patroni_pem::unlock(text, user.sslpassword.as_ref());
    open.map_err(|source| TlsError::Locked {
        path: path.to_owned(),
        source,
    })
}

/// The key of the certificate, `None` without a certificate.
fn key_path(user: &Credentials) -> Result<Option<PathBuf>, TlsError> {
    let Some(cert) = &user.sslcert else {
        return Ok(None);
    };
    let key = user.sslkey.as_ref().map(PathBuf::from);
    key.or_else(|| of_the_user("postgresql.key"))
        .map(Some)
        .ok_or_else(|| TlsError::NoKey { cert: cert.into() })
}

/// A file that libpq looks for by itself, when it is there.
fn of_the_user(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).or_else(|| {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        user.ok().flatten().map(|user| user.dir)
    })?;
    Some(home.join(".postgresql").join(name)).filter(|path| path.exists())
}

/// Where the trusted certificates are; `None` are those of the system.
fn root_file(user: &Credentials) -> Option<PathBuf> {
    match user.sslrootcert.as_deref() {
        Some("system") => None,
        Some(path) => Some(path.into()),
        None => of_the_user("root.crt"),
    }
}

/// libpq checks the chain also with `require` when a root certificate is configured.
fn trust(user: &Credentials) -> Trust {
    match user.sslmode.as_deref() {
        Some("verify-full") => Trust::Full,
        Some("verify-ca") => Trust::Chain,
        Some("require") if user.sslrootcert.is_some() || root_file(user).is_some() => Trust::Chain,
        _ => Trust::Blind,
    }
}

/// The check against trusted certificates.
#[derive(Debug)]
struct Chain {
    verifier: Arc<WebPkiServerVerifier>,
    /// Certificates that the operator named, byte for byte.
    named: Vec<CertificateDer<'static>>,
    trust: Trust,
}

impl Chain {
    fn of(
        user: &Credentials,
        provider: Arc<CryptoProvider>,
        trust: Trust,
    ) -> Result<Self, TlsError> {
        let setup = |error: &dyn std::fmt::Display| TlsError::Setup(error.to_string());
        let mut roots = RootCertStore::empty();
        let named = match root_file(user) {
            Some(path) => certificates(&path)?,
            None => Vec::new(),
        };
        for certificate in &named {
            roots.add(certificate.clone()).map_err(|e| setup(&e))?;
        }
        if named.is_empty() {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // One root that this library refuses must not hide all the others.
                let _ = roots.add(certificate);
            }
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(revocation_lists(user)?)
            .build()
            .map_err(|e| setup(&e))?;
        Ok(Self {
            verifier,
            named,
            trust,
        })
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain = &self.verifier;
        let checked =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            Ok(_) => Ok(()),
            // The name is looked at last, so everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::Chain => Ok(()),
            // The library takes no authority for a server, but a self-signed certificate that
            // the operator named is both. Its dates were looked at first.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.named.iter().any(|known| known == end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                match self.trust {
                    Trust::Full => verify_server_name(&certificate, server_name),
                    Trust::Chain | Trust::Blind => Ok(()),
                }
            }
            Err(refusal) => Err(refusal),
        }
    }
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

fn file(what: &'static str, path: &Path, source: pem::Error) -> TlsError {
    TlsError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Checks what libpq would: nothing, or the chain with or without the host name.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Chain>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.check(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        Ok(ServerCertVerified::assertion())
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

    /// What a check says of a self-signed authority that is both root and server.
    fn self_signed(sslmode: &str, host: &str, now: UnixTime, named: bool) -> Result<(), Error> {
        let mut parameters = rcgen::CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let make = || {
            let key = rcgen::KeyPair::generate().unwrap();
            parameters.clone().self_signed(&key).unwrap()
        };
        let (server, other) = (make(), make());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.crt");
        std::fs::write(&file, if named { server.pem() } else { other.pem() }).unwrap();
        let user = user(sslmode, file.to_str());
        let provider = Arc::new(ring::default_provider());
        let chain = Chain::of(&user, provider, trust(&user)).unwrap();
        let name = ServerName::try_from(host).unwrap();
        chain.check(server.der(), &[], &name, &[], now)
    }

    #[test]
    fn a_self_signed_certificate_is_believed_when_it_was_named() {
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        let (now, later) = (at(1_700_000_000), at(1_900_000_000));
        assert!(self_signed("verify-full", "db.example", now, true).is_ok());
        assert!(self_signed("verify-full", "other.example", now, true).is_err());
        assert!(self_signed("verify-ca", "other.example", now, true).is_ok());
        for mode in ["verify-full", "verify-ca"] {
            assert!(self_signed(mode, "db.example", now, false).is_err());
            assert!(matches!(
                self_signed(mode, "db.example", later, true),
                Err(Error::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. }
                ))
            ));
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("client.key");
        std::fs::write(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
        let mut user = user("prefer", None);
        user.sslcert = Some("/client.crt".to_owned());
        user.sslkey = key.to_str().map(str::to_owned);
        let refusal = refuse_unusable(&user).unwrap_err().to_string();
        assert!(refusal.contains("client.key (sslkey)"), "{refusal}");
        user.sslkey = None;
        let refusal = refuse_unusable(&user).unwrap_err().to_string();
        assert!(refusal.contains("/client.crt (sslcert)"), "{refusal}");
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
