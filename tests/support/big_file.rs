//! A file of 256 MiB, shared by the tests that need it and removed with the last of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;
use testkit::files::write_pattern;

const BIG: u64 = 256 * 1024 * 1024;
const SEED: u64 = 256;

static SHARED: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());

/// Keeps the file while somebody needs it. Nobody may write to it.
pub(crate) struct BigFile(Arc<TempDir>);

impl BigFile {
    /// The file that others use now, or a new one.
    pub(crate) fn get() -> anyhow::Result<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = shared.upgrade() {
            return Ok(Self(directory));
        }
        let file = Self(Arc::new(tempfile::tempdir()?));
        write_pattern(&file.path(), SEED, BIG)?;
        *shared = Arc::downgrade(&file.0);
        Ok(file)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("big")
    }
}
