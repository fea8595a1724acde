//! Diagnostics about a configuration, and the report that shows them.

use std::ops::Range;
use std::path::PathBuf;

use crate::config::Config;
use crate::position::Position;
use crate::source::Source;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The daemon cannot use the configuration.
    Error,
    /// A person should check this, but the daemon can use the configuration.
    Warning,
    /// This version does not support the setting yet.
    Unsupported,
    /// The setting is known, and has no effect.
    Note,
}

/// The subject of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The contents of the file.
    Content,
    /// Who can change the file.
    Access,
}

/// A message about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its severity.
    pub severity: Severity,
    /// Its subject.
    pub concern: Concern,
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if the diagnostic is about the whole file, such as an unreadable one.
    pub line: usize,
    /// The column in characters, counted from 1; 0 if the diagnostic is about the whole file.
    pub column: usize,
    /// The bytes meant, counted from the file's start.
    pub span: Range<usize>,
    /// What is wrong, and on what.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Another place that explains this one.
    pub related: Option<Related>,
}

/// A second place that explains a diagnostic.
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
    /// A label for the place.
    pub message: String,
}

/// The result of reading configuration files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All diagnostics, in the order of the files' lines.
    pub diagnostics: Vec<Diagnostic>,
    /// The configuration; `None` if any diagnostic is an error.
    pub config: Option<Config>,
    /// The files in a form that can be shown, without passwords.
    pub(crate) shown: Vec<Source>,
}

impl Report {
    /// Adds a warning about the element at this place of a file, from somebody who has looked at what it names.
    pub fn warn(&mut self, at: &Position, message: String, help: String) {
        let source = self.shown.iter().find(|source| source.path == at.file);
        let span = source.and_then(|source| element(&source.text, at));
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            concern: Concern::Content,
            file: match source {
                Some(source) => source.path.clone(),
                None => self
                    .shown
                    .last()
                    .map(|it| it.path.clone())
                    .unwrap_or_default(),
            },
            line: span.as_ref().map_or(0, |_| at.line),
            column: span.as_ref().map_or(0, |_| at.column),
            span: span.unwrap_or_default(),
            message,
            help: Some(help).filter(|help| !help.is_empty()),
            related: None,
        });
    }

    /// Whether any diagnostic is an error, so the daemon cannot use the configuration.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// The bytes of the tag's name that begins at this place.
fn element(text: &str, at: &Position) -> Option<Range<usize>> {
    let before = text.split_inclusive('\n').take(at.line.checked_sub(1)?);
    let line_at: usize = before.map(str::len).sum();
    let line = text.get(line_at..)?;
    let (in_line, _) = line.char_indices().nth(at.column.checked_sub(1)?)?;
    let start = line_at + in_line;
    let name = text.get(start..)?;
    let length = name
        .find(|c: char| c.is_whitespace() || c == '>')
        .unwrap_or(name.len());
    Some(start..start + length)
}
