//! What a test needs of the machine, and whether it is there.

use std::fmt;
use std::path::PathBuf;

/// Servers stand in folders that an ordinary user's PATH leaves out.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Something that not every machine has. It prints as the name `cargo xtask test` knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A program.
    Program(&'static str),
    /// The right to do what only root may.
    Root,
}

impl Need {
    pub(crate) fn is_met(self) -> bool {
        match self {
            Self::Program(name) => find(name).is_some(),
            Self::Root => rustix::process::geteuid().is_root(),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program(name) => name,
            Self::Root => "root",
        })
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
