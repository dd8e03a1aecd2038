//! The TLS settings of connections over HTTP, read from files.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::pem::{PemError, read};

/// Settings that no connection can be made with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    File(#[from] PemError),
    #[error("cacert holds no usable certificate")]
    NoAuthority,
    #[error("cert holds no usable certificate")]
    Certificate(#[source] pem::Error),
    #[error("no usable private key in key or cert (an encrypted one cannot be used)")]
    Key(#[source] pem::Error),
    #[error("certificates and key cannot be used")]
    Rejected(#[from] rustls::Error),
}

/// How a server is verified, and what it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    /// Whether the server must have a certificate of an authority.
    pub(crate) verify: bool,
    /// Those authorities; the system's without it.
    pub(crate) cacert: Option<&'a Path>,
    /// The client's certificate, which may hold the key too.
    pub(crate) cert: Option<&'a Path>,
    /// The key of the client's certificate.
    pub(crate) key: Option<&'a Path>,
}

/// Reads certificates and key anew. Without encryption nothing is read.
pub(crate) async fn load(url: &str, files: Files<'_>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    if !url.starts_with("https:") {
        let nobody = builder.with_root_certificates(RootCertStore::empty());
        return Ok(nobody.with_no_client_auth());
    }
    let builder = if files.verify {
        let own = match files.cacert {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        builder.with_root_certificates(authorities(own.as_deref())?)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer { provider }))
    };
    let Some(cert) = files.cert else {
        return Ok(builder.with_no_client_auth());
    };
    let certificate = read(cert).await?;
    let key = match files.key {
        Some(path) => read(path).await?,
        None => certificate.clone(),
    };
    let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(TlsError::Key)?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn authorities(pem: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates = match pem {
        Some(pem) => CertificateDer::pem_slice_iter(pem).flatten().collect(),
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 && pem.is_some() {
        return Err(TlsError::NoAuthority);
    }
    Ok(roots)
}

/// Believes any server, because `verify` is off.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
