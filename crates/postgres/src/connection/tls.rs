//! TLS for connections to servers: libpq's `sslmode` and friends on rustls.
//!
//! Not supported, because rustls does not: certificates without a subject alternative name, TLS
//! before 1.2.
//!
//! Files that libpq finds in `~/.postgresql` by itself are found here, too: `root.crt` and
//! `root.crl` for whoever checks the server's certificate, `postgresql.crt` and `postgresql.key`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use patroni_config::file::postgresql::Credentials;
use patroni_tls::{Proof, ServerVerifier, Trust};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder};
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
    /// Nothing says whom to believe.
    #[error(
        "check the server's certificate: there are no trusted ones; set sslrootcert to their file \
         or to system"
    )]
    NoRoot,
    /// The pieces do not fit together.
    #[error("set up TLS: {0}")]
    Setup(String),
}

/// What connections of this user use for TLS; whether they use it is `sslmode`.
///
/// # Errors
/// A file that is configured cannot be used.
pub fn connector(user: &Credentials) -> Result<MakeRustlsConnect, TlsError> {
    Ok(MakeRustlsConnect::new(client_config(&Files::of(user))?))
}

/// What connections use that are never encrypted: no file is read.
pub(super) fn unused() -> Result<MakeRustlsConnect, TlsError> {
    let nobody = builder(ServerVerifier::blind())?.with_no_client_auth();
    Ok(MakeRustlsConnect::new(nobody))
}

fn client_config(files: &Files<'_>) -> Result<ClientConfig, TlsError> {
    let builder = builder(files.verifier()?)?;
    let Some((cert, key)) = files.identity()? else {
        return Ok(builder.with_no_client_auth());
    };
    builder
        .with_client_auth_cert(certificates(&cert)?, files.private_key(&key)?)
        .map_err(|error| TlsError::Setup(error.to_string()))
}

fn builder(
    verifier: ServerVerifier,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = ClientConfig::builder_with_provider(patroni_tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// Refuses what will never work, so that it is told at the start and not at the first connection:
/// a key that its password does not open, a certificate without a key.
///
/// # Errors
/// Which it is.
pub(crate) fn refuse_unusable(user: &Credentials) -> Result<(), TlsError> {
    let files = Files::of(user);
    let Some((_, key)) = files.identity()? else {
        return Ok(());
    };
    match std::fs::read_to_string(&key) {
        Ok(text) => files.unlocked(&text, &key).map(drop),
        // A file that comes later is looked at when it is used.
        Err(_) => Ok(()),
    }
}

/// The files of a user: those of its settings, else those that libpq looks for by itself.
struct Files<'a> {
    user: &'a Credentials,
    /// `~/.postgresql`.
    home: Option<PathBuf>,
}

/// Certificates that are trusted.
enum Roots {
    System,
    In(PathBuf),
    Nowhere,
}

impl<'a> Files<'a> {
    fn of(user: &'a Credentials) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from).or_else(|| {
            let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
            user.ok().flatten().map(|user| user.dir)
        });
        Self {
            user,
            home: home.map(|home| home.join(".postgresql")),
        }
    }

    /// A file that libpq looks for by itself, when it is there.
    fn at_home(&self, name: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(name);
        path.exists().then_some(path)
    }

    /// The certificate that is shown, and its key.
    fn identity(&self) -> Result<Option<(PathBuf, PathBuf)>, TlsError> {
        let cert = self.user.sslcert.as_ref().map(PathBuf::from);
        let Some(cert) = cert.or_else(|| self.at_home("postgresql.crt")) else {
            return Ok(None);
        };
        let key = self.user.sslkey.as_ref().map(PathBuf::from);
        match key.or_else(|| self.at_home("postgresql.key")) {
            Some(key) => Ok(Some((cert, key))),
            None => Err(TlsError::NoKey { cert }),
        }
    }

    fn private_key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
        let unreadable = |source| file("a private key", path, source);
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| unreadable(pem::Error::Io(error)))?;
        let text = self.unlocked(&text, path)?;
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(unreadable)
    }

    fn unlocked<'t>(&self, text: &'t str, path: &Path) -> Result<Cow<'t, str>, TlsError> {
        let open = patroni_tls::unlock(text, self.user.sslpassword.as_ref());
        open.map_err(|source| TlsError::Locked {
            path: path.to_owned(),
            source,
        })
    }

    fn roots(&self) -> Roots {
        match self.user.sslrootcert.as_deref() {
            Some("system") => Roots::System,
            Some(path) => Roots::In(path.into()),
            None => self.at_home("root.crt").map_or(Roots::Nowhere, Roots::In),
        }
    }

    /// libpq checks the chain also with `require` when there is a root certificate.
    fn proof(&self) -> Proof {
        match (self.user.sslmode.as_deref(), self.roots()) {
            (Some("verify-full"), _) => Proof::ChainAndName,
            (Some("verify-ca"), _) | (Some("require"), Roots::System | Roots::In(_)) => {
                Proof::Chain
            }
            _ => Proof::Nothing,
        }
    }

    fn verifier(&self) -> Result<ServerVerifier, TlsError> {
        let proof = self.proof();
        if proof == Proof::Nothing {
            return Ok(ServerVerifier::blind());
        }
        let trust = match self.roots() {
            Roots::System => Trust::system(),
            Roots::In(path) => Trust::named(certificates(&path)?).ok_or(TlsError::Nothing {
                what: "usable certificates",
                path,
            })?,
            Roots::Nowhere => return Err(TlsError::NoRoot),
        };
        ServerVerifier::new(proof, trust, self.revoked()?)
            .map_err(|error| TlsError::Setup(error.to_string()))
    }

    fn revoked(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let mut paths: Vec<PathBuf> = self.user.sslcrl.iter().map(PathBuf::from).collect();
        match &self.user.sslcrldir {
            Some(dir) => {
                let entries = std::fs::read_dir(dir).into_iter().flatten();
                paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
            }
            None if paths.is_empty() => paths.extend(self.at_home("root.crl")),
            None => {}
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

    /// With nothing at home but these files.
    fn at_home<'a>(user: &'a Credentials, home: &Path, names: &[&str]) -> Files<'a> {
        for name in names {
            std::fs::write(home.join(name), "").unwrap();
        }
        Files {
            user,
            home: Some(home.to_owned()),
        }
    }

    #[test]
    fn modes_mean_what_libpq_says() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (mode, root, alone, with_root) in [
            ("prefer", None, Proof::Nothing, Proof::Nothing),
            ("require", None, Proof::Nothing, Proof::Chain),
            ("require", Some("/ca"), Proof::Chain, Proof::Chain),
            ("require", Some("system"), Proof::Chain, Proof::Chain),
            ("verify-ca", None, Proof::Chain, Proof::Chain),
            (
                "verify-full",
                None,
                Proof::ChainAndName,
                Proof::ChainAndName,
            ),
        ] {
            let user = user(mode, root);
            assert_eq!(at_home(&user, empty.path(), &[]).proof(), alone, "{mode}");
            let proof = at_home(&user, full.path(), &["root.crt"]).proof();
            assert_eq!(proof, with_root, "{mode} with root.crt");
        }
    }

    #[test]
    fn what_libpq_finds_at_home_is_found() {
        let home = tempfile::tempdir().unwrap();
        let user = user("verify-full", None);
        let identity = |files: &Files<'_>| files.identity().map_err(|error| error.to_string());
        let path = |name: &str| home.path().join(name);
        let files = at_home(&user, home.path(), &[]);
        assert_eq!(identity(&files), Ok(None));
        assert!(matches!(files.verifier(), Err(TlsError::NoRoot)));
        let files = at_home(&user, home.path(), &["postgresql.crt"]);
        assert!(identity(&files).unwrap_err().contains("postgresql.crt"));
        let files = at_home(
            &user,
            home.path(),
            &["postgresql.key", "root.crt", "root.crl"],
        );
        let both = (path("postgresql.crt"), path("postgresql.key"));
        assert_eq!(identity(&files), Ok(Some(both)));
        let refused = files.verifier().unwrap_err().to_string();
        assert!(refused.contains("root.crt"), "{refused}");
        assert_eq!(files.revoked().unwrap().len(), 0);

        // What is configured goes before.
        let mut user = user.clone();
        user.sslcert = Some("/own.crt".to_owned());
        user.sslkey = Some("/own.key".to_owned());
        user.sslcrl = Some("/nonexistent.crl".to_owned());
        let files = at_home(&user, home.path(), &[]);
        let own = (PathBuf::from("/own.crt"), PathBuf::from("/own.key"));
        assert_eq!(identity(&files), Ok(Some(own)));
        assert!(files.revoked().is_err());
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
        let missing = user("verify-full", Some("/nonexistent/ca.pem"));
        let refused = client_config(&Files::of(&missing));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/ca.pem")
        );
        let home = tempfile::tempdir().unwrap();
        let user = user("prefer", None);
        assert!(client_config(&at_home(&user, home.path(), &[])).is_ok());
    }
}
