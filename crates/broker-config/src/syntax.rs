//! The structural pass: XML text to a tree, with every fault of structure on the way.
//!
//! quick-xml finds the tags; what is well-formed is judged here, because quick-xml neither insists
//! on one root nor says where a tag that never ends began. After a fault whose meaning is clear the
//! pass goes on, so that a file's other faults are found in the same run.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::findings::{Finding, Findings, Span};
use crate::suggest::{clip, closest};
use crate::tag::{self, Tag};
use crate::tree::Element;

/// The deepest nesting. The format itself needs six levels; the bound keeps recursion shallow.
pub(crate) const MAX_DEPTH: usize = 32;

/// Faults of structure after which the pass gives up: later ones are mostly consequences, and each
/// may cost a look through the rest of the file.
const MAX_FAULTS: usize = 20;

/// Reads the text into a tree; `None`, with at least one error, if its structure cannot be made out.
///
/// With errors and a tree, the tree is what was probably meant.
pub(crate) fn parse(file: usize, text: &str, findings: &mut Findings) -> Option<Element> {
    let mut pass = Pass {
        file,
        text,
        findings,
        open: Vec::new(),
        root: None,
        faults: 0,
    };
    let mut from = 0;
    loop {
        match pass.run(from) {
            Step::Resume(at) => from = at,
            Step::Go => return pass.finish(),
            Step::Stop => return None,
        }
    }
}

/// What to do after an event.
enum Step {
    /// Take the next one.
    Go,
    /// Begin anew at this byte, which is past the one before.
    Resume(usize),
    /// Give up.
    Stop,
}

struct Pass<'a> {
    file: usize,
    text: &'a str,
    findings: &'a mut Findings,
    /// The elements whose end has not been seen, outermost first.
    open: Vec<Element>,
    root: Option<Element>,
    faults: usize,
}

impl Pass<'_> {
    /// Reads from a byte to the end, or to where reading must begin anew.
    fn run(&mut self, from: usize) -> Step {
        let text = self.text;
        let mut reader = Reader::from_str(text.get(from..).unwrap_or_default());
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        loop {
            let start = from + offset(reader.buffer_position());
            let event = reader.read_event();
            let end = from + offset(reader.buffer_position());
            let step = match event {
                Ok(Event::Eof) => return Step::Go,
                Ok(event) => self.event(&event, start, end),
                Err(error) => self.unreadable(&error, from + offset(reader.error_position())),
            };
            match step {
                Step::Go if self.faults >= MAX_FAULTS => return Step::Stop,
                Step::Go => {}
                Step::Resume(_) | Step::Stop => return step,
            }
        }
    }

    fn event(&mut self, event: &Event<'_>, start: usize, end: usize) -> Step {
        match event {
            Event::Start(_) | Event::Empty(_) => self.start_tag(start, end),
            Event::End(tag) => self.end_tag(tag.name().as_ref(), start, end),
            Event::Text(text) => self.characters(text, start, end),
            Event::CData(text) => self.characters(text, start, end),
            Event::GeneralRef(_) => self.reference(start, end),
            Event::DocType(content) => self.document_type(content, start, end),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Step::Go,
        }
    }

    fn start_tag(&mut self, start: usize, end: usize) -> Step {
        let before = self.findings.errors();
        let tag = tag::read(self.file, self.text, start..end, self.findings);
        self.faults += self.findings.errors() - before;
        self.open(tag)
    }

    fn open(&mut self, tag: Tag) -> Step {
        let span = tag.element.span;
        if self.open.len() >= MAX_DEPTH {
            self.fault(
                span,
                format!("elements are nested more than {MAX_DEPTH} deep"),
            );
            return Step::Stop;
        }
        if let (true, Some(root)) = (self.open.is_empty(), &self.root) {
            let first = root.span;
            self.fault(
                span,
                "a file has one outermost element, this is a second one",
            )
            .related(first, "the first one")
            .help("move its content into the first one");
            return Step::Stop;
        }
        self.open.push(tag.element);
        if tag.empty {
            self.close();
        }
        match tag.resume {
            Some(_) if self.faults >= MAX_FAULTS => Step::Stop,
            Some(at) => Step::Resume(at),
            None => Step::Go,
        }
    }

    fn end_tag(&mut self, name: &str, start: usize, end: usize) -> Step {
        let span = self.span(start, end);
        let Some(innermost) = self.open.last() else {
            self.fault(
                span,
                format!("`</{}>` ends an element that never began", clip(name)),
            );
            return Step::Go;
        };
        if innermost.name == name {
            self.close();
        } else if self.open.iter().any(|element| element.name == name) {
            self.close_missing(name, span);
        } else {
            self.close_misnamed(name, span);
        }
        Step::Go
    }

    /// An end tag for an outer element: the inner ones lack theirs.
    fn close_missing(&mut self, name: &str, span: Span) {
        while let Some(innermost) = self.open.last() {
            if innermost.name == name {
                return self.close();
            }
            let (inner, begun) = (innermost.name.clone(), innermost.span);
            self.fault(begun, format!("`<{}>` is not closed", clip(&inner)))
                .related(span, format!("`</{}>` must come before this", clip(&inner)))
                .help(format!(
                    "write `</{0}>`, or `<{0} …/>` if it has no content",
                    clip(&inner)
                ));
            self.close();
        }
    }

    /// An end tag for nothing that is open: a misspelt one, or one too many.
    fn close_misnamed(&mut self, name: &str, span: Span) {
        let Some(innermost) = self.open.last() else {
            return;
        };
        let (inner, begun) = (innermost.name.clone(), innermost.span);
        self.fault(
            span,
            format!(
                "`</{}>` does not end `<{}>`, which is open here",
                clip(name),
                clip(&inner)
            ),
        )
        .related(begun, "began here")
        .help(format!("write `</{}>`, or remove this", clip(&inner)));
        if closest(name, [inner.as_str()]).is_some() {
            self.close();
        }
    }

    fn characters(&mut self, text: &str, start: usize, end: usize) -> Step {
        let meaningful = text.trim();
        if meaningful.is_empty() {
            return Step::Go;
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
        Step::Go
    }

    /// Text around the root element.
    fn stray_text(&mut self, span: Span) -> Step {
        let place = if self.root.is_some() {
            "after"
        } else {
            "before"
        };
        let line_end = self.text.get(span.start..).and_then(|rest| rest.find('\n'));
        let end = line_end.map_or(span.end, |length| span.end.min(span.start + length));
        self.fault(
            self.span(span.start, end),
            format!("text is not allowed {place} the outermost element"),
        )
        .help("remove it, or make it a comment: `<!-- … -->`");
        Step::Go
    }

    /// `&name;` or `&#number;` in text.
    fn reference(&mut self, start: usize, end: usize) -> Step {
        let span = self.span(start, end);
        let raw = self.text.get(start..end).unwrap_or_default();
        let Ok(text) = quick_xml::escape::unescape(raw) else {
            self.fault(span, format!("`{}` stands for no character", clip(raw)))
                .help(tag::ENTITY_HELP);
            return Step::Go;
        };
        let Some(element) = self.open.last_mut() else {
            return self.stray_text(span);
        };
        element.text.push_str(&text);
        element.text_span.get_or_insert(span).end = end;
        Step::Go
    }

    fn document_type(&mut self, content: &str, start: usize, end: usize) -> Step {
        if content.contains('[') {
            self.fault(
                self.span(start, end),
                "a document type with declarations inside is refused",
            )
            .help(
                r#"write `<!DOCTYPE secsh-broker SYSTEM "ssh-broker-ng-config-1.dtd">` or nothing"#,
            );
        }
        Step::Go
    }

    /// Markup whose end quick-xml could not find.
    fn unreadable(&mut self, error: &quick_xml::Error, at: usize) -> Step {
        if let Some(tag) = tag::read_endless(self.file, self.text, at, self.findings) {
            self.faults += 1;
            return self.open(tag);
        }
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default().trim_end();
        let (message, help) = explain(rest, error);
        self.fault(self.span(at, at + line.len()), message)
            .help(help);
        Step::Stop
    }

    /// Moves the innermost open element to where it belongs.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else {
            return;
        };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    /// The end of the file.
    fn finish(mut self) -> Option<Element> {
        if let Some(innermost) = self.open.last() {
            let (name, span) = (innermost.name.clone(), innermost.span);
            let missing: String = self
                .open
                .iter()
                .rev()
                .map(|element| format!("</{}>", clip(&element.name)))
                .collect();
            self.fault(
                span,
                format!("`<{}>` is not closed before the file ends", clip(&name)),
            )
            .help(format!("what is missing at the end is `{missing}`"));
            return None;
        }
        if self.root.is_none() && self.faults == 0 {
            self.fault(Span::file(self.file), "the file has no content")
                .help(r#"the outermost element is `<secsh-broker version="1.0">`"#);
        }
        self.root
    }

    fn fault(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        self.faults += 1;
        self.findings.error(span, message)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }
}

/// Markup by its beginning, in words, and its end.
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

/// What is wrong with the markup at the start of `text`, and what to do.
fn explain(text: &str, error: &quick_xml::Error) -> (String, &'static str) {
    if text.starts_with('&') {
        return (
            "a `&` that begins no known entity".to_owned(),
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

/// A position of quick-xml's as an index; the text is in memory, so it always fits.
fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
