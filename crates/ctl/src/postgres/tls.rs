//! TLS as `PGSSLMODE` and its companions say, on rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use patroni_core::Causes;
use patroni_tls::{Proof, ServerVerifier, Trust, provider};
use rustls::{ClientConfig, Error};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::parameters::Parameters;

/// Whether connections are encrypted, and what is believed of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    mode: Mode,
    /// The file of authorities, or `system`.
    authorities: Option<PathBuf>,
    /// The client's certificate and key.
    identity: Option<(PathBuf, PathBuf)>,
}

/// The modes of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    /// Encrypted where the server can. `allow` means the same here.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Tls {
    pub(super) fn read(parameters: &Parameters<'_>) -> Result<Self, String> {
        let mode = match parameters.get("sslmode", "PGSSLMODE").as_deref() {
            Some("disable") => Mode::Disable,
            None | Some("prefer" | "allow") => Mode::Prefer,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(other) => {
                return Err(format!(
                    "connection is bad: invalid sslmode value: \"{other}\""
                ));
            }
        };
        let file = |keyword: &str, variable: &str, name: &str| {
            let given = parameters.get(keyword, variable).map(PathBuf::from);
            given.or_else(|| parameters.at_home(name).filter(|file| file.exists()))
        };
        let authorities = file("sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt");
        let cert = file("sslcert", "PGSSLCERT", ".postgresql/postgresql.crt");
        let key = file("sslkey", "PGSSLKEY", ".postgresql/postgresql.key");
        Ok(Self {
            mode,
            authorities,
            identity: cert.zip(key),
        })
    }

    /// What the server is asked for.
    pub(super) fn wish(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// Reads the files. Nothing is read without encryption. The error is a sentence.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let setup = |error: Error| format!("TLS can not be set up: {}", Causes(&error));
        let verifier = match self.proof() {
            Proof::Nothing => ServerVerifier::blind(),
            proof => ServerVerifier::new(proof, self.trust()?, Vec::new()).map_err(setup)?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.identity {
            Some((cert, key)) if self.mode != Mode::Disable => {
                let chain = certificates(cert, "PGSSLCERT")?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unreadable(key, "private key", "PGSSLKEY", &error))?;
                builder.with_client_auth_cert(chain, key).map_err(setup)?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    /// As libpq, `require` proves the chain where authorities are named.
    fn proof(&self) -> Proof {
        match self.mode {
            Mode::Disable | Mode::Prefer => Proof::Nothing,
            Mode::Require if self.authorities.is_none() => Proof::Nothing,
            Mode::Require | Mode::VerifyCa => Proof::Chain,
            Mode::VerifyFull => Proof::ChainAndName,
        }
    }

    fn trust(&self) -> Result<Trust, String> {
        let Some(file) = &self.authorities else {
            return Err(
                "no certificate authorities to verify the server with: name their file in PGSSLROOTCERT (system: those of the system)"
                    .to_owned(),
            );
        };
        if file.as_os_str() == "system" {
            return Ok(Trust::system());
        }
        Trust::named(certificates(file, "PGSSLROOTCERT")?)
            .ok_or_else(|| format!("no usable certificate in {}", file.display()))
    }
}

fn certificates(file: &Path, variable: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(file, "certificate", variable, &error))
}

fn unreadable(
    file: &Path,
    what: &str,
    variable: &str,
    error: &rustls_pki_types::pem::Error,
) -> String {
    format!(
        "no usable {what} in {}, which {variable} or its default names: {error}",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn tls(pairs: &[(&str, &str)]) -> Result<Tls, String> {
        let pairs = pairs.iter().map(|(name, value)| (*name, *value));
        let environment: Environment = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Tls::read(&Parameters::read(&environment)?)
    }

    #[test]
    fn modes_mean_what_libpq_says() {
        for (mode, wish, proof, with_file) in [
            ("disable", SslMode::Disable, Proof::Nothing, Proof::Nothing),
            ("prefer", SslMode::Prefer, Proof::Nothing, Proof::Nothing),
            ("require", SslMode::Require, Proof::Nothing, Proof::Chain),
            ("verify-ca", SslMode::Require, Proof::Chain, Proof::Chain),
            (
                "verify-full",
                SslMode::Require,
                Proof::ChainAndName,
                Proof::ChainAndName,
            ),
        ] {
            let alone = tls(&[("PGSSLMODE", mode)]).unwrap();
            assert_eq!((alone.wish(), alone.proof()), (wish, proof), "{mode}");
            let pairs = [("PGSSLMODE", mode), ("PGSSLROOTCERT", "/ca")];
            assert_eq!(tls(&pairs).unwrap().proof(), with_file, "{mode}");
        }
        assert_eq!(tls(&[]).unwrap().wish(), SslMode::Prefer);
        assert!(
            tls(&[("PGSSLMODE", "bogus")])
                .unwrap_err()
                .contains("bogus")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let connector = |pairs: &[(&str, &str)]| tls(pairs).unwrap().connector().map(|_| ());
        assert_eq!(connector(&[]), Ok(()));
        let mode = ("PGSSLMODE", "verify-full");
        let why = connector(&[mode]).unwrap_err();
        assert!(why.contains("PGSSLROOTCERT"), "{why}");
        let why = connector(&[mode, ("PGSSLROOTCERT", "/nonexistent")]).unwrap_err();
        assert!(why.contains("/nonexistent"), "{why}");
    }
}
