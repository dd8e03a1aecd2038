//! The TLS settings of the connection, read from files.

use etcd_client::{Certificate, Identity, TlsOptions};

use crate::pem::{self, PemError, read};
use crate::topology::Options;

/// Reads certificates and key anew, so that renewed files are used by the next connection.
pub(super) async fn load(options: &Options) -> Result<TlsOptions, PemError> {
    let mut tls = TlsOptions::new();
    tls = match &options.cacert {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path).await?)),
        None => tls.ca_certificate(Certificate::from_pem(pem::system_certificates())),
    };
    if let Some(cert) = &options.cert {
        let certificate = read(cert).await?;
        let key = match &options.key {
            Some(path) => read(path).await?,
            None => certificate.clone(),
        };
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}
