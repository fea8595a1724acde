//! Files compared byte by byte.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, ensure};

/// Bytes compared at once.
const CHUNK: u64 = 1024 * 1024;

/// Fails unless the file has exactly these bytes; says where the first difference is.
pub(crate) fn same_bytes(path: &Path, expected: &[u8]) -> anyhow::Result<()> {
    let found = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    first_difference(&found, expected, 0).with_context(|| path.display().to_string())
}

/// Fails unless both files have the same bytes, without holding them in memory.
pub(crate) fn same_files(path: &Path, expected: &Path) -> anyhow::Result<()> {
    let open = |path: &Path| {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(BufReader::new(file))
    };
    let (mut found, mut wanted) = (open(path)?, open(expected)?);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut offset = 0;
    loop {
        left.clear();
        right.clear();
        found.by_ref().take(CHUNK).read_to_end(&mut left)?;
        wanted.by_ref().take(CHUNK).read_to_end(&mut right)?;
        first_difference(&left, &right, offset).with_context(|| path.display().to_string())?;
        if left.is_empty() {
            return Ok(());
        }
        offset += left.len();
    }
}

fn first_difference(found: &[u8], expected: &[u8], offset: usize) -> anyhow::Result<()> {
    if found != expected {
        let same = found.iter().zip(expected).take_while(|(a, b)| a == b);
        let place = offset + same.count();
        let (found, expected) = (found.len() + offset, expected.len() + offset);
        ensure!(
            found == expected,
            "{found} bytes instead of {expected}, the same up to byte {place}"
        );
        anyhow::bail!("byte {place} differs");
    }
    Ok(())
}
