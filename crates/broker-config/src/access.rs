//! Who can change a configuration file: it names commands that are run, so whoever writes to it commands the daemon.
//!
//! As OpenSSH does with its own, the file must belong to the user who runs the program or to root, and nobody else may
//! write to it. The same holds for each directory on the way to it: who can write there can put another file in its
//! place.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// What lets somebody else decide what the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exposure {
    /// The file, or a directory on the way to it.
    pub(crate) path: PathBuf,
    pub(crate) kind: ExposureKind,
    pub(crate) is_directory: bool,
}

/// How it is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExposureKind {
    /// Its group, or everybody, may write to it.
    Writable,
    /// It belongs to another user than the one who runs this program, and not to root.
    Foreign,
}

impl Exposure {
    /// What is wrong.
    pub(crate) fn message(&self) -> String {
        let path = self.path.display();
        match self.kind {
            ExposureKind::Writable => format!("other users can write to {path}"),
            ExposureKind::Foreign => format!("{path} belongs to another user, who can change it"),
        }
    }

    /// What to do.
    pub(crate) fn help(&self) -> String {
        let path = self.path.display();
        match self.kind {
            ExposureKind::Writable => format!("run: chmod go-w {path}"),
            ExposureKind::Foreign if self.is_directory => {
                "move the file to a directory that is yours or root's".to_owned()
            }
            ExposureKind::Foreign => {
                format!(
                    "look at what it says, then have it made yours or root's: chown root {path}"
                )
            }
        }
    }
}

/// What is wrong with the file that was opened under this path, and else with a directory on the way to it.
#[cfg(unix)]
pub(crate) fn exposure(path: &Path, opened: &Metadata) -> Option<Exposure> {
    use std::os::unix::fs::MetadataExt;

    let own = rustix::process::geteuid().as_raw();
    let look = |path: &Path, meta: &Metadata| {
        let kind = exposed(meta.uid(), meta.mode(), meta.is_dir(), own)?;
        Some(Exposure {
            path: path.to_owned(),
            kind,
            is_directory: meta.is_dir(),
        })
    };
    look(path, opened).or_else(|| {
        directories(path)
            .into_iter()
            .find_map(|directory| look(&directory, &directory.metadata().ok()?))
    })
}

/// Access lists on Windows are inherited from the user's directory; there is no mode to look at.
#[cfg(not(unix))]
pub(crate) fn exposure(_path: &Path, _opened: &Metadata) -> Option<Exposure> {
    None
}

/// Whether somebody but root and the user `own` can write. In a directory with the sticky bit, such as `/tmp`, nobody
/// can replace what belongs to another.
#[cfg(unix)]
fn exposed(owner: u32, mode: u32, is_directory: bool, own: u32) -> Option<ExposureKind> {
    const ROOT: u32 = 0;
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    if owner != own && owner != ROOT {
        return Some(ExposureKind::Foreign);
    }
    let keeps_files_apart = is_directory && mode & STICKY != 0;
    (mode & OTHERS_WRITE != 0 && !keeps_files_apart).then_some(ExposureKind::Writable)
}

/// The directories on the way to the file, the closest first: as it was named, and where links lead.
#[cfg(unix)]
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
    fn only_the_user_and_root_may_write() {
        use ExposureKind::{Foreign, Writable};
        const ME: u32 = 1000;
        for (owner, mode, is_directory, expected) in [
            (ME, 0o100_600, false, None),
            (ME, 0o100_644, false, None),
            (0, 0o100_644, false, None),
            (ME, 0o100_664, false, Some(Writable)),
            (ME, 0o100_646, false, Some(Writable)),
            (0, 0o100_666, false, Some(Writable)),
            (1001, 0o100_600, false, Some(Foreign)),
            (ME, 0o040_755, true, None),
            (ME, 0o040_775, true, Some(Writable)),
            (0, 0o041_777, true, None),
            (1001, 0o041_777, true, Some(Foreign)),
            // The sticky bit of a file means nothing.
            (ME, 0o101_666, false, Some(Writable)),
        ] {
            let found = exposed(owner, mode, is_directory, ME);
            assert_eq!(found, expected, "{owner} {mode:o}");
        }
    }

    #[test]
    fn root_trusts_only_its_own() {
        assert_eq!(
            exposed(1000, 0o100_600, false, 0),
            Some(ExposureKind::Foreign)
        );
    }

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
