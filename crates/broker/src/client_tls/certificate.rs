//! The certificate of a tunnel, read again when its files change.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tls_certificate::read;
use tracing::{debug, info, warn};

use crate::sync::lock;

/// A certificate with its key, as the files contained them last.
#[derive(Debug)]
pub(super) struct Certificate {
    files: [PathBuf; 2],
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    /// The files when they were read last, whether they could be used or not.
    seen: [Stamp; 2],
}

/// What changes with a file; `None`: there is none.
type Stamp = Option<(SystemTime, u64)>;

impl Certificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Why they cannot be used, and what to do.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let files = [certificate.to_owned(), key.to_owned()];
        let seen = stamps(&files);
        let certified =
            read(certificate, key).map_err(|error| format!("{error}: {}", error.remedy()))?;
        Ok(Self {
            files,
            current: Mutex::new(Current {
                certified: Arc::new(certified),
                seen,
            }),
        })
    }

    /// Reads the files again if they have changed. If the new ones cannot be used, the old certificate stays, and the log
    /// reports it once.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let this = self.clone();
        let refreshed = tokio::task::spawn_blocking(move || this.refresh_now());
        if let Err(error) = refreshed.await {
            debug!(%error, "the certificate was not looked at");
        }
    }

    fn refresh_now(&self) {
        let seen = stamps(&self.files);
        if std::mem::replace(&mut lock(&self.current).seen, seen) == seen {
            return;
        }
        let [certificate, key] = &self.files;
        match read(certificate, key) {
            Ok(certified) => {
                lock(&self.current).certified = Arc::new(certified);
                info!(certificate = %certificate.display(), "certificate read again");
            }
            Err(error) => warn!(
                "the changed certificate is not used, and the old one stays: {error}: {}",
                error.remedy()
            ),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(lock(&self.current).certified.clone())
    }
}

fn stamps(files: &[PathBuf; 2]) -> [Stamp; 2] {
    files.each_ref().map(|file| {
        let stamp = |metadata: Metadata| Some((metadata.modified().ok()?, metadata.len()));
        file.metadata().ok().and_then(stamp)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn write(path: &Path, text: &str, modified: u64) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(modified);
        file.set_modified(since).unwrap();
    }

    fn made() -> String {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        made.cert.pem() + &made.signing_key.serialize_pem()
    }

    #[tokio::test]
    async fn changed_files_are_read_again_and_damaged_ones_are_not_used() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("both.pem");
        write(&path, &made(), 1);
        let certificate = Arc::new(Certificate::read(&path, &path).unwrap());
        let shown = || lock(&certificate.current).certified.clone();
        let first = shown();
        certificate.refresh().await;
        assert!(Arc::ptr_eq(&first, &shown()));
        write(&path, "damaged", 2);
        certificate.refresh().await;
        assert!(Arc::ptr_eq(&first, &shown()));
        write(&path, &made(), 3);
        certificate.refresh().await;
        assert_ne!(first.cert, shown().cert);
        std::fs::remove_file(&path).unwrap();
        let second = shown();
        certificate.refresh().await;
        assert!(Arc::ptr_eq(&second, &shown()));
    }
}
