//! What is to be said about a configuration, and how it is shown.

use std::ops::Range;
use std::path::PathBuf;

use crate::config::Config;
use crate::source::Source;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// A person should look, but the configuration can be used.
    Warning,
    /// The file asks for something that this version cannot do yet.
    Unsupported,
    /// The file says something that is known and has no effect.
    Note,
}

/// What a diagnostic is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// What the file says.
    Content,
    /// Who can change what it says.
    Access,
}

/// One thing to say about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub concern: Concern,
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; 0 when the whole file is meant, as when it cannot be read.
    pub line: usize,
    /// In characters, counted from 1; 0 when the whole file is meant.
    pub column: usize,
    /// The bytes meant, counted from the file's start.
    pub span: Range<usize>,
    /// What is wrong, with what.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Another place that explains this one.
    pub related: Option<Related>,
}

/// A second place that a diagnostic refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The bytes meant, counted from the file's start.
    pub span: Range<usize>,
    /// What stands there.
    pub message: String,
}

/// The outcome of reading configuration files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything there is to say, in the order of the files' lines.
    pub diagnostics: Vec<Diagnostic>,
    /// What the files mean; `None` when any diagnostic is an error.
    pub config: Option<Config>,
    /// The files as they may be shown.
    pub(crate) shown: Vec<Source>,
}

impl Report {
    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}
