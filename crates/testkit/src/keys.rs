//! Throw-away SSH keys for servers and clients.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey};

/// An Ed25519 key pair, made for one test.
#[derive(Clone)]
pub struct KeyPair {
    key: PrivateKey,
}

impl KeyPair {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> anyhow::Result<Self> {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
            .context("cannot make an Ed25519 key")?;
        Ok(Self { key })
    }

    /// The public half as one OpenSSH line without a newline: `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn public_openssh(&self) -> anyhow::Result<String> {
        let public = self.key.public_key().to_openssh();
        public.context("cannot encode the public key")
    }

    /// The SHA-256 fingerprint as OpenSSH prints it.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The private half in OpenSSH's PEM format, not encrypted.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn private_openssh(&self) -> anyhow::Result<String> {
        let private = self.key.to_openssh(LineEnding::LF);
        Ok(private
            .context("cannot encode the private key")?
            .to_string())
    }

    /// Writes `directory/name` (mode 0600) and `directory/name.pub`, and returns the path of the first.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let private = directory.join(name);
        fs::write(&private, self.private_openssh()?)
            .and_then(|()| fs::set_permissions(&private, Permissions::from_mode(0o600)))
            .with_context(|| format!("cannot write the key {}", private.display()))?;
        let public = directory.join(format!("{name}.pub"));
        fs::write(&public, format!("{}\n", self.public_openssh()?))
            .with_context(|| format!("cannot write the key {}", public.display()))?;
        Ok(private)
    }

    /// The key as russh takes it.
    pub(crate) fn private_key(&self) -> &PrivateKey {
        &self.key
    }
}
