//! Writes a file that the user asked for, without destroying one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::NewFile;
use crate::output::Output;

/// For a file that contains secrets.
const PRIVATE: u32 = 0o600;

/// For any other, which others must not change.
const READABLE: u32 = 0o644;

/// Writes the text to the file, or to standard output if there is none.
///
/// # Errors
/// The file exists and must not be replaced, or cannot be written; the text has secrets, which are not printed.
pub(crate) fn write(
    new: &NewFile,
    text: &str,
    has_secrets: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let Some(path) = &new.output else {
        if has_secrets {
            bail!(
                "the new file contains passwords, which are not printed: name a file with --output"
            );
        }
        return Ok(output.print(text.trim_end())?);
    };
    let mode = if has_secrets { PRIVATE } else { READABLE };
    let written = if new.force {
        replace(path, text, mode)
    } else {
        create(path, mode).and_then(|file| fill(file, text))
    };
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    opened.map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            io::Error::new(error.kind(), "it exists: use --force to replace it")
        } else {
            error
        }
    })
}

fn fill(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Replaces the file in one step, so that a failure leaves the old one.
fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    fill(create(&beside, mode)?, text)
        .and_then(|()| fs::rename(&beside, path))
        .inspect_err(|_| {
            // What is left is useless, and the failure itself is what counts.
            let _ = fs::remove_file(&beside);
        })
}
