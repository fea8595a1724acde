//! Where in a configuration file something was written.

use std::fmt;
use std::path::PathBuf;

/// A place in a configuration file.
///
/// All positions are equal to each other: they say where a thing was written, never what it means.
#[derive(Clone, Default)]
pub struct Position {
    /// The file; empty for what no file defines.
    pub file: PathBuf,
    /// Counted from 1; 0 for what no file defines.
    pub line: usize,
    /// In characters, counted from 1; 0 for what no file defines.
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
