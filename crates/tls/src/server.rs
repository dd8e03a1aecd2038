//! How much of a server's certificate is proved.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};

use crate::{Trust, provider};

/// How much of a server's certificate is proved. In all cases the handshake proves that the
/// server has the key of the certificate that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: the connection is encrypted, and that is all.
    Nothing,
    /// That it comes from an authority, or is trusted as such; not the name of the host. Names in
    /// the certificates of a cluster are often those of a load balancer.
    Chain,
    /// The name of the host, too.
    ChainAndName,
}

/// A verifier of servers for rustls.
#[derive(Debug)]
pub struct ServerVerifier {
    provider: Arc<CryptoProvider>,
    check: Check,
}

#[derive(Debug)]
enum Check {
    Nothing,
    /// Nobody is trusted: a machine without any trust store can still speak without TLS.
    Nobody,
    Chain {
        stock: Arc<WebPkiServerVerifier>,
        trust: Trust,
        name: bool,
    },
}

impl ServerVerifier {
    /// Proves nothing.
    #[must_use]
    pub fn blind() -> Self {
        Self {
            provider: provider(),
            check: Check::Nothing,
        }
    }

    /// Proves this much by this trust.
    ///
    /// # Errors
    /// A revocation list cannot be used.
    pub fn new(
        proof: Proof,
        trust: Trust,
        revoked: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, Error> {
        let name = match proof {
            Proof::Nothing => return Ok(Self::blind()),
            Proof::Chain => false,
            Proof::ChainAndName => true,
        };
        let provider = provider();
        if trust.roots().is_empty() {
            let check = Check::Nobody;
            return Ok(Self { provider, check });
        }
        let roots = Arc::clone(trust.roots());
        let stock = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .with_crls(revoked)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let check = Check::Chain { stock, trust, name };
        Ok(Self { provider, check })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let proved = Ok(ServerCertVerified::assertion());
        let (stock, trust, name) = match &self.check {
            Check::Nothing => return proved,
            Check::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Check::Chain { stock, trust, name } => (stock, trust, *name),
        };
        let checked =
            stock.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // The name is looked at last, so everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !name => proved,
            Err(refusal) if trust.overrules(&refusal, end_entity) => {
                if name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                proved
            }
            decided => decided,
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
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    const DURING: u64 = 1_700_000_000;
    const AFTER: u64 = 1_900_000_000;

    fn parameters(is_ca: bool) -> CertificateParams {
        let mut parameters = CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2030, 1, 1);
        if is_ca {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters
    }

    fn self_signed() -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        parameters(true).self_signed(&key).unwrap().der().clone()
    }

    /// An authority and a certificate of it.
    fn issued() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let authority = parameters(true).self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(parameters(true), key);
        let key = KeyPair::generate().unwrap();
        let signed = parameters(false).signed_by(&key, &issuer).unwrap();
        (authority, signed.der().clone())
    }

    fn check(
        proof: Proof,
        trust: Trust,
        server: &CertificateDer<'_>,
        host: &str,
        at: u64,
    ) -> Result<(), Error> {
        let verifier = ServerVerifier::new(proof, trust, Vec::new()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let name = ServerName::try_from(host).unwrap();
        let checked = verifier.verify_server_cert(server, &[], &name, &[], now);
        checked.map(|_| ())
    }

    fn named(certificate: &CertificateDer<'static>) -> Trust {
        Trust::named(vec![certificate.clone()]).unwrap()
    }

    fn is_expired(checked: &Result<(), Error>) -> bool {
        matches!(
            checked,
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            ))
        )
    }

    #[test]
    fn each_proof_asks_for_what_it_says() {
        let (authority, server) = issued();
        let (known, stranger) = (named(&authority), named(&self_signed()));
        let right =
            |proof, trust: &Trust, host| check(proof, trust.clone(), &server, host, DURING).is_ok();
        for (proof, trust, host, expected) in [
            (Proof::Nothing, &stranger, "other.example", true),
            (Proof::Chain, &known, "db.example", true),
            (Proof::Chain, &known, "other.example", true),
            (Proof::Chain, &known, "10.0.0.1", true),
            (Proof::Chain, &stranger, "db.example", false),
            (Proof::ChainAndName, &known, "db.example", true),
            (Proof::ChainAndName, &known, "other.example", false),
            (Proof::ChainAndName, &stranger, "db.example", false),
        ] {
            assert_eq!(right(proof, trust, host), expected, "{proof:?} {host}");
        }
        for proof in [Proof::Chain, Proof::ChainAndName] {
            let late = check(proof, known.clone(), &server, "db.example", AFTER);
            assert!(is_expired(&late), "{proof:?}: {late:?}");
        }
    }

    #[test]
    fn a_self_signed_authority_is_believed_as_a_server_when_it_was_named() {
        let server = self_signed();
        let (known, stranger) = (named(&server), named(&self_signed()));
        let right =
            |proof, trust: &Trust, host| check(proof, trust.clone(), &server, host, DURING).is_ok();
        assert!(right(Proof::ChainAndName, &known, "db.example"));
        assert!(!right(Proof::ChainAndName, &known, "other.example"));
        assert!(right(Proof::Chain, &known, "other.example"));
        for proof in [Proof::Chain, Proof::ChainAndName] {
            assert!(!right(proof, &stranger, "db.example"));
            let late = check(proof, known.clone(), &server, "db.example", AFTER);
            assert!(is_expired(&late), "{proof:?}: {late:?}");
        }
    }

    #[test]
    fn where_nobody_is_trusted_nobody_is_believed() {
        let nobody = Trust::nobody();
        let checked = check(Proof::Chain, nobody, &self_signed(), "db.example", DURING);
        assert_eq!(checked, Err(CertificateError::UnknownIssuer.into()));
        assert!(Trust::named(Vec::new()).is_none());
    }
}
