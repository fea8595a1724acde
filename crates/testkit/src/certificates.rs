//! A certificate authority for one test, and certificates for servers on this host.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;

use crate::broker::write_private;

/// An authority with its files in a directory of its own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    /// Makes an authority that nobody knows yet.
    ///
    /// # Errors
    /// When its key or a file cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = named("authority of a test", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("authority.pem"), issuer.pem())?;
        Ok(Self { issuer, directory })
    }

    /// Its own certificate, for clients.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The file that [`issue`](Self::issue) writes.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Writes a new certificate for `localhost` and 127.0.0.1 with its key.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn issue(&self) -> anyhow::Result<()> {
        let mut params = named("localhost", vec!["localhost".to_owned()])?;
        let address = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
        params.subject_alt_names.push(address);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.replace(&(certificate.pem() + &key.serialize_pem()))
    }

    /// Replaces the certificate's file at once, as programs that renew certificates do.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, text: &str) -> anyhow::Result<()> {
        let new: &Path = &self.directory.path().join("new.pem");
        write_private(new, text)?;
        std::fs::rename(new, self.certificate())?;
        Ok(())
    }

    /// The attributes of a tunnel that shows the certificate.
    #[must_use]
    pub fn tunnel(&self) -> String {
        let file = self.certificate();
        format!(r#"tls="terminate" tls-certificate="{}""#, file.display())
    }
}

/// Two certificates of the same name look like one that signs itself.
fn named(name: &str, hosts: Vec<String>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts)?;
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    params.distinguished_name = distinguished;
    Ok(params)
}
