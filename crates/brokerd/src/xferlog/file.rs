//! One xferlog file: a line for each transfer, and what happens while the file cannot be written.

use std::io::{self, Write};

use tracing::{info, warn};

/// An open xferlog.
#[derive(Debug)]
pub(super) struct Xferlog<W> {
    name: String,
    writer: W,
    /// Transfers left out since the file could last be written.
    left_out: u64,
    /// Whether the file ends with a part of a line.
    torn: bool,
}

impl<W: Write> Xferlog<W> {
    pub(super) fn new(name: String, writer: W) -> Self {
        Self {
            name,
            writer,
            left_out: 0,
            torn: false,
        }
    }

    /// Writes a line, or leaves it out. The log tells the first time, and when the file can be written again.
    pub(super) fn write(&mut self, line: &str) {
        let written = self.try_write(line);
        let file = &self.name;
        match written {
            Ok(()) if self.left_out > 0 => {
                let left_out = std::mem::take(&mut self.left_out);
                info!(%file, left_out, "the xferlog can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                if self.left_out == 0 {
                    warn!(%file, %error, "cannot write the xferlog: transfers are left out until that works again");
                }
                self.left_out += 1;
            }
        }
    }

    /// # Errors
    /// The line is not in the file, or only a part of it.
    fn try_write(&mut self, line: &str) -> io::Result<()> {
        // The rest of a torn line is lost. Its end keeps the next one apart.
        let text = match self.torn {
            true => format!("\n{line}"),
            false => line.to_owned(),
        };
        let written = self.writer.write(text.as_bytes())?;
        if written < text.len() {
            self.torn |= written > 0;
            return Err(io::Error::other("it took only a part of a line"));
        }
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has room for so many bytes.
    struct Disk {
        room: usize,
        kept: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.kept.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_transfers_out_and_tears_no_later_line() {
        let disk = Disk {
            room: 6,
            kept: Vec::new(),
        };
        let mut log = Xferlog::new("x".to_owned(), disk);
        for line in ["one\n", "two\n", "three\n"] {
            log.write(line);
        }
        assert_eq!(log.left_out, 2);
        log.writer.room = 100;
        log.write("four\n");
        log.write("five\n");
        assert_eq!(log.left_out, 0);
        let text = String::from_utf8(log.writer.kept).unwrap();
        assert_eq!(text, "one\ntw\nfour\nfive\n");
    }
}
