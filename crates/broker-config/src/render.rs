//! Diagnostics as text: message, place, the line underlined, and what to do.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Report, Severity};
use crate::source::{Excerpt, Source};

/// Lines of a file with marked places.
type Lines<'a> = Snippet<'a, Annotation<'a>>;

impl Report {
    /// The diagnostics as text for a person, each with its line; empty if there are none.
    ///
    /// With `color`, the text contains terminal escape sequences.
    pub fn render(&self, color: bool) -> String {
        render(&self.diagnostics, &self.shown, color)
    }
}

/// All diagnostics, with an empty line between two of them and a line break at the end.
fn render(diagnostics: &[Diagnostic], shown: &[Source], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let parts: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| renderer.render(&[group(diagnostic, shown)]) + "\n")
        .collect();
    parts.join("\n")
}

fn group<'a>(diagnostic: &'a Diagnostic, shown: &'a [Source]) -> Group<'a> {
    let title = level(diagnostic.severity).primary_title(diagnostic.message.as_str());
    let snippets = snippets(diagnostic, shown);
    let group = if snippets.is_empty() {
        title.element(origin(diagnostic))
    } else {
        title.elements(snippets)
    };
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// The place alone, if no line can be shown.
fn origin(diagnostic: &Diagnostic) -> Origin<'_> {
    let origin = Origin::path(diagnostic.file.display().to_string());
    match diagnostic.line {
        0 => origin,
        line => origin.line(line).char_column(diagnostic.column),
    }
}
/// The lines of the diagnostic and of its related place: together if they are close, otherwise separate. None if the
/// lines are too long to show.
fn snippets<'a>(diagnostic: &'a Diagnostic, shown: &'a [Source]) -> Vec<Lines<'a>> {
    let find = |file: &Path| shown.iter().find(|source| source.path == file);
    let primary = (&diagnostic.span, AnnotationKind::Primary, "");
    let Some(source) = find(&diagnostic.file).filter(|_| diagnostic.line > 0) else {
        return Vec::new();
    };
    let Some(related) = &diagnostic.related else {
        return snippet(source, &[primary]).into_iter().collect();
    };
    let context = (
        &related.span,
        AnnotationKind::Context,
        related.message.as_str(),
    );
    if related.file == diagnostic.file
        && let Some(together) = snippet(source, &[primary, context])
    {
        return vec![together];
    }
    let apart = find(&related.file).and_then(|source| snippet(source, &[context]));
    snippet(source, &[primary])
        .into_iter()
        .chain(apart)
        .collect()
}

/// The lines of all these places, with marks and labels.
fn snippet<'a>(
    source: &'a Source,
    places: &[(&Range<usize>, AnnotationKind, &'a str)],
) -> Option<Lines<'a>> {
    let start = places.iter().map(|(span, ..)| span.start).min()?;
    let end = places.iter().map(|(span, ..)| span.end).max()?;
    let excerpt = source.excerpt(start..end)?;
    let annotations = places.iter().map(|(span, kind, label)| {
        let annotation = kind.span(visible(span, &excerpt));
        if label.is_empty() {
            annotation
        } else {
            annotation.label(*label)
        }
    });
    let lines = Snippet::source(excerpt.text)
        .path(source.path.display().to_string())
        .line_start(excerpt.line);
    Some(annotations.fold(lines, Snippet::annotation))
}

/// The span within the excerpt, at character boundaries, as the renderer requires.
fn visible(span: &Range<usize>, excerpt: &Excerpt<'_>) -> Range<usize> {
    let edge = |at: usize| {
        let at = at.saturating_sub(excerpt.start).min(excerpt.text.len());
        (0..=at)
            .rev()
            .find(|at| excerpt.text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    edge(span.start)..edge(span.end.max(span.start))
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning | Severity::Unsupported => Level::WARNING,
        Severity::Note => Level::NOTE,
    }
}
