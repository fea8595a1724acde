//! Private key files: OpenSSH, PEM, PKCS#8 and PuTTY

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{PrivateKey, PublicKey, decode_secret_key};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use crate::error::OpenError;

/// No key file is larger.
const MAX_KEY_FILE: u64 = 64 << 10;

/// The usual files, in the order in which they are tried.
const DEFAULT_NAMES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// What a key file holds.
pub(crate) enum KeyFile {
    /// A key ready for use.
    Plain(Arc<PrivateKey>),
    /// An encrypted key; its public half, where that is to be had, tells whether the agent holds it.
    Encrypted(Option<PublicKey>),
}

/// Reads a key file.
///
/// # Errors
/// `KeyFile` where it is missing, not a key, or open to other users.
pub(crate) async fn load(path: &Path) -> Result<KeyFile, OpenError> {
    let failed = |reason: String| OpenError::KeyFile {
        path: path.to_owned(),
        reason,
    };
    let text = read_private(path).await.map_err(failed)?;
    match decode_secret_key(&text, None) {
        Ok(key) => Ok(KeyFile::Plain(Arc::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => {
            Ok(KeyFile::Encrypted(public_half(path, &text).await))
        }
        // Formats other than OpenSSH's report a missing passphrase as damage.
        Err(_) if text.contains("ENCRYPTED") => {
            Ok(KeyFile::Encrypted(public_half(path, &text).await))
        }
        Err(error) => Err(failed(format!(
            "it is not a private key of a known format ({error})"
        ))),
    }
}

/// The usual files that exist in the user's home.
pub(crate) fn default_identities() -> Vec<PathBuf> {
    let Some(home) = std::env::home_dir() else {
        return Vec::new();
    };
    let files = DEFAULT_NAMES
        .iter()
        .map(|name| home.join(".ssh").join(name));
    files.filter(|file| file.is_file()).collect()
}

/// Whether users other than the owner can read or write a file.
#[cfg(unix)]
fn open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

/// Access lists on Windows are inherited from the user's folder; there is no mode to look at.
#[cfg(not(unix))]
fn open_to_others(_metadata: &Metadata) -> bool {
    false
}

/// Opens a file that holds a secret; one that others can read holds none.
pub(crate) async fn open_private(path: &Path) -> Result<File, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    let metadata = file.metadata().await.map_err(|error| error.to_string())?;
    if open_to_others(&metadata) {
        let path = path.display();
        return Err(format!("other users can read it; run: chmod 600 {path}"));
    }
    Ok(file)
}

async fn read_private(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = open_private(path).await?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .await
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// OpenSSH's format keeps the public half in the clear; for others it stands in the file beside it.
async fn public_half(path: &Path, text: &str) -> Option<PublicKey> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        return Some(key.public_key().clone());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    let text = tokio::fs::read_to_string(beside).await.ok()?;
    PublicKey::from_openssh(text.trim()).ok()
}
