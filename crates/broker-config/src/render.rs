//! Diagnostics as text: message, place, the line underlined, and what to do.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Related, Severity};
use crate::source::Source;

/// All diagnostics, with an empty line between two of them and a line break at the end.
pub(crate) fn render(diagnostics: &[Diagnostic], shown: &[Source], color: bool) -> String {
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
    let file = diagnostic.file.display().to_string();
    let title = level(diagnostic.severity).primary_title(diagnostic.message.as_str());
    let source = shown.iter().find(|source| source.path == diagnostic.file);
    let group = match source.filter(|_| diagnostic.line > 0) {
        None => title.element(Origin::path(file)),
        Some(source) => with_snippets(title, diagnostic, source, shown),
    };
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// The lines meant, and those of the related place.
fn with_snippets<'a>(
    title: annotate_snippets::Title<'a>,
    diagnostic: &'a Diagnostic,
    source: &'a Source,
    shown: &'a [Source],
) -> Group<'a> {
    let primary = AnnotationKind::Primary.span(visible(&diagnostic.span, source));
    let snippet = snippet(source).annotation(primary);
    let Some(related) = &diagnostic.related else {
        return title.element(snippet);
    };
    let place = |source: &Source| {
        AnnotationKind::Context
            .span(visible(&related.span, source))
            .label(related.message.as_str())
    };
    if related.file == diagnostic.file {
        return title.element(snippet.annotation(place(source)));
    }
    let group = title.element(snippet);
    match other(related, shown) {
        Some(source) => group.element(self::snippet(source).annotation(place(source))),
        None => group,
    }
}

fn other<'a>(related: &Related, shown: &'a [Source]) -> Option<&'a Source> {
    shown.iter().find(|source| source.path == related.file)
}

fn snippet<'a, A: Clone>(source: &'a Source) -> Snippet<'a, A> {
    Snippet::source(source.text.as_str()).path(source.path.display().to_string())
}

/// The span within the text and at the edges of characters, as the renderer demands it.
fn visible(span: &Range<usize>, source: &Source) -> Range<usize> {
    let edge = |at: usize| {
        let at = at.min(source.text.len());
        (0..=at)
            .rev()
            .find(|at| source.text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    edge(span.start)..edge(span.end.max(span.start))
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Unsupported => Level::WARNING.with_name("not yet supported"),
        Severity::Note => Level::NOTE,
    }
}
