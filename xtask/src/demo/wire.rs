//! What must not be seen on the wire: a file full of marks, and the search for them

use std::ops::Add;

use anyhow::{Result, ensure};
use memchr::memmem;

/// Opens every block of the demo's file. Whoever sees a block in the clear sees this.
const MARK: &[u8] = b"<< this line belongs to the file and must not be seen on the wire >>\n";
/// Smaller than any packet that carries a file in bulk, so that no packet is without a mark.
const BLOCK: usize = 4096;
/// What every SSH connection begins with, in the clear: a recording without it recorded something else.
const BANNER: &[u8] = b"SSH-2.0-";

/// What a recording of the wire was found to hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Everything that was recorded.
    pub(super) bytes: usize,
    /// How many SSH connections began in it, counted by the greetings of both ends.
    pub(super) greetings: usize,
    /// How often the password stands in it.
    pub(super) passwords: usize,
    /// How many blocks of the file begin in it.
    pub(super) marks: usize,
}

/// Puts the mark at the beginning of every block of `bytes`.
pub(super) fn mark(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        if let Some(start) = block.get_mut(..MARK.len()) {
            start.copy_from_slice(MARK);
        }
    }
}

/// Searches recorded bytes; each recording is one direction of one connection.
pub(super) fn search<'a>(
    recordings: impl IntoIterator<Item = &'a [u8]>,
    password: &str,
) -> Findings {
    let mut findings = Findings::default();
    for recording in recordings {
        findings.bytes += recording.len();
        findings.greetings += usize::from(recording.starts_with(BANNER));
        findings.passwords += count(recording, password.as_bytes());
        findings.marks += count(recording, MARK);
    }
    findings
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    memmem::find_iter(haystack, needle).count()
}

impl Add for Findings {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            greetings: self.greetings + other.greetings,
            passwords: self.passwords + other.passwords,
            marks: self.marks + other.marks,
        }
    }
}

impl Findings {
    /// Whether this is a recording of all that was moved, and shows none of it.
    pub(super) fn check(&self, moved: usize) -> Result<()> {
        ensure!(
            self.greetings >= 2,
            "the relay did not record an SSH connection from its beginning"
        );
        ensure!(
            self.bytes >= moved,
            "the relay recorded {} bytes, though {moved} were moved",
            self.bytes
        );
        ensure!(
            self.passwords == 0,
            "the password stands on the wire {} times",
            self.passwords
        );
        ensure!(
            self.marks == 0,
            "{} blocks of the file stand on the wire",
            self.marks
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_clear_is_found() {
        let mut file = vec![0; 3 * BLOCK + 10];
        mark(&mut file);
        let greeting = b"SSH-2.0-x\r\nPASS sesame\r\n".to_vec();
        let found = search([greeting.as_slice(), file.as_slice()], "sesame");
        assert_eq!(
            found,
            Findings {
                bytes: greeting.len() + file.len(),
                greetings: 1,
                passwords: 1,
                marks: 3
            }
        );
    }

    #[test]
    fn only_a_full_recording_that_shows_nothing_is_good() {
        let good = || Findings {
            bytes: 100,
            greetings: 2,
            passwords: 0,
            marks: 0,
        };
        assert!(good().check(100).is_ok());
        assert!(good().check(101).is_err());
        assert!(
            Findings {
                greetings: 1,
                ..good()
            }
            .check(100)
            .is_err()
        );
        assert!(
            Findings {
                passwords: 1,
                ..good()
            }
            .check(100)
            .is_err()
        );
        assert!(Findings { marks: 1, ..good() }.check(100).is_err());
    }
}
