//! The Python that runs the tests' scripts, and the one that brings its own test suite.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use testkit::programs::PYTHON;

/// Debian's own Python; the first one on `PATH` may be another, without the package `libpython3-testsuite`.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// A script in `tests/scripts`.
pub(crate) fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

/// The first Python that can import CPython's tests of ftplib; looked for once, since starting it takes time.
pub(crate) fn with_test_suite() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let candidates = || PYTHON.find().into_iter().chain([SYSTEM_PYTHON.into()]);
    FOUND
        .get_or_init(|| candidates().find(imports_tests))
        .clone()
}

fn imports_tests(python: &PathBuf) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", "import test.test_ftplib"]);
    import.output().is_ok_and(|output| output.status.success())
}
