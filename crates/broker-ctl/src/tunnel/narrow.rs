//! Standard error, as a terminal that is a little narrower than it is. The terminal shows a typed Ctrl-C as two more
//! characters behind the last line. In a full line they would begin another one, and the changing line would stay.

use std::io::{self, Write};

use indicatif::TermLike;

use crate::output::columns;

/// The columns that stay free.
const FREE: u16 = 2;

/// The width of a terminal that does not tell it.
const USUAL: u16 = 80;

#[derive(Debug)]
pub(super) struct Narrow;

impl Narrow {
    fn escape(count: usize, to: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            _ => write!(io::stderr(), "\x1b[{count}{to}"),
        }
    }
}

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        let columns = columns(&io::stderr()).and_then(|columns| u16::try_from(columns).ok());
        columns.unwrap_or(USUAL).saturating_sub(FREE).max(1)
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        Self::escape(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        Self::escape(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        Self::escape(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        Self::escape(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{text}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        write!(io::stderr(), "\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
