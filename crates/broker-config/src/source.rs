//! A configuration file's text, and positions in it.

use std::ops::Range;
use std::path::PathBuf;

use crate::access::Exposure;
use crate::mask::mask;
use crate::position::Position;

/// The longest excerpt of a file.
const MAX_EXCERPT: usize = 16 * 1024;

/// Whole lines of a file.
pub(crate) struct Excerpt<'a> {
    pub(crate) text: &'a str,
    /// The number of the first, counted from 1.
    pub(crate) line: usize,
    /// The offset of the first in the file.
    pub(crate) start: usize,
}

/// One file's text, without a byte order mark.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The path as the user wrote it.
    pub(crate) path: PathBuf,
    /// The text. For a file that is not UTF-8, the text with replacements.
    pub(crate) text: String,
    /// Whether users other than the owner can read or write the file.
    pub(crate) open_to_others: bool,
    /// Why another user can change the file.
    pub(crate) exposure: Option<Exposure>,
    /// The offsets of the lines.
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

    /// The line and column of a byte, both counted from 1, the column in characters.
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

    /// The lines that contain these bytes, unless they are too long to show.
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

    /// The position of a byte.
    pub(crate) fn position(&self, at: usize) -> Position {
        let (line, column) = self.line_column(at);
        Position {
            file: self.path.clone(),
            line,
            column,
        }
    }

    /// The same text with masked passwords, for showing. Bytes keep their places.
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
