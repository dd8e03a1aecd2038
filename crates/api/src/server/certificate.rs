//! TLS of the server.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedCipherSuite};

use super::ciphers::Offer;
use super::settings::{TlsSettings, VerifyClient};
use crate::error::TlsError;
use crate::tls::{self, Identity, NoClient, OwnOrIssuedClient};

/// Reads the files and builds a configuration. It blocks on small local files.
pub(super) fn load(settings: &TlsSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let identity = Identity::load(&settings.identity)?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(identity.0));
    let mut provider = rustls::crypto::ring::default_provider();
    if let Some(list) = &settings.ciphers {
        provider.cipher_suites = suites(list)?;
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Verifier)?
        .with_client_cert_verifier(client_verifier(settings)?)
        .with_cert_resolver(resolver);
    // Whoever writes a list wants its order.
    config.ignore_client_order = settings.ciphers.is_some();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    Ok(Arc::new(config))
}

fn suites(list: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let refused = |source| TlsError::Ciphers {
        list: list.to_owned(),
        source,
    };
    let offer = Offer::of(list).map_err(refused)?;
    for remark in offer.remarks {
        tracing::warn!("{remark}");
    }
    Ok(offer.suites)
}

fn client_verifier(settings: &TlsSettings) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mandatory = match settings.verify_client {
        VerifyClient::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        VerifyClient::Optional => false,
        VerifyClient::Required => true,
    };
    let Some(cafile) = &settings.cafile else {
        tracing::warn!(
            "restapi.verify_client is set and restapi.cafile is not: no client certificate will be accepted"
        );
        return Ok(Arc::new(NoClient::new(mandatory)));
    };
    let trust = tls::trust(cafile)?;
    Ok(Arc::new(OwnOrIssuedClient::new(trust, mandatory)?))
}
