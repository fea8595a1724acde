//! Lines that a server sends before its version (RFC 4253 section 4.2), such as a notice or the output of a wrapper that
//! starts the server. The SSH library accepts few of them, so this removes them from the stream.

use std::io;

/// More lines than any notice has; OpenSSH's client accepts as many.
const MAX_LINES: usize = 1024;

/// The limit of all lines together, and so of each.
const MAX_BYTES: usize = 64 << 10;

/// How much of the lines a message may show.
const MAX_KEPT: usize = 256;

/// The start of a version line.
const VERSION: &[u8] = b"SSH-";

/// Collects lines until the version line has come.
#[derive(Debug, Default)]
pub(crate) struct Preamble {
    /// The start of a line that may be the version line.
    held: Vec<u8>,
    lines: usize,
    bytes: usize,
    kept: Vec<u8>,
}

impl Preamble {
    /// Takes received data. Returns everything from the version on, once it has come.
    ///
    /// # Errors
    /// `InvalidData` if too much came before it.
    pub(crate) fn take(&mut self, data: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.held.extend_from_slice(data);
        loop {
            if self.held.starts_with(VERSION) {
                return Ok(Some(std::mem::take(&mut self.held)));
            }
            let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
                return self.bounded(self.held.len()).map(|()| None);
            };
            self.pass_by(end + 1)?;
        }
    }

    /// What came before the version, or its beginning.
    pub(crate) fn text(&self) -> String {
        let line = self.held.iter().take(MAX_KEPT).copied();
        let all: Vec<u8> = self.kept.iter().copied().chain(line).collect();
        String::from_utf8_lossy(&all).trim().to_owned()
    }

    fn pass_by(&mut self, length: usize) -> io::Result<()> {
        let line: Vec<u8> = self.held.drain(..length).collect();
        let room = MAX_KEPT.saturating_sub(self.kept.len());
        self.kept.extend(line.iter().take(room));
        self.lines += 1;
        self.bytes += length;
        self.bounded(0)
    }

    fn bounded(&self, more: usize) -> io::Result<()> {
        if self.lines > MAX_LINES || self.bytes + more > MAX_BYTES {
            let text = "the data contains no SSH version";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8] = b"SSH-2.0-test\r\nmore";

    /// The result is the same however the data is split.
    #[track_caller]
    fn check(before: &[u8]) {
        let all = [before, ID].concat();
        for size in [1, 2, 3, 7, 100, all.len()] {
            let (mut preamble, mut passed) = (Preamble::default(), None::<Vec<u8>>);
            for piece in all.chunks(size) {
                match &mut passed {
                    Some(passed) => passed.extend_from_slice(piece),
                    None => passed = preamble.take(piece).unwrap(),
                }
            }
            assert_eq!(passed.as_deref(), Some(ID), "in pieces of {size}");
        }
    }

    #[test]
    fn lines_before_the_version_are_passed_by() {
        check(b"");
        check(b"\n");
        check(b"\r\n\r\n");
        check(b"*** hello ***\n\n");
        check(b"SSH\nSS\nnot SSH-2.0\r\n");
        check(&b"a line of the notice\r\n".repeat(30));
        check(&[&[b'x'; 9000][..], b"\r\n"].concat());
    }

    #[test]
    fn not_everything_is_taken() {
        let lines = b"x\n".repeat(MAX_LINES + 1);
        assert!(Preamble::default().take(&lines).is_err());
        let line = vec![b'x'; MAX_BYTES + 1];
        assert!(Preamble::default().take(&line).is_err());
        let most = b"x\n".repeat(MAX_LINES);
        assert!(Preamble::default().take(&most).unwrap().is_none());
    }

    #[test]
    fn what_came_is_told_and_is_not_long() {
        let mut preamble = Preamble::default();
        assert!(preamble.take(b"220 ftp\r\nready").unwrap().is_none());
        assert_eq!(preamble.text(), "220 ftp\r\nready");
        assert!(preamble.take(&[b'x'; 5000]).unwrap().is_none());
        assert!(preamble.text().len() <= 2 * MAX_KEPT);
    }
}
