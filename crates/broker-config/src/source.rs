//! A configuration file's text, and what stands where in it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use file_access::{Readers, is_open_to_others};

use crate::access::{Exposure, exposure};
use crate::config::Position;
use crate::findings::{Findings, Span};
use crate::mask::mask;

/// The largest file that is read. Real ones are a few kilobytes; the bound keeps a wrong path, such
/// as that of a device or a log, from filling the memory.
pub(crate) const MAX_FILE_SIZE: usize = 1024 * 1024;

/// The longest piece of a file that is shown at once.
const MAX_EXCERPT: usize = 16 * 1024;

/// Whole lines of a file.
pub(crate) struct Excerpt<'a> {
    pub(crate) text: &'a str,
    /// The number of the first, counted from 1.
    pub(crate) line: usize,
    /// Where the first begins in the file.
    pub(crate) start: usize,
}

/// One file's text, without a byte order mark.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As the user named it.
    pub(crate) path: PathBuf,
    /// The text; of a file that is not UTF-8, what can be shown of it.
    pub(crate) text: String,
    /// Whether users other than the owner can read or write the file.
    pub(crate) open_to_others: bool,
    /// What lets somebody else change the file.
    pub(crate) exposure: Option<Exposure>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(breaks.map(|(at, _)| at + 1))
            .collect();
        Self {
            path,
            text,
            open_to_others: false,
            exposure: None,
            lines,
        }
    }

    /// Line and column, in characters, of a byte; both counted from 1.
    pub(crate) fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..at)
            .map_or(0, |before| before.chars().count())
            + 1;
        (line, column)
    }

    /// The lines that these bytes stand in, unless they are too long to show.
    pub(crate) fn excerpt(&self, span: Range<usize>) -> Option<Excerpt<'_>> {
        let (line, _) = self.line_column(span.start);
        let start = self.lines.get(line - 1).copied()?;
        let after = self.lines.partition_point(|start| *start < span.end);
        let end = self
            .lines
            .get(after)
            .copied()
            .unwrap_or(self.text.len())
            .max(start);
        let text = self
            .text
            .get(start..end)
            .filter(|text| text.len() <= MAX_EXCERPT)?;
        Some(Excerpt { text, line, start })
    }

    /// The place of a byte.
    pub(crate) fn position(&self, at: usize) -> Position {
        let (line, column) = self.line_column(at);
        Position {
            file: self.path.clone(),
            line,
            column,
        }
    }

    /// The same text with passwords written over, for showing. Bytes keep their places.
    pub(crate) fn masked(&self) -> Self {
        Self {
            path: self.path.clone(),
            text: mask(&self.text),
            open_to_others: self.open_to_others,
            exposure: self.exposure.clone(),
            lines: self.lines.clone(),
        }
    }
}

/// Reads the file as source number `file`. A missing one gives `None` without a word if `optional`;
/// every other failure is an error among the findings. What was read is returned even when it is
/// not UTF-8, so that it can be shown; `Findings::has_errors` tells.
pub(crate) fn read(
    path: &Path,
    file: usize,
    optional: bool,
    findings: &mut Findings,
) -> Option<Source> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_SIZE).unwrap_or(u64::MAX) + 1;
    let mut open_to_others = false;
    let mut exposed = None;
    let read = open(path).and_then(|(opened, metadata)| {
        open_to_others = is_open_to_others(&metadata, Readers::None);
        exposed = exposure(path, &metadata);
        opened.take(limit).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => {}
        Err(error) if optional && error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            findings
                .error(
                    Span::file(file),
                    format!("cannot read {}: {error}", path.display()),
                )
                .help("check the path and that the user running this program may read the file");
            return Some(Source::new(path.to_owned(), String::new()));
        }
    }
    if bytes.len() > MAX_FILE_SIZE {
        findings
            .error(
                Span::file(file),
                format!("{} is larger than {MAX_FILE_SIZE} bytes", path.display()),
            )
            .help("this cannot be a broker configuration: check the path");
        return Some(Source::new(path.to_owned(), String::new()));
    }
    let source = Source::new(path.to_owned(), decode(bytes, file, findings));
    Some(Source {
        open_to_others,
        exposure: exposed,
        ..source
    })
}

/// Opens a regular file. Nothing else is waited for: the other end of a pipe may never come.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let opened = options.open(path)?;
    let metadata = opened.metadata()?;
    if metadata.is_file() {
        Ok((opened, metadata))
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// The bytes as text without a byte order mark; complains where they are not UTF-8.
fn decode(bytes: Vec<u8>, file: usize, findings: &mut Findings) -> String {
    const MARK: char = '\u{feff}';
    let text = String::from_utf8(bytes).unwrap_or_else(|error| {
        let mark = if error.as_bytes().starts_with(b"\xef\xbb\xbf") {
            MARK.len_utf8()
        } else {
            0
        };
        let at = error.utf8_error().valid_up_to().saturating_sub(mark);
        findings
            .error(
                Span::new(file, at, at + 1),
                "the file is not UTF-8 text from here on",
            )
            .help("save the file in the UTF-8 encoding");
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    });
    match text.strip_prefix(MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_columns_in_characters() {
        let source = Source::new("f".into(), "ab\näöx\n".to_owned());
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(3), (2, 1));
        assert_eq!(source.line_column(7), (2, 3));
        assert_eq!(source.line_column(9), (3, 1));
    }
}
