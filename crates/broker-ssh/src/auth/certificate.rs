//! OpenSSH user certificates: those next to private keys, and whether one is usable

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::{Certificate, PublicKey};

use super::error::CertificateFault;
use super::keyfile::beside;

/// What OpenSSH adds to a key file's name for its certificate.
const ENDING: &str = "-cert.pub";

/// A certificate that cannot be used.
pub(super) struct Useless {
    file: PathBuf,
    pub(super) fault: CertificateFault,
}

impl Useless {
    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        format!("certificate {}", self.file.display())
    }
}

/// The certificate next to a private key, if there is one.
///
/// # Errors
/// Why it cannot be used, and what to do.
pub(super) async fn beside_key(
    path: &Path,
    key: &PublicKey,
) -> Result<Option<Certificate>, Useless> {
    let file = beside(path, ENDING);
    let Ok(text) = tokio::fs::read_to_string(&file).await else {
        return Ok(None);
    };
    let certificate = read(&text, key).map_err(|fault| Useless { file, fault })?;
    Ok(Some(certificate))
}

fn read(text: &str, key: &PublicKey) -> Result<Certificate, CertificateFault> {
    let certificate = Certificate::from_openssh(text.trim())
        .map_err(|error| CertificateFault::Unreadable(error.to_string()))?;
    if certificate.public_key() != key.key_data() {
        return Err(CertificateFault::OtherKey);
    }
    check(&certificate, SystemTime::now())?;
    Ok(certificate)
}

/// Whether a certificate is valid at this time.
///
/// # Errors
/// Why it is not valid.
pub(super) fn check(certificate: &Certificate, now: SystemTime) -> Result<(), CertificateFault> {
    if !certificate.cert_type().is_user() {
        return Err(CertificateFault::ForHost);
    }
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let (from, to) = (certificate.valid_after(), certificate.valid_before());
    if now < from {
        Err(CertificateFault::NotYetValid(from - now))
    } else if now >= to {
        Err(CertificateFault::Expired(now - to))
    } else {
        Ok(())
    }
}
