//! A certificate authority for the time of one test.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, with the files of what it has issued.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one; its own certificate is `ca.pem`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?;
        let folder = TempDir::new()?;
        fs::write(folder.path().join("ca.pem"), certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            folder,
        })
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate (`.crt`) and key (`.key`) for the local address, and a file with both
    /// (`.both`).
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn issue(&self, name: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(name, &certificate, &key)
    }

    /// The same, but its own authority and nobody else's: what `openssl req -x509` makes.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn self_signed(&self, name: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.write(name, &params.self_signed(&key)?, &key)
    }

    fn write(&self, name: &str, certificate: &Certificate, key: &KeyPair) -> Result<()> {
        let write =
            |kind: &str, text: String| fs::write(self.path(&format!("{name}.{kind}")), text);
        write("crt", certificate.pem())?;
        write("key", key.serialize_pem())?;
        write("both", certificate.pem() + &key.serialize_pem())?;
        Ok(())
    }
}
