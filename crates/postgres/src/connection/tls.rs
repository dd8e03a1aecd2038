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
use patroni_tls::{Proof, ServerVerifier, Trust};
use rustls::ClientConfig;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
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
        source: patroni_tls::KeyError,
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

/// What connections of this user use for TLS; whether they use it is `sslmode`.
///
/// # Errors
/// A file that is configured cannot be used.
pub fn connector(user: &Credentials) -> Result<MakeRustlsConnect, TlsError> {
    Ok(MakeRustlsConnect::new(client_config(user)?))
}

fn client_config(user: &Credentials) -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(verifier(user)?);
    let builder = ClientConfig::builder_with_provider(patroni_tls::provider())
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
    let open = patroni_tls::unlock(text, user.sslpassword.as_ref());
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
fn proof(user: &Credentials) -> Proof {
    match user.sslmode.as_deref() {
        Some("verify-full") => Proof::ChainAndName,
        Some("verify-ca") => Proof::Chain,
        Some("require") if user.sslrootcert.is_some() || root_file(user).is_some() => Proof::Chain,
        _ => Proof::Nothing,
    }
}

fn verifier(user: &Credentials) -> Result<ServerVerifier, TlsError> {
    let proof = proof(user);
    if proof == Proof::Nothing {
        return Ok(ServerVerifier::blind());
    }
    let trust = match root_file(user) {
        Some(path) => Trust::named(certificates(&path)?).ok_or(TlsError::Nothing {
            what: "usable certificates",
            path,
        })?,
        None => Trust::system(),
    };
    ServerVerifier::new(proof, trust, revocation_lists(user)?)
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

fn file(what: &'static str, path: &Path, source: pem::Error) -> TlsError {
    TlsError::File {
        what,
        path: path.to_owned(),
        source,
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
        assert_eq!(proof(&user("prefer", None)), Proof::Nothing);
        assert_eq!(proof(&user("require", None)), Proof::Nothing);
        assert_eq!(proof(&user("require", Some("/ca"))), Proof::Chain);
        assert_eq!(proof(&user("verify-ca", Some("/ca"))), Proof::Chain);
        assert_eq!(
            proof(&user("verify-full", Some("/ca"))),
            Proof::ChainAndName
        );
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
