//! What a test needs of the machine, and whether it is there.

use std::fmt;

use testkit::programs::find_program;
use testkit::{host_copy, netns};

/// Something that not every machine has. It prints as the name `cargo xtask test` knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A program, by its name.
    Program(&'static str),
    /// An sshd before 10.1, which delays small packets.
    EarlierSshd,
    /// Python's own test suite, which Debian packs apart from Python.
    PythonTests,
    /// The FTP server pyftpdlib, a module of Python.
    Pyftpdlib,
    /// The right to do what only root may.
    Root,
    /// The right to make network namespaces, which root lacks in some containers.
    Namespaces,
    /// The right to lay file systems over each other, which root lacks in some containers.
    Overlays,
}

/// The usual real servers.
pub(crate) const REAL: &[Need] = &[Need::Program("sshd"), Need::Program("vsftpd")];

/// The same with a client.
pub(crate) const REAL_AND_CURL: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("curl"),
];

/// The usual real servers in a network namespace.
pub(crate) const INSIDE: &[Need] = &[
    Need::Program("ip"),
    Need::Namespaces,
    Need::Program("sshd"),
    Need::Program("vsftpd"),
];

/// The same with a client.
pub(crate) const INSIDE_AND_CURL: &[Need] = &[
    Need::Program("ip"),
    Need::Namespaces,
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("curl"),
];

impl Need {
    pub(crate) fn is_met(self) -> bool {
        match self {
            Self::Program(name) => find_program(name).is_some(),
            Self::EarlierSshd => testkit::sshd::version().is_some_and(|version| version < (10, 1)),
            Self::PythonTests => super::python::with_test_suite().is_some(),
            Self::Pyftpdlib => super::python::has_pyftpdlib(),
            Self::Root => rustix::process::geteuid().is_root(),
            Self::Namespaces => netns::available().is_ok(),
            Self::Overlays => host_copy::available(),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program(name) => name,
            Self::EarlierSshd => "sshd before 10.1",
            Self::PythonTests => "Python's own test suite",
            Self::Pyftpdlib => "pyftpdlib",
            Self::Root => "root",
            Self::Namespaces => "root with network namespaces",
            Self::Overlays => "root with overlays",
        })
    }
}
