//! Positions in configuration files.

use std::fmt;
use std::path::PathBuf;

/// A place in a configuration file.
///
/// All positions are equal to each other, since a position does not change what a configuration means.
#[derive(Clone, Default)]
pub struct Position {
    /// The file; empty if no file defines the item.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if no file defines the item.
    pub line: usize,
    /// The column in characters, counted from 1; 0 if no file defines the item.
    pub column: usize,
}

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
