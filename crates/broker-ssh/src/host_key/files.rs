//! Reading files with host keys, within a size limit

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::FileError;

/// A hundred thousand lines; a larger file is not a list of hosts.
const MAX_FILE: u64 = 16 << 20;

/// A directory with more files is not for host keys. Older programs keep a file for each server, most of which the broker
/// need not read.
const MAX_FILES: usize = 16_384;

/// A file's text, or `None` if the file does not exist.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, FileError> {
    let bytes = read_bytes(path)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A file's bytes, or `None` if the file does not exist.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(FileError::TooLarge(MAX_FILE >> 20));
    }
    Ok(Some(bytes))
}

/// The regular files of a directory, sorted by name.
pub(super) fn files_in(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(FileError::TooManyFiles(MAX_FILES));
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_larger_than_any_list_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        File::create(&large).unwrap().set_len(MAX_FILE + 1).unwrap();
        let refused = read_text(&large).unwrap_err().to_string();
        assert!(refused.contains("larger than 16 MiB"), "{refused}");
    }
}
