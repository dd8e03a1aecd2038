//! Verifiers of clients.

use std::sync::Arc;

use patroni_tls::{Trust, provider};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::error::TlsError;

/// Clients: a certificate of the trust store, or one issued by it.
#[derive(Debug)]
pub struct OwnOrIssuedClient {
    stock: Arc<dyn ClientCertVerifier>,
    trust: Trust,
    mandatory: bool,
}

impl OwnOrIssuedClient {
    /// With `mandatory`, there is no handshake without a certificate.
    ///
    /// # Errors
    /// The trust store is empty.
    pub fn new(trust: Trust, mandatory: bool) -> Result<Self, TlsError> {
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(trust.roots()), provider());
        let stock = builder.build().map_err(|_| {
            TlsError::Verifier(Error::General(
                "no client certificates are trusted".to_owned(),
            ))
        })?;
        Ok(Self {
            stock,
            trust,
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
            Err(error) if self.trust.overrules(&error, end_entity) => {
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
}
