//! Verifiers that accept what users of OpenSSL have.
//!
//! Many clusters run with one self-signed certificate that carries the CA flag and is CA, server
//! and client certificate at once. The stock verifier refuses a CA as an end entity, so a
//! certificate that is itself in the trust store is accepted here. Expired ones are still
//! refused, and the handshake's signature proves possession of the key as ever.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Trust, provider};
use crate::error::TlsError;

/// Whether a refusal may be overruled for a certificate that is trusted as such. Validity is
/// checked before the CA flag, so neither "expired" nor "not valid yet" comes as `Other`.
fn may_overrule(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer)
    )
}

fn is_own(own: &[CertificateDer<'static>], presented: &CertificateDer<'_>) -> bool {
    own.iter().any(|known| known.as_ref() == presented.as_ref())
}

macro_rules! check_signatures_with_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider
                .signature_verification_algorithms
                .supported_schemes()
        }
    };
}

/// Clients: a certificate of the trust store, or one issued by it.
#[derive(Debug)]
pub struct OwnOrIssuedClient {
    stock: Arc<dyn ClientCertVerifier>,
    own: Arc<[CertificateDer<'static>]>,
    mandatory: bool,
}

impl OwnOrIssuedClient {
    /// With `mandatory`, there is no handshake without a certificate.
    ///
    /// # Errors
    /// The trust store is empty.
    pub fn new(trust: &Trust, mandatory: bool) -> Result<Self, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(trust.roots.clone(), provider());
        let stock = builder.build().map_err(|_| {
            TlsError::Verifier(Error::General(
                "no client certificates are trusted".to_owned(),
            ))
        })?;
        Ok(Self {
            stock,
            own: trust.own.clone(),
            mandatory,
        })
    }
}

impl ClientCertVerifier for OwnOrIssuedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.stock.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let stock = self
            .stock
            .verify_client_cert(end_entity, intermediates, now);
        match stock {
            Err(error) if may_overrule(&error) && is_own(&self.own, end_entity) => {
                Ok(ClientCertVerified::assertion())
            }
            decided => decided,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.stock.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.stock.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.stock.supported_verify_schemes()
    }
}

/// Clients, none of them: certificates are asked for, and nothing says which to believe.
#[derive(Debug)]
pub struct NoClient {
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl NoClient {
    /// With `mandatory`, there is no handshake at all; else there is one without a certificate.
    pub fn new(mandatory: bool) -> Self {
        Self {
            mandatory,
            provider: provider(),
        }
    }
}

impl ClientCertVerifier for NoClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Err(CertificateError::UnknownIssuer.into())
    }

    check_signatures_with_provider!();
}

/// Servers, in full: chain (or membership in the trust store) and name.
#[derive(Debug)]
pub struct OwnOrIssued {
    stock: Arc<WebPkiServerVerifier>,
    own: Arc<[CertificateDer<'static>]>,
    provider: Arc<CryptoProvider>,
}

impl OwnOrIssued {
    /// A verifier with this trust.
    ///
    /// # Errors
    /// The trust store is empty.
    pub fn new(trust: &Trust) -> Result<Self, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(trust.roots.clone(), provider());
        let stock = builder.build().map_err(|_| {
            TlsError::Verifier(Error::General(
                "no server certificates are trusted".to_owned(),
            ))
        })?;
        Ok(Self {
            stock,
            own: trust.own.clone(),
            provider: provider(),
        })
    }
}

impl ServerCertVerifier for OwnOrIssued {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let stock = self.stock.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match stock {
            Err(error) if may_overrule(&error) && is_own(&self.own, end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            decided => decided,
        }
    }

    check_signatures_with_provider!();
}

/// Servers, by their chain alone: calls between nodes, where names in certificates are often
/// those of a load balancer.
#[derive(Debug)]
pub struct ChainOnly {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ChainOnly {
    /// A verifier with this trust.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            provider: provider(),
        }
    }
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.trust.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chain {
            Err(error) if may_overrule(&error) && is_own(&self.trust.own, end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            decided => decided.map(|()| ServerCertVerified::assertion()),
        }
    }

    check_signatures_with_provider!();
}

/// Any server: the connection is encrypted, and that is all.
#[derive(Debug)]
pub struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl AnyServer {
    /// A verifier that believes everybody.
    pub fn new() -> Self {
        Self {
            provider: provider(),
        }
    }
}

impl Default for AnyServer {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    check_signatures_with_provider!();
}
