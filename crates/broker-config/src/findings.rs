//! Collects the diagnostics about the files while they are read.

use crate::config::{Config, Unsupported};
use crate::diagnostic::{Concern, Diagnostic, Related, Report, Severity};
use crate::source::Source;

/// The most diagnostics in a report. A person reads a few dozen. A file of the wrong kind could cause one for every few
/// bytes.
pub(crate) const MAX_DIAGNOSTICS: usize = 100;

/// A range of bytes in one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// The file's number, in the order of reading.
    pub(crate) file: usize,
    /// The first byte.
    pub(crate) start: usize,
    /// After the last byte.
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(file: usize, start: usize, end: usize) -> Self {
        Self { file, start, end }
    }

    /// The whole file, for a diagnostic without a place in it.
    pub(crate) fn file(file: usize) -> Self {
        Self::new(file, 0, 0)
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// What has to change in a file so that a finding goes away without a change of what the file means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Remove the attribute or the element at the finding's place.
    Remove,
    /// Remove the element at the finding's place, also if that is one of its attributes.
    RemoveElement,
    /// Remove the element at this place.
    RemoveAt(Span),
    /// Write this value.
    Replace(String),
}

/// A diagnostic without its line and column.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    severity: Severity,
    remedy: Option<Remedy>,
    concern: Concern,
    span: Span,
    message: String,
    help: Option<String>,
    related: Option<(Span, String)>,
}

impl Finding {
    /// Adds what to do.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place that explains the first.
    pub(crate) fn related(&mut self, span: Span, message: impl Into<String>) -> &mut Self {
        self.related = Some((span, message.into()));
        self
    }

    /// Sets what makes it go away. Without this, what has no effect is removed, and a warning stays.
    pub(crate) fn remedy(&mut self, remedy: Remedy) -> &mut Self {
        self.remedy = Some(remedy);
        self
    }

    /// Marks it as a diagnostic about who can change the file.
    pub(crate) fn about_access(&mut self) -> &mut Self {
        self.concern = Concern::Access;
        self
    }
}

/// All findings so far. The size of the files bounds their number.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    /// The newest, to which the caller can still add.
    latest: Option<Finding>,
    /// The number of errors.
    errors: usize,
}

impl Findings {
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Error, span, message.into())
    }

    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Warning, span, message.into())
    }

    pub(crate) fn note(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Note, span, message.into())
    }

    pub(crate) fn unsupported(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Unsupported, span, message.into())
    }

    /// The number of errors.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Adds the findings of another collection.
    pub(crate) fn append(&mut self, other: Self) {
        self.errors += other.errors;
        self.list.extend(self.latest.take());
        self.list.extend(other.list.into_iter().chain(other.latest));
    }

    /// Turns errors into warnings and drops all other findings, for a file that is not used.
    pub(crate) fn demote(&mut self) {
        self.list.extend(self.latest.take());
        self.list
            .retain(|finding| finding.severity == Severity::Error);
        self.list
            .iter_mut()
            .for_each(|finding| finding.severity = Severity::Warning);
        self.errors = 0;
    }

    /// The settings that this version does not support yet.
    pub(crate) fn unsupported_list(&self, sources: &[Source]) -> Vec<Unsupported> {
        self.list
            .iter()
            .chain(&self.latest)
            .filter(|finding| finding.severity == Severity::Unsupported)
            .filter_map(|finding| {
                let position = sources.get(finding.span.file)?.position(finding.span.start);
                Some(Unsupported {
                    position,
                    message: finding.message.clone(),
                })
            })
            .collect()
    }

    /// The findings that a change of the file makes go away: their places, remedies and messages.
    pub(crate) fn remedies(&self) -> impl Iterator<Item = (Span, &Remedy, &str)> {
        let all = self.list.iter().chain(&self.latest);
        all.filter_map(|it| Some((it.span, it.remedy.as_ref()?, it.message.as_str())))
    }

    /// The warnings that only a person can deal with: their places and messages.
    pub(crate) fn without_remedy(&self) -> impl Iterator<Item = (Span, &str)> {
        let all = self.list.iter().chain(&self.latest);
        all.filter(|it| it.remedy.is_none() && it.severity == Severity::Warning)
            .map(|it| (it.span, it.message.as_str()))
    }

    /// The messages as plain text, each with its remedy, if there is no file to show.
    pub(crate) fn into_sentences(mut self) -> Vec<(Severity, String)> {
        self.list.extend(self.latest.take());
        let sentence = |finding: Finding| match finding.help {
            Some(help) => format!("{}: {help}", finding.message),
            None => finding.message,
        };
        self.list
            .into_iter()
            .map(|finding| (finding.severity, sentence(finding)))
            .collect()
    }

    /// The report about these files.
    pub(crate) fn into_report(self, sources: &[Source], config: Option<Config>) -> Report {
        Report {
            diagnostics: self.into_diagnostics(sources),
            config,
            shown: sources.iter().map(Source::masked).collect(),
        }
    }

    /// The diagnostics in the order of the files' lines. Above [`MAX_DIAGNOSTICS`] the least severe are left out, and
    /// the last diagnostic reports their number.
    fn into_diagnostics(mut self, sources: &[Source]) -> Vec<Diagnostic> {
        self.list.extend(self.latest.take());
        let excess = self.list.len().saturating_sub(MAX_DIAGNOSTICS);
        if excess > 0 {
            self.list
                .sort_by_key(|finding| (finding.severity, finding.span));
            self.list.truncate(MAX_DIAGNOSTICS);
        }
        self.list.sort_by_key(|finding| finding.span);
        let file = self.list.last().map_or(0, |finding| finding.span.file);
        if excess > 0 {
            self.note(
                Span::file(file),
                format!("{excess} more messages are not shown"),
            );
        }
        let all = self.list.into_iter().chain(self.latest);
        all.filter_map(|finding| diagnostic(finding, sources))
            .collect()
    }

    fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Finding {
        self.errors += usize::from(severity == Severity::Error);
        self.list.extend(self.latest.take());
        self.latest.insert(Finding {
            severity,
            remedy: matches!(severity, Severity::Unsupported | Severity::Note)
                .then_some(Remedy::Remove),
            concern: Concern::Content,
            span,
            message,
            help: None,
            related: None,
        })
    }
}

/// The finding with its line and column.
fn diagnostic(finding: Finding, sources: &[Source]) -> Option<Diagnostic> {
    let source = sources.get(finding.span.file)?;
    let (line, column) = place(source, finding.span);
    let related = finding.related.and_then(|(span, message)| {
        let source = sources.get(span.file)?;
        let (line, column) = place(source, span);
        let file = source.path.clone();
        Some(Related {
            file,
            line,
            column,
            span: span.start..span.end,
            message,
        })
    });
    Some(Diagnostic {
        severity: finding.severity,
        concern: finding.concern,
        file: source.path.clone(),
        line,
        column,
        span: finding.span.start..finding.span.end,
        message: finding.message,
        help: finding.help,
        related,
    })
}

/// The line and column of a span; both 0 for the whole file.
fn place(source: &Source, span: Span) -> (usize, usize) {
    if span == Span::file(span.file) {
        (0, 0)
    } else {
        source.line_column(span.start)
    }
}
