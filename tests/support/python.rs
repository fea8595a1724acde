//! The Python that runs the tests' scripts, and the one that brings its own test suite.

use std::path::PathBuf;
use std::sync::OnceLock;

use testkit::programs::python_with;

/// A script in `tests/scripts`.
pub(crate) fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

/// The first Python that can import CPython's tests of ftplib; looked for once, since starting it takes time.
pub(crate) fn with_test_suite() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| python_with("test.test_ftplib"))
        .clone()
}

/// Whether a Python can import the FTP server pyftpdlib; looked for once as well.
pub(crate) fn has_pyftpdlib() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| python_with("pyftpdlib").is_some())
}
