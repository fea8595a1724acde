//! The broker's own known_hosts file: the only one that it writes
//!
//! The broker replaces the text in one step, under a lock that other daemons of the same user respect. So neither a crash
//! nor two connection attempts at once lose a line.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use file_access::Exposure;
use russh::keys::{PublicKey, PublicKeyBase64};

use super::error::{FileError, StoreError};
use super::files::read_text;
use super::known_hosts::{HostName, KnownKey, Role, hashed, keys_for};
use super::same;

/// How to treat other keys that the file has for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// Replace those of the same type, since the server has a new one; keep the rest.
    Replace,
    /// If there are any, store nothing: the key had to be the first.
    Refuse,
}

/// Where new keys are stored.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    /// Whether names are written as hashes, so the file does not reveal which servers are used.
    pub(crate) hash_names: bool,
}

impl Store {
    /// The file's text; empty if the file does not exist.
    ///
    /// # Errors
    /// Why it cannot be read or trusted: others must not be able to write it.
    pub(crate) fn read(&self) -> Result<String, FileError> {
        let Some(text) = read_text(&self.path)? else {
            return Ok(String::new());
        };
        self.guard()?;
        Ok(text)
    }

    /// Stores a key under the host's exact name. An existing one stays as it is.
    ///
    /// # Errors
    /// Why it is not stored; then the file is unchanged.
    pub(crate) fn put(
        &self,
        name: &HostName,
        key: &PublicKey,
        others: Others,
    ) -> Result<(), StoreError> {
        let hosts = self.hosts(name)?;
        let directory = self.directory()?;
        make_directory(directory).map_err(|error| self.unwritable(&error))?;
        self.guard()?;
        let _locked = self.lock().map_err(|error| self.unwritable(&error))?;
        let old = self.read()?;
        let known = keys_for(&old, name, &self.path);
        let mut known = known.iter().filter(|known| known.role == Role::Host);
        if others == Others::Refuse
            && let Some(other) = known.clone().find(|known| !same(&known.key, key))
        {
            return Err(StoreError::OtherKey(other.place()));
        }
        let stale = |known: &&KnownKey| {
            others == Others::Replace
                && known.key.algorithm() == key.algorithm()
                && !same(&known.key, key)
        };
        let gone: Vec<usize> = known.clone().filter(stale).map(|it| it.line).collect();
        let is_there = known.any(|known| same(&known.key, key));
        if is_there && gone.is_empty() {
            return Ok(());
        }
        let mut text = without_lines(&old, &gone);
        if !is_there {
            let (algorithm, base64) = (key.algorithm(), key.public_key_base64());
            text.push_str(&format!("{hosts} {algorithm} {base64}\n"));
        }
        self.write(directory, &text)
            .map_err(|error| self.unwritable(&error))
    }

    /// Refuses a file, or a directory around it, that others can write.
    fn guard(&self) -> Result<(), FileError> {
        let places = [Some(self.path.as_path()), self.path.parent()];
        for place in places.into_iter().flatten() {
            match exposure(place)? {
                None => {}
                Some(Exposure::Writable) => {
                    return Err(FileError::WritableByOthers(place.to_owned()));
                }
                Some(Exposure::Foreign) => return Err(FileError::Foreign(place.to_owned())),
            }
        }
        Ok(())
    }

    fn hosts(&self, name: &HostName) -> Result<String, StoreError> {
        let exact = storable(name.exact())?;
        if self.hash_names {
            hashed(exact).ok_or(StoreError::NotHashable)
        } else {
            Ok(exact.to_owned())
        }
    }

    fn directory(&self) -> Result<&Path, StoreError> {
        let directory = self.path.parent();
        directory.ok_or_else(|| StoreError::NotAFile(self.path.clone()))
    }

    fn lock(&self) -> std::io::Result<File> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.create(true).append(true).open(path)?;
        file.lock()?;
        Ok(file)
    }

    fn write(&self, directory: &Path, text: &str) -> std::io::Result<()> {
        // Only the owner can access temporary files.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn unwritable(&self, error: &std::io::Error) -> StoreError {
        StoreError::Unwritable(self.path.clone(), error.to_string())
    }
}

/// How others can change a place; nobody can change one that does not exist.
fn exposure(path: &Path) -> std::io::Result<Option<Exposure>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(file_access::exposure(&metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates the directory if necessary, with access for the owner only.
fn make_directory(directory: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

fn without_lines(text: &str, gone: &[usize]) -> String {
    let lines = text.lines().enumerate();
    let kept = lines.filter(|(index, _)| !gone.contains(&(index + 1)));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

/// Accepts a name only if it can be nothing but a name. A blank, a comma or a line end would split it into several
/// entries, and a wildcard or a marker would change the kind of entry.
fn storable(name: &str) -> Result<&str, StoreError> {
    let fits = |c: char| c.is_alphanumeric() || "-._:[]%".contains(c);
    if !name.is_empty() && name.chars().all(fits) {
        Ok(name)
    } else {
        Err(StoreError::Name(name.to_owned()))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
