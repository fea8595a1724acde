//! Where known host keys are read from: files, directories of files, and the broker's own store

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::known_hosts::{HostName, KnownKey, keys_for};
use super::krl::Krl;
use super::store::Store;
use crate::error::OpenError;
use crate::spec::HostKeyRules;

/// A hundred thousand lines; a file past it is no list of hosts.
const MAX_FILE: u64 = 16 << 20;

/// A directory past it holds something else.
const MAX_FILES: usize = 1024;

/// What all places know of a host.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The lines that speak of it.
    pub(super) lines: Vec<KnownKey>,
    /// Revocations that hold for every host.
    pub(super) krls: Vec<Krl>,
}

/// Reads all places. One that does not exist is empty; one that cannot be read is an error, since a revocation may stand
/// in it.
pub(super) fn known(
    rules: &HostKeyRules,
    store: Option<&Store>,
    name: &HostName,
) -> Result<Known, OpenError> {
    let mut known = Known::default();
    let mut files = rules.known_hosts.clone();
    for directory in &rules.known_hosts_directories {
        files.extend(files_in(directory).map_err(|reason| unusable(directory, reason))?);
    }
    for file in files {
        known
            .add(&file, name)
            .map_err(|reason| unusable(&file, reason))?;
    }
    if let Some(store) = store {
        let text = store
            .read()
            .map_err(|reason| unusable(&store.path, reason))?;
        known.lines.extend(keys_for(&text, name, &store.path));
    }
    Ok(known)
}

impl Known {
    fn add(&mut self, file: &Path, name: &HostName) -> Result<(), String> {
        let bytes = read_bytes(file)?.unwrap_or_default();
        if Krl::is_krl(&bytes) {
            let krl = Krl::parse(&bytes, file);
            self.krls
                .push(krl.ok_or("it is damaged, or a key revocation list of another kind")?);
        } else {
            let text = String::from_utf8_lossy(&bytes);
            self.lines.extend(keys_for(&text, name, file));
        }
        Ok(())
    }
}

pub(super) fn unusable(path: &Path, reason: String) -> OpenError {
    OpenError::HostKeyFile {
        path: path.display().to_string(),
        reason,
    }
}

/// A file's text, or `None` where there is no file.
pub(super) fn read_bounded(path: &Path) -> Result<Option<String>, String> {
    let bytes = read_bytes(path)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
    }
    Ok(Some(bytes))
}

/// The regular files of a directory, in the order of their names.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(format!("it has more than {MAX_FILES} files"));
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    fn places(rules: &HostKeyRules) -> Result<Vec<String>, OpenError> {
        let known = known(rules, None, &HostName::new("example.org", 22))?;
        Ok(known.lines.iter().map(KnownKey::place).collect())
    }

    #[test]
    fn files_come_first_then_the_files_of_directories_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("directory");
        fs::create_dir_all(directory.join("no file")).unwrap();
        for name in ["b", "a"] {
            fs::write(directory.join(name), format!("example.org {KEY}\n")).unwrap();
        }
        let file = dir.path().join("file");
        fs::write(&file, format!("other.org {KEY}\nexample.org {KEY}\n")).unwrap();
        let rules = HostKeyRules {
            known_hosts: vec![file.clone(), dir.path().join("missing")],
            known_hosts_directories: vec![directory.clone(), dir.path().join("missing too")],
            ..HostKeyRules::default()
        };
        let (file, directory) = (file.display(), directory.display());
        let expected = [
            format!("{file} line 2"),
            format!("{directory}/a line 1"),
            format!("{directory}/b line 1"),
        ];
        assert_eq!(places(&rules).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let rules = HostKeyRules {
            known_hosts: vec![dir.path().to_owned()],
            ..HostKeyRules::default()
        };
        let refused = places(&rules).unwrap_err().to_string();
        assert!(
            refused.contains(&dir.path().display().to_string()),
            "{refused}"
        );
        let damaged = dir.path().join("krl");
        fs::write(&damaged, b"SSHKRL\n\0 and then something else").unwrap();
        let rules = HostKeyRules {
            known_hosts: vec![damaged],
            ..HostKeyRules::default()
        };
        let refused = places(&rules).unwrap_err().to_string();
        assert!(refused.contains("it is damaged"), "{refused}");
        let large = dir.path().join("large");
        File::create(&large).unwrap().set_len(MAX_FILE + 1).unwrap();
        let refused = read_bounded(&large).unwrap_err();
        assert!(refused.contains("larger than 16 MiB"), "{refused}");
    }
}
