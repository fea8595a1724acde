//! Where known host keys are read from: files, directories of files, and the broker's own store

use std::path::Path;

use super::error::{FileError, HostKeyError};
use super::files::{files_in, read_bytes};
use super::known_hosts::{HostName, KnownKey, keys_for};
use super::krl::Krl;
use super::store::Store;
use crate::spec::HostKeyRules;

/// What all places say about a host.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The lines that match it.
    pub(super) lines: Vec<KnownKey>,
    /// Revocations that apply to every host.
    pub(super) krls: Vec<Krl>,
}

/// Reads all places. One that does not exist is empty. One that cannot be read is an error, since it may contain a
/// revocation.
pub(super) fn known(
    rules: &HostKeyRules,
    store: Option<&Store>,
    name: &HostName,
) -> Result<Known, HostKeyError> {
    let mut known = Known::default();
    let mut files = rules.known_hosts.clone();
    for directory in &rules.known_hosts_directories {
        files.extend(files_in(directory).map_err(|reason| HostKeyError::file(directory, reason))?);
    }
    for file in files {
        known
            .add(&file, name)
            .map_err(|reason| HostKeyError::file(&file, reason))?;
    }
    if let Some(store) = store {
        let text = store
            .read()
            .map_err(|reason| HostKeyError::file(&store.path, reason))?;
        known.lines.extend(keys_for(&text, name, &store.path));
    }
    Ok(known)
}

impl Known {
    fn add(&mut self, file: &Path, name: &HostName) -> Result<(), FileError> {
        let bytes = read_bytes(file)?.unwrap_or_default();
        if Krl::is_krl(&bytes) {
            self.krls.push(Krl::parse(&bytes, file)?);
        } else {
            let text = String::from_utf8_lossy(&bytes);
            self.lines.extend(keys_for(&text, name, file));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    fn places(rules: &HostKeyRules) -> Result<Vec<String>, HostKeyError> {
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
    }
}
