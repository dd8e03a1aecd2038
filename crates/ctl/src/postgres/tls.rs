//! TLS as `PGSSLMODE` and its companions say, on rustls.

use patroni_core::Causes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
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

/// How much of the server's certificate is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Nothing,
    Chain,
    ChainAndName,
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
        let provider = Arc::new(ring::default_provider());
        let setup = |error: Error| format!("TLS can not be set up: {}", Causes(&error).to_string());
        let verifier: Arc<dyn ServerCertVerifier> = match self.proof() {
            Proof::Nothing => Arc::new(Lenient::new(&provider, None)),
            Proof::Chain => {
                let chain = self.verifier(&provider)?;
                Arc::new(Lenient::new(&provider, Some(chain)))
            }
            Proof::ChainAndName => self.verifier(&provider)?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
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

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<WebPkiServerVerifier>, String> {
        let Some(file) = &self.authorities else {
            return Err(
                "no certificate authorities to verify the server with: name their file in PGSSLROOTCERT (system: those of the system)"
                    .to_owned(),
            );
        };
        let found = if file.as_os_str() == "system" {
            rustls_native_certs::load_native_certs().certs
        } else {
            certificates(file, "PGSSLROOTCERT")?
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| format!("the certificates of {}: {error}", file.display()))
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

/// Proves less than rustls would: nothing, or all but the host name.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl Lenient {
    fn new(provider: &Arc<CryptoProvider>, chain: Option<Arc<WebPkiServerVerifier>>) -> Self {
        Self {
            provider: Arc::clone(provider),
            chain,
        }
    }
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
        let proved =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match proved {
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
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
