//! Private key files: OpenSSH, PEM, PKCS#8 and PuTTY

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{PrivateKey, PublicKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::error::{AuthError, KeyFileError, PrivateFileError};
use super::private_file::open_private;
use crate::host_key::parse_public_key;

/// No key file is larger.
pub(super) const MAX_KEY_FILE: u64 = 64 << 10;

/// The contents of a key file.
pub(crate) enum KeyFile {
    /// A key ready for use.
    Plain(Arc<PrivateKey>),
    /// A key that needs a passphrase.
    Locked(Locked),
}

/// A key file that needs a passphrase.
#[derive(Clone)]
pub(crate) struct Locked {
    pub(crate) path: PathBuf,
    /// The file's text.
    pub(crate) text: Zeroizing<String>,
    /// The public half, if it can be read without the passphrase.
    pub(crate) public: Option<PublicKey>,
}

impl Locked {
    /// Unlocks the key; `None` if the passphrase is wrong. It runs on a thread, since the formats slow this down on
    /// purpose.
    pub(crate) async fn unlock(&self, passphrase: &SecretString) -> Option<Arc<PrivateKey>> {
        let (text, passphrase) = (self.text.clone(), passphrase.clone());
        let decode = move || decode_secret_key(&text, Some(passphrase.expose_secret())).ok();
        let decoded = tokio::task::spawn_blocking(decode).await;
        decoded.ok().flatten().map(Arc::new)
    }
}

/// Reads a key file.
///
/// # Errors
/// `KeyFile` if it is missing, not a key, or open to other users.
pub(crate) async fn load(path: &Path) -> Result<KeyFile, AuthError> {
    read(path).await.map_err(|reason| AuthError::KeyFile {
        path: path.to_owned(),
        reason,
    })
}

async fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
    let text = read_private(path).await?;
    check_format(&text, path)?;
    if is_encrypted(&text) {
        let public = match PrivateKey::from_openssh(&*text) {
            Ok(key) => Some(key.public_key().clone()),
            Err(_) => public_half(path).await,
        };
        let path = path.to_owned();
        return Ok(KeyFile::Locked(Locked { path, text, public }));
    }
    let decoded = decode_secret_key(&text, None);
    let key = decoded.map_err(|error| KeyFileError::NoKey(error.to_string()))?;
    Ok(KeyFile::Plain(Arc::new(key)))
}

/// The public key in the file next to a private one, in the format of OpenSSH or RFC 4716.
pub(crate) async fn public_half(path: &Path) -> Option<PublicKey> {
    let text = tokio::fs::read_to_string(beside(path, ".pub")).await.ok()?;
    parse_public_key(&text)
}

/// The path with a suffix added to its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Rejects formats of other programs that this one cannot read.
fn check_format(text: &str, path: &Path) -> Result<(), KeyFileError> {
    if text.starts_with("---- BEGIN SSH2 ") {
        return Err(KeyFileError::Ssh2Format(path.to_owned()));
    }
    let Some((_, header)) = text.split_once("DEK-Info: ") else {
        return Ok(());
    };
    // Of the old encryptions, only AES-128 for RSA keys is supported.
    if header.starts_with("AES-128-CBC,") && text.contains("BEGIN RSA PRIVATE KEY") {
        Ok(())
    } else {
        Err(KeyFileError::OldEncryption(path.to_owned()))
    }
}

fn is_encrypted(text: &str) -> bool {
    if text.starts_with("PuTTY-User-Key-File-") {
        return !text.contains("\nEncryption: none");
    }
    let openssh = PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted());
    // These texts are from PKCS#8's first line and PEM's header (RFC 1421 section 4.6.1.1).
    openssh || text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("4,ENCRYPTED")
}

async fn read_private(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let file = open_private(path).await?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE).read_to_string(&mut text).await?;
    Ok(text)
}

#[cfg(test)]
#[path = "keyfile_tests.rs"]
mod tests;
