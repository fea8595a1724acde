//! Who can change a configuration file. The file names commands that the daemon runs, so whoever writes to it controls
//! the daemon.
//!
//! As with OpenSSH's files, the file must belong to the user who runs the program or to root, and nobody else may write
//! to it. The same applies to each directory on its path: whoever can write there can replace the file.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use file_access::Exposure as Kind;

/// A way in which another user can change the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exposure {
    /// The file, or a directory on its path.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) is_directory: bool,
}

impl Exposure {
    /// What is wrong.
    pub(crate) fn message(&self) -> String {
        let path = self.path.display();
        match self.kind {
            Kind::Writable => format!("other users can write to {path}"),
            Kind::Foreign => format!("{path} belongs to another user, who can change it"),
        }
    }

    /// What to do.
    pub(crate) fn help(&self) -> String {
        let path = self.path.display();
        match self.kind {
            Kind::Writable => format!("run: chmod go-w {path}"),
            Kind::Foreign if self.is_directory => {
                "move the file to a directory that is yours or root's".to_owned()
            }
            Kind::Foreign => {
                format!(
                    "check its contents, then make it yours or root's. As root, run: chown root {path}"
                )
            }
        }
    }
}

/// What is wrong with the file opened under this path; if nothing, what is wrong with a directory on its path.
pub(crate) fn exposure(path: &Path, opened: &Metadata) -> Option<Exposure> {
    let look = |path: &Path, metadata: &Metadata| {
        let kind = file_access::exposure(metadata)?;
        Some(Exposure {
            path: path.to_owned(),
            kind,
            is_directory: metadata.is_dir(),
        })
    };
    look(path, opened).or_else(|| {
        directories(path)
            .into_iter()
            .find_map(|directory| look(&directory, &directory.metadata().ok()?))
    })
}

/// The directories on the path to the file, the closest first: of the path as written, and of the targets of its links.
fn directories(path: &Path) -> Vec<PathBuf> {
    let named = std::path::absolute(path).ok();
    let real = path.canonicalize().ok();
    let mut above: Vec<PathBuf> = Vec::new();
    for file in [real, named].into_iter().flatten() {
        for directory in file.ancestors().skip(1) {
            if !above.iter().any(|known| known == directory) {
                above.push(directory.to_owned());
            }
        }
    }
    above
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_their_directories() {
        let outer = tempfile::tempdir().unwrap();
        let outer = outer.path().canonicalize().unwrap();
        let (real, named) = (outer.join("real"), outer.join("named"));
        std::fs::create_dir(&real).unwrap();
        std::fs::create_dir(&named).unwrap();
        std::fs::write(real.join("file"), "").unwrap();
        std::os::unix::fs::symlink(real.join("file"), named.join("link")).unwrap();
        let found = directories(&named.join("link"));
        assert_eq!(found.first(), Some(&real));
        assert!(found.contains(&named) && found.contains(&outer) && found.contains(&"/".into()));
    }
}
