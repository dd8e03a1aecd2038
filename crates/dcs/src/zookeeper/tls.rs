//! The TLS settings of the connection, read from files.
//!
//! Source: store contract, section 12. The chain is verified against the system's certificates
//! and `cacert`; host names are not, because ensembles are commonly named by address and their
//! servers share certificates.

use patroni_core::Causes;
use std::path::Path;

use patroni_config::file::dcs::zookeeper::Access;
use rustls_pki_types::ServerName;
use zookeeper_client::{TlsCa, TlsCerts, TlsDynamicCerts, TlsIdentity, TlsOptions};

use super::failure::Failure;
use crate::{crypto, pem};

/// Refuses settings that the TLS library cannot carry out, before anything is sent.
pub(super) fn check(access: &Access) -> Result<(), Failure> {
    if access.use_ssl && !access.verify {
        let why = "verify: false is not supported for ZooKeeper: name the authority in cacert";
        return Err(Failure::Denied(why.to_owned()));
    }
    Ok(())
}

/// Refuses hosts that cannot be asked for by name in a TLS handshake.
pub(super) fn check_hosts(hosts: &[String]) -> Result<(), Failure> {
    for host in hosts {
        let name = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if ServerName::try_from(name).is_err() {
            return Err(Failure::Denied(format!("{name} is no host name")));
        }
    }
    Ok(())
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

    #[test]
    fn verification_cannot_be_turned_off() {
        let mut access = Access {
            use_ssl: true,
            verify: false,
            ..Access::default()
        };
        assert!(matches!(check(&access), Err(Failure::Denied(_))));
        access.use_ssl = false;
        assert_eq!(check(&access), Ok(()));
    }
}
