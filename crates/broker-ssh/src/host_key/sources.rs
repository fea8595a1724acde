//! Where known host keys are read from: files, directories of files, and the broker's own store

use std::path::Path;

use super::error::{FileError, HostKeyError};
use super::files::{files_in, read_bytes};
use super::known_hosts::{HostName, KnownKey, keys_for};
use super::krl::Krl;
use super::named_files::{Named, named, only_key};
use super::store::Store;
use crate::spec::HostKeyRules;

/// What all places say about a host.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The lines that match it.
    pub(super) lines: Vec<KnownKey>,
    /// Revocations that apply to every host.
    pub(super) krls: Vec<Krl>,
    /// How many files have a key of a server that they do not name.
    pub(super) hashed_files: usize,
}

/// Reads all places. One that does not exist is empty. One that cannot be read is an error, since it may contain a
/// revocation. A directory may be named like a file.
pub(super) fn known(
    rules: &HostKeyRules,
    store: Option<&Store>,
    name: &HostName,
) -> Result<Known, HostKeyError> {
    let mut known = Known::default();
    let (directories, mut files): (Vec<_>, Vec<_>) = rules
        .known_hosts
        .iter()
        .cloned()
        .partition(|place| place.is_dir());
    for directory in directories.iter().chain(&rules.known_hosts_directories) {
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
    known.warn_of_hashed_files(name);
    Ok(known)
}

impl Known {
    fn add(&mut self, file: &Path, name: &HostName) -> Result<(), FileError> {
        let is_for = match named(file) {
            Some(Named::Hashed) => {
                self.hashed_files += 1;
                return Ok(());
            }
            Some(Named::Server { host, port }) => Some(HostName::new(&host, port)),
            None => None,
        };
        if is_for.as_ref().is_some_and(|it| it.exact() != name.exact()) {
            return Ok(());
        }
        let bytes = read_bytes(file)?.unwrap_or_default();
        if Krl::is_krl(&bytes) {
            self.krls.push(Krl::parse(&bytes, file)?);
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        if is_for.is_some() {
            self.lines.extend(only_key(&text, file));
        } else {
            self.lines.extend(keys_for(&text, name, file));
        }
        Ok(())
    }

    /// One of these files may have the key of a host that seems unknown.
    fn warn_of_hashed_files(&self, name: &HostName) {
        if self.hashed_files > 0 && self.lines.is_empty() {
            tracing::warn!(
                host = %name.exact(),
                files = self.hashed_files,
                "host key is not known, and host key files with hashed names cannot be searched: store the key with broker-ctl trust-host"
            );
        }
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
    fn a_key_store_of_an_older_program_is_read_wherever_a_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let base64 = KEY.split_once(' ').unwrap().1;
        let rfc4716 = format!(
            "---- BEGIN SSH2 PUBLIC KEY ----\r\nComment: \"x\"\r\n{base64}\r\n---- END SSH2 PUBLIC KEY ----\r\n"
        );
        for (name, text) in [
            ("key_22_Example.org.pub", rfc4716.as_str()),
            ("key_22_other.org.pub", KEY),
            ("key_2222_example.org.pub", KEY),
            ("keys_182166d2efe5a134d3fb948646e0b48f780bff6c", &rfc4716),
            ("salt", "\u{1}\u{2}"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let place = dir.path().to_owned();
        let as_file = HostKeyRules {
            known_hosts: vec![place.clone()],
            ..HostKeyRules::default()
        };
        let as_directory = HostKeyRules {
            known_hosts_directories: vec![place.clone()],
            ..HostKeyRules::default()
        };
        for rules in [as_file, as_directory] {
            let expected = place.join("key_22_Example.org.pub").display().to_string();
            assert_eq!(places(&rules).unwrap(), [expected]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let below_a_file = dir.path().join("file").join("known_hosts");
        fs::write(dir.path().join("file"), "").unwrap();
        let rules = HostKeyRules {
            known_hosts: vec![below_a_file.clone()],
            ..HostKeyRules::default()
        };
        let refused = places(&rules).unwrap_err().to_string();
        assert!(
            refused.contains(&below_a_file.display().to_string()),
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
