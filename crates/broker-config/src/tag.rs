//! One start tag: its name, its attributes, and what is wrong with it.

use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::{AttrError, Attribute as RawAttribute, Attributes};

use crate::findings::{Findings, Span};
use crate::suggest::clip;
use crate::tree::{Attribute, Element};

/// What to write where an entity is unknown.
pub(crate) const ENTITY_HELP: &str =
    "write `&amp;` for `&`; the others are `&lt;`, `&gt;`, `&quot;` and `&apos;`";

/// What was made of a start tag.
pub(crate) struct Tag {
    pub(crate) element: Element,
    /// Whether the element ends with the tag.
    pub(crate) empty: bool,
    /// Where to go on reading if the tag lacks its end.
    pub(crate) resume: Option<usize>,
}

/// Reads the tag that quick-xml found at `range`, from `<` to `>`.
///
/// Such a range holds a second `<` if the tag's own `>` or a quotation mark is missing. The tag is
/// then taken to end before it.
pub(crate) fn read(file: usize, text: &str, range: Range<usize>, findings: &mut Findings) -> Tag {
    let whole = text.get(range.clone()).unwrap_or_default();
    let scan = scan(whole);
    let body_end = scan.cut.unwrap_or(whole.len().saturating_sub(1));
    let body = whole.get(1..body_end).unwrap_or_default().trim_end();
    let self_closing = scan.cut.is_none() && body.ends_with('/');
    let body = if self_closing {
        body.strip_suffix('/').unwrap_or(body)
    } else {
        body
    };
    let base = range.start + 1;
    let name_length = body.find(char::is_whitespace).unwrap_or(body.len());
    let name = body.get(..name_length).unwrap_or_default();
    let mut reading = Reading {
        file,
        base,
        body,
        findings,
    };
    let element = Element {
        name: name.to_owned(),
        span: Span::new(file, base, base + name_length),
        attributes: reading.attributes(name_length, scan.cut.is_some()),
        children: Vec::new(),
        text: String::new(),
        text_span: None,
    };
    if name.is_empty() {
        reading
            .findings
            .error(Span::new(file, range.start, base), "a tag without a name");
    }
    let Some(cut) = scan.cut else {
        return Tag {
            element,
            empty: self_closing,
            resume: None,
        };
    };
    reading.report_cut(name, scan.quote);
    let resume = range.start + cut;
    let ends_later = text
        .get(resume..)
        .is_some_and(|rest| rest.contains(&format!("</{name}")));
    Tag {
        element,
        empty: !ends_later,
        resume: Some(resume),
    }
}

/// Where a tag is damaged.
struct Scan {
    /// The second `<`, which belongs to another tag.
    cut: Option<usize>,
    /// The quotation mark that is open there.
    quote: Option<usize>,
}

/// Looks for a `<` that belongs to another tag. One in a value that ends on its own line belongs to
/// the value.
fn scan(whole: &str) -> Scan {
    let mut open: Option<(usize, char)> = None;
    for (at, character) in whole.char_indices().skip(1) {
        match (character, open) {
            ('<', None) => {
                return Scan {
                    cut: Some(at),
                    quote: None,
                };
            }
            ('<', Some((quote_at, quote))) => {
                let rest = whole.get(at..).unwrap_or_default();
                let line = rest.lines().next().unwrap_or_default();
                if !line.contains(quote) || whole.get(quote_at..at).is_none_or(|v| v.contains('\n'))
                {
                    return Scan {
                        cut: Some(at),
                        quote: Some(quote_at),
                    };
                }
            }
            ('"' | '\'', None) => open = Some((at, character)),
            (_, Some((_, quote))) if character == quote => open = None,
            _ => {}
        }
    }
    Scan {
        cut: None,
        quote: None,
    }
}

/// The inside of a tag, from its name on.
struct Reading<'a> {
    file: usize,
    /// Where the inside begins in the file.
    base: usize,
    body: &'a str,
    findings: &'a mut Findings,
}

impl Reading<'_> {
    /// The attributes; a fault ends them, and is not mentioned if the tag is `damaged` anyway.
    fn attributes(&mut self, name_length: usize, damaged: bool) -> Vec<Attribute> {
        let mut found = Vec::new();
        for attribute in Attributes::new(self.body, name_length) {
            match attribute {
                Ok(raw) => found.push(self.attribute(&raw)),
                Err(AttrError::Duplicated(again, first)) => self.report_twice(again, first),
                Err(_) if damaged => break,
                Err(fault) => {
                    self.report(&fault);
                    break;
                }
            }
        }
        found
    }

    fn attribute(&mut self, raw: &RawAttribute<'_>) -> Attribute {
        let name = raw.key.as_ref();
        let name_span = self.part(name);
        let mut value_span = self.part(&raw.value);
        if raw.value.is_empty() {
            value_span = Span::new(self.file, value_span.start - 1, value_span.end + 1);
        }
        let value = raw
            .normalized_value(XmlVersion::Implicit1_0)
            .unwrap_or_else(|_| {
                self.findings
                    .error(
                        value_span,
                        format!("`{}` holds a `&` that begins no known entity", clip(name)),
                    )
                    .help(ENTITY_HELP);
                raw.value.clone()
            });
        if raw.value.contains('<') {
            self.findings
                .error(
                    value_span,
                    format!("the value of `{}` holds a bare `<`", clip(name)),
                )
                .help("write `&lt;` for `<`");
        }
        Attribute {
            name: name.to_owned(),
            name_span,
            value: value.into_owned(),
            value_span,
        }
    }

    /// Where a part of the inside stands in the file.
    fn part(&self, part: &str) -> Span {
        let start = self.base + (part.as_ptr().addr() - self.body.as_ptr().addr());
        Span::new(self.file, start, start + part.len())
    }

    fn report_twice(&mut self, again: usize, first: usize) {
        let name = |at: usize| {
            let rest = self.body.get(at..).unwrap_or_default();
            let length = rest
                .find(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or(rest.len());
            (
                rest.get(..length).unwrap_or_default(),
                at + self.base,
                at + self.base + length,
            )
        };
        let (written, start, end) = name(again);
        let (_, first_start, first_end) = name(first);
        let message = format!("the attribute `{}` stands twice in one tag", clip(written));
        self.findings
            .error(Span::new(self.file, start, end), message)
            .related(
                Span::new(self.file, first_start, first_end),
                "the first one",
            );
    }

    fn report(&mut self, fault: &AttrError) {
        let (at, message) = match fault {
            AttrError::ExpectedEq(at) => (at, "an attribute without a value"),
            AttrError::ExpectedValue(at) => (at, "a value in quotation marks is missing here"),
            AttrError::UnquotedValue(at) => (at, "the value must stand in quotation marks"),
            AttrError::ExpectedQuote(at, _) => (at, "a quotation mark is missing before this"),
            AttrError::Duplicated(at, _) => (at, "this attribute stands twice in one tag"),
        };
        let limit = (*at).min(self.body.len());
        let start = (0..=limit)
            .rev()
            .find(|at| self.body.is_char_boundary(*at))
            .unwrap_or(0);
        let word = self.body.get(start..).unwrap_or_default();
        let length = word.find(char::is_whitespace).unwrap_or(word.len()).max(1);
        let start = self.base + start;
        self.findings
            .error(Span::new(self.file, start, start + length), message)
            .help(r#"attributes are written `name="value"`"#);
    }

    /// Another tag begins before this one has ended.
    fn report_cut(&mut self, name: &str, quote: Option<usize>) {
        let end = self.base + self.body.len();
        match quote {
            None => self
                .findings
                .error(
                    Span::new(self.file, self.base - 1, end),
                    format!(
                        "the tag `<{}` is not closed: its `>` is missing",
                        clip(name)
                    ),
                )
                .help("write `>` at its end, or `/>` if the element has no content"),
            Some(at) => self
                .findings
                .error(
                    Span::new(self.file, self.base - 1 + at, end.max(self.base + at)),
                    format!("a quotation mark is missing in the tag `<{}`", clip(name)),
                )
                .help("the value that begins here runs on into the next tag"),
        };
    }
}
