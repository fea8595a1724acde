//! Files with known contents: seeded bytes, checksums, temporary trees.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use anyhow::Context;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

/// Bytes made or read at once.
const CHUNK: usize = 64 * 1024;

/// `size` bytes that are the same for the same seed and do not compress.
#[must_use]
pub fn pattern(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    // Chunk by chunk, as `write_pattern` makes them, so that both give the same bytes.
    let mut rng = SmallRng::seed_from_u64(seed);
    bytes.chunks_mut(CHUNK).for_each(|chunk| rng.fill(chunk));
    bytes
}

/// Writes the bytes of [`pattern`] to a file, however large, and returns their SHA-256 in hexadecimal.
///
/// # Errors
/// When the file cannot be written.
pub fn write_pattern(path: &Path, seed: u64, size: u64) -> anyhow::Result<String> {
    fill(path, seed, size).with_context(|| format!("cannot write {}", path.display()))
}

fn fill(path: &Path, seed: u64, size: u64) -> io::Result<String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut digest = Sha256::new();
    let mut file = BufWriter::new(File::create(path)?);
    let mut chunk = vec![0; CHUNK];
    let mut left = size;
    while left > 0 {
        chunk.truncate(usize::try_from(left).unwrap_or(CHUNK));
        rng.fill(chunk.as_mut_slice());
        digest.update(&chunk);
        file.write_all(&chunk)?;
        left -= chunk.len() as u64;
    }
    file.flush()?;
    Ok(hex(&digest.finalize()))
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file, in hexadecimal, without holding the file in memory.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_file(path: &Path) -> anyhow::Result<String> {
    digest_file(path).with_context(|| format!("cannot read {}", path.display()))
}

fn digest_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk)?;
        let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else {
            return Ok(hex(&digest.finalize()));
        };
        digest.update(read);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Makes `count` files of different sizes below `directory`, in sub-directories of ten, for mirroring.
///
/// # Errors
/// When a file or directory cannot be made.
pub fn make_tree(directory: &Path, count: u64) -> anyhow::Result<()> {
    for number in 0..count {
        let sub = directory.join(format!("directory {}", number / 10));
        fs::create_dir_all(&sub).with_context(|| format!("cannot make {}", sub.display()))?;
        write_pattern(&sub.join(format!("file {number}")), number, number * 37)?;
    }
    Ok(())
}

/// Every file below `directory` as a sorted list of its relative path and SHA-256: equal lists are equal trees.
///
/// # Errors
/// When a file or directory cannot be read.
pub fn tree(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        let entries =
            fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory)?.to_string_lossy().into_owned();
                found.push((name, sha256_file(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_same_in_memory_and_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for size in [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7] {
            let sum = write_pattern(&path, 5, size as u64).unwrap();
            let bytes = pattern(5, size);
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(sha256(&bytes), sum);
            assert_eq!(sha256_file(&path).unwrap(), sum);
        }
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(pattern(1, 100), pattern(2, 100));
    }

    #[test]
    fn the_checksum_is_sha256() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), of_nothing);
    }

    #[test]
    fn trees_compare_by_name_and_content() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make_tree(one.path(), 25).unwrap();
        make_tree(two.path(), 25).unwrap();
        let listed = tree(one.path()).unwrap();
        assert_eq!(listed.len(), 25);
        assert_eq!(listed, tree(two.path()).unwrap());
        fs::write(two.path().join("directory 2/file 24"), "other").unwrap();
        assert_ne!(listed, tree(two.path()).unwrap());
    }
}
