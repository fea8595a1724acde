//! The structural pass: XML text to a tree, up to the first fault of structure.
//!
//! quick-xml finds the tags. This module decides what is well-formed, because quick-xml neither requires one root nor
//! reports where an endless tag begins. The meaning of the text after a fault of structure is unknown, so the first
//! fault ends the pass.

use quick_xml::Reader;
use quick_xml::escape::{unescape, unescape_with};
use quick_xml::events::Event;

use crate::entities::{self, Entities};
use crate::findings::{Findings, Span};
use crate::suggest::clip;
use crate::tag;
use crate::tree::Element;

/// The deepest nesting. The format needs six levels; the bound keeps recursion shallow.
pub(crate) const MAX_DEPTH: usize = 32;

/// Reads the text into a tree; `None`, with an error, if its structure is invalid.
pub(crate) fn parse(file: usize, text: &str, findings: &mut Findings) -> Option<Element> {
    let mut pass = Pass {
        file,
        text,
        findings,
        entities: Entities::default(),
        comments: Vec::new(),
        open: Vec::new(),
        root: None,
    };
    pass.run()?;
    pass.finish()
}

struct Pass<'a> {
    file: usize,
    text: &'a str,
    findings: &'a mut Findings,
    /// Those that the document type declares.
    entities: Entities,
    /// The comments since the last tag.
    comments: Vec<String>,
    /// The open elements, outermost first.
    open: Vec<Element>,
    root: Option<Element>,
}

/// Each method returns `None` after a fault.
impl Pass<'_> {
    fn run(&mut self) -> Option<()> {
        let mut reader = Reader::from_str(self.text);
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        loop {
            let start = offset(reader.buffer_position());
            let event = reader.read_event();
            let end = offset(reader.buffer_position());
            match event {
                Ok(Event::Eof) => return Some(()),
                Ok(event) => self.event(&event, start, end)?,
                Err(error) => return self.unreadable(&error, offset(reader.error_position())),
            }
        }
    }

    fn event(&mut self, event: &Event<'_>, start: usize, end: usize) -> Option<()> {
        match event {
            Event::Start(_) => self.open(start, end),
            Event::Empty(_) => {
                self.open(start, end)?;
                self.close();
                Some(())
            }
            Event::End(tag) => self.end_tag(tag.name().as_ref(), start, end),
            Event::Text(text) => self.characters(text, start, end),
            Event::CData(text) => self.characters(text, start, end),
            Event::GeneralRef(_) => self.reference(start, end),
            Event::DocType(_) => self.document_type(start, end),
            Event::Comment(comment) => {
                self.comments.push(comment.trim().to_owned());
                Some(())
            }
            Event::Decl(_) | Event::PI(_) | Event::Eof => Some(()),
        }
    }

    fn open(&mut self, start: usize, end: usize) -> Option<()> {
        let mut element = tag::read(
            self.file,
            self.text,
            start..end,
            &self.entities,
            self.findings,
        )?;
        element.comments = std::mem::take(&mut self.comments);
        let span = element.span;
        if self.open.len() >= MAX_DEPTH {
            let message = format!("elements are nested more than {MAX_DEPTH} deep");
            self.findings.error(span, message);
            return None;
        }
        if let (true, Some(root)) = (self.open.is_empty(), &self.root) {
            let message = "a file has one outermost element, and this is a second one";
            self.findings
                .error(span, message)
                .related(root.span, "the first one")
                .help("move its content into the first one");
            return None;
        }
        self.open.push(element);
        Some(())
    }

    fn end_tag(&mut self, name: &str, start: usize, end: usize) -> Option<()> {
        let span = self.span(start, end);
        let Some(innermost) = self.open.last() else {
            let message = format!("`</{}>` ends an element that never began", clip(name));
            self.findings.error(span, message);
            return None;
        };
        if innermost.name == name {
            self.close();
            return Some(());
        }
        let (inner, begun) = (clip(&innermost.name), innermost.span);
        if self.open.iter().any(|element| element.name == name) {
            self.findings
                .error(begun, format!("`<{inner}>` is not closed"))
                .related(span, format!("`</{inner}>` must come before this"))
                .help(format!(
                    "write `</{inner}>`, or `<{inner} …/>` if it has no content"
                ));
        } else {
            let message = format!(
                "`</{}>` does not end `<{inner}>`, which is open here",
                clip(name)
            );
            self.findings
                .error(span, message)
                .related(begun, "began here")
                .help(format!("write `</{inner}>`, or remove this"));
        }
        None
    }

    fn characters(&mut self, text: &str, start: usize, end: usize) -> Option<()> {
        let meaningful = text.trim();
        if meaningful.is_empty() {
            return Some(());
        }
        let skipped = self
            .text
            .get(start..end)
            .and_then(|raw| raw.find(meaningful))
            .unwrap_or(0);
        let span = self.span(start + skipped, start + skipped + meaningful.len());
        let Some(element) = self.open.last_mut() else {
            return self.stray_text(span);
        };
        element.text.push_str(text);
        element.text_span.get_or_insert(span).end = span.end;
        Some(())
    }

    /// Text around the root element.
    fn stray_text(&mut self, span: Span) -> Option<()> {
        let place = if self.root.is_some() {
            "after"
        } else {
            "before"
        };
        let line_end = self.text.get(span.start..).and_then(|rest| rest.find('\n'));
        let end = line_end.map_or(span.end, |length| span.end.min(span.start + length));
        self.findings
            .error(
                self.span(span.start, end),
                format!("text is not allowed {place} the outermost element"),
            )
            .help("remove it, or make it a comment: `<!-- … -->`");
        None
    }

    /// `&name;` or `&#number;` in text.
    fn reference(&mut self, start: usize, end: usize) -> Option<()> {
        let span = self.span(start, end);
        let raw = self.text.get(start..end).unwrap_or_default();
        let Some(text) = self.replacement(raw) else {
            let unknown = || format!("`{}` is not a known character", clip(raw));
            let message = self.entities.fault().unwrap_or_else(unknown);
            self.findings.error(span, message).help(tag::ENTITY_HELP);
            return None;
        };
        let Some(element) = self.open.last_mut() else {
            return self.stray_text(span);
        };
        element.text.push_str(&text);
        element.text_span.get_or_insert(span).end = end;
        Some(())
    }

    /// The text for a reference.
    fn replacement(&self, reference: &str) -> Option<String> {
        let resolve = |name: &str| self.entities.text(name);
        let text = unescape_with(reference, resolve).ok()?;
        // An entity of the file can contain characters by name or number.
        let is_own = !reference.starts_with("&#") && text.contains('&') && text != "&";
        Some(if is_own {
            unescape(&text).ok()?.into_owned()
        } else {
            text.into_owned()
        })
    }

    fn document_type(&mut self, start: usize, end: usize) -> Option<()> {
        self.entities = entities::read(self.file, self.text, start..end, self.findings)?;
        Some(())
    }

    /// Markup for which quick-xml found no end.
    fn unreadable(&mut self, error: &quick_xml::Error, at: usize) -> Option<()> {
        let rest = self.text.get(at..).unwrap_or_default();
        if tag::report_unclosed(self.file, rest, at, self.findings) {
            return None;
        }
        let line = rest.lines().next().unwrap_or_default().trim_end();
        let (message, help) = explain(rest, error);
        self.findings
            .error(self.span(at, at + line.len()), message)
            .help(help);
        None
    }

    /// Moves the innermost open element into its parent.
    fn close(&mut self) {
        self.comments.clear();
        let Some(element) = self.open.pop() else {
            return;
        };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    /// The end of the file.
    fn finish(self) -> Option<Element> {
        if let Some(innermost) = self.open.last() {
            let (name, span) = (innermost.name.clone(), innermost.span);
            let missing: String = self
                .open
                .iter()
                .rev()
                .map(|element| format!("</{}>", clip(&element.name)))
                .collect();
            self.findings
                .error(
                    span,
                    format!("`<{}>` is not closed before the file ends", clip(&name)),
                )
                .help(format!("add `{missing}` at the end"));
            return None;
        }
        if self.root.is_none() {
            self.findings
                .error(Span::file(self.file), "the file has no content")
                .help(r#"the outermost element is `<secsh-broker version="1.0">`"#);
        }
        self.root
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }
}

/// Kinds of markup: the beginning, the name, and how to end it.
const MARKUP: [(&str, &str, &str); 5] = [
    ("<!--", "a comment", "end it with `-->`"),
    ("<![CDATA[", "a CDATA section", "end it with `]]>`"),
    ("<?", "an instruction", "end it with `?>`"),
    ("<!", "a declaration", "end it with `>`"),
    (
        "<",
        "a tag",
        "end it with `>`, and close every quotation mark before",
    ),
];

/// The fault of the markup at the start of `text`, and its remedy.
fn explain(text: &str, error: &quick_xml::Error) -> (String, &'static str) {
    if text.starts_with('&') {
        return (
            "this `&` does not begin a known entity".to_owned(),
            tag::ENTITY_HELP,
        );
    }
    match MARKUP
        .iter()
        .find(|(beginning, ..)| text.starts_with(beginning))
    {
        Some((_, what, help)) => (format!("{what} begins here and never ends"), help),
        None => (
            format!("this is not well-formed: {error}"),
            "correct it, or remove it",
        ),
    }
}

/// A position from quick-xml as an index. The text is in memory, so it always fits.
fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
