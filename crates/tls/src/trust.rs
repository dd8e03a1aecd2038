//! Certificates that are believed.

use std::sync::Arc;

use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::CertificateDer;

/// Certificates that are believed, as issuers and, where a person named them, as such.
///
/// Many clusters run with one self-signed certificate that carries the CA flag and is CA, server
/// and client certificate at once. The stock verifiers refuse a CA as an end entity, so a
/// certificate that is itself in the trust store is accepted. Expired ones are still refused, and
/// the handshake's signature proves possession of the key as ever.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    own: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// These certificates; `None` when no one of them can be an issuer.
    #[must_use]
    pub fn named(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        (added > 0).then(|| Self {
            roots: Arc::new(roots),
            own: certificates.into(),
        })
    }

    /// What the system trusts, which may be nobody. Unreadable certificates are left out.
    #[must_use]
    pub fn system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self {
            roots: Arc::new(roots),
            own: Arc::new([]),
        }
    }

    /// Nobody, for tests.
    #[cfg(test)]
    pub(crate) fn nobody() -> Self {
        Self {
            roots: Arc::new(RootCertStore::empty()),
            own: Arc::new([]),
        }
    }

    /// The issuers.
    #[must_use]
    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// Whether a refusal is overruled, because the certificate is trusted as such. Validity is
    /// checked before the CA flag, so neither "expired" nor "not valid yet" comes as `Other`.
    #[must_use]
    pub fn overrules(&self, refusal: &Error, presented: &CertificateDer<'_>) -> bool {
        let may = matches!(
            refusal,
            Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer)
        );
        may && self.own.iter().any(|known| known == presented)
    }
}
