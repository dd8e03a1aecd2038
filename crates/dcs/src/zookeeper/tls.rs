//! The TLS settings of the connection, read from files.
//!
//! Source: store contract, section 12. The chain is verified against the system's certificates
//! and `cacert`; host names are not, because ensembles are commonly named by address and their
//! servers share certificates.

use std::path::Path;
use std::sync::Arc;

use patroni_config::file::dcs::zookeeper::Access;
use patroni_core::Causes;
use patroni_tls::{ServerVerifier, provider};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use zookeeper_client::{TlsCa, TlsCerts, TlsDynamicCerts, TlsIdentity, TlsOptions};

use super::failure::Failure;
use crate::{crypto, pem};

/// Refuses hosts that cannot be asked for by name in a TLS handshake.
pub(super) fn check_hosts(hosts: &[String]) -> Result<(), Failure> {
    for host in hosts {
        let name = host_name(host);
        if ServerName::try_from(name).is_err() {
            return Err(Failure::Denied(format!("{name} is no host name")));
        }
    }
    Ok(())
}

/// The name or address in `host:port`.
pub(super) fn host_name(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

/// Reads certificates and key.
pub(super) async fn load(access: &Access) -> Result<TlsCerts, Failure> {
    let mut authorities = pem::system_certificates();
    if let Some(path) = &access.cacert {
        authorities.push_str(&text(path).await?);
    }
    let authorities = TlsCa::from_pem(&authorities).map_err(|error| refused(&error))?;
    let mut certificates = TlsCerts::builder().with_ca(authorities);
    if let (Some(cert), Some(key)) = (&access.cert, &access.key) {
        let (chain, key) = (text(cert).await?, private_key(key, access).await?);
        let identity = TlsIdentity::from_pem(&chain, &key).map_err(|error| refused(&error))?;
        certificates = certificates.with_identity(identity);
    }
    certificates.build().map_err(|error| refused(&error))
}

/// Settings whose certificates can be renewed while a session lasts.
#[expect(
    unsafe_code,
    reason = "the client marks the absence of host name checks so"
)]
pub(super) fn options(certificates: TlsDynamicCerts) -> TlsOptions {
    crypto::ensure_provider();
    let options = TlsOptions::new().with_certs(certificates);
    // SAFETY: no memory is at stake. Members of the reference in the same cluster check the chain
    // alone, and so must we; a server still needs a certificate of the named authority.
    unsafe { options.with_no_hostname_verification() }
}

/// Settings that believe whoever answers, with the certificate and the key of the files.
pub(super) async fn unverified(access: &Access) -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier::blind()));
    let (Some(cert), Some(key)) = (&access.cert, &access.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) = (text(cert).await?, private_key(key, access).await?);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable(&error))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| unusable(&error))
}

async fn private_key(path: &Path, access: &Access) -> Result<String, Failure> {
    let key = text(path).await?;
    let open = patroni_tls::unlock(&key, access.key_password.as_ref());
    let open = open.map_err(|why| Failure::Denied(format!("use {}: {why}", path.display())))?;
    Ok(open.into_owned())
}

/// A file that cannot be read now may be there in a moment, when it is being renewed.
async fn text(path: &Path) -> Result<String, Failure> {
    let read = pem::read(path).await;
    let bytes = read.map_err(|error| Failure::Rejected(Causes(&error).to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(error: &zookeeper_client::Error) -> Failure {
    unusable(error)
}

fn unusable(error: &dyn std::fmt::Display) -> Failure {
    Failure::Rejected(format!("certificates: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_the_client_would_stumble_over_are_refused() {
        let check = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
            check_hosts(&hosts)
        };
        assert_eq!(check(&["zk1:2281", "10.0.0.1:2281", "[::1]:2281"]), Ok(()));
        assert!(check(&["zk1:2281", "a b:2281"]).is_err());
    }
}
