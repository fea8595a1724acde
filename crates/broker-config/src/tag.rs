//! One start tag: its name, its attributes, and its faults.

use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::{AttrError, Attribute as RawAttribute, Attributes};

use crate::entities::{DEPTH, Entities};
use crate::findings::{Findings, Span};
use crate::suggest::clip;
use crate::tree::{Attribute, Element};

/// The remedy for an unknown entity.
pub(crate) const ENTITY_HELP: &str =
    "write `&amp;` for `&`; the others are `&lt;`, `&gt;`, `&quot;` and `&apos;`";

/// Reads the tag that quick-xml found at `range`, from `<` to `>`; `None`, with an error, if it is malformed.
pub(crate) fn read(
    file: usize,
    text: &str,
    range: Range<usize>,
    entities: &Entities,
    findings: &mut Findings,
) -> Option<Element> {
    let whole = text.get(range.clone()).unwrap_or_default();
    if report_unclosed(file, whole, range.start, findings) {
        return None;
    }
    let body = whole.strip_prefix('<')?.strip_suffix('>')?;
    let mut reading = Reading {
        file,
        base: range.start + 1,
        body: body.strip_suffix('/').unwrap_or(body),
        entities,
        findings,
    };
    reading.element()
}

/// Reports a tag at the start of the text inside which another tag begins: its `>` or a quotation mark is missing.
pub(crate) fn report_unclosed(
    file: usize,
    text: &str,
    start: usize,
    findings: &mut Findings,
) -> bool {
    let named = |c: char| c.is_alphabetic() || c == '_';
    let inside = text.strip_prefix('<').filter(|it| it.starts_with(named));
    let (Some(inside), Some(damage)) = (inside, scan(text)) else {
        return false;
    };
    let name = inside.split(char::is_whitespace).next().map(clip);
    let name = name.unwrap_or_default();
    let end = start + text.get(..damage.cut).unwrap_or_default().trim_end().len();
    match damage.quote {
        None => findings
            .error(
                Span::new(file, start, end),
                format!("the tag `<{name}` is not closed: its `>` is missing"),
            )
            .help("write `>` at its end, or `/>` if the element has no content"),
        Some(at) => findings
            .error(
                Span::new(file, start + at, end.max(start + at + 1)),
                format!("a quotation mark is missing in the tag `<{name}`"),
            )
            .help("the value that begins here continues into the next tag"),
    };
    true
}

/// The place where a tag is damaged.
struct Damage {
    /// The second `<`, which belongs to another tag.
    cut: usize,
    /// The quotation mark that is open there.
    quote: Option<usize>,
}

/// Looks for a `<` that belongs to another tag. A `<` in a value that begins and ends on the same line belongs to the
/// value.
fn scan(whole: &str) -> Option<Damage> {
    let find = |from: usize, what: &[char]| {
        whole
            .get(from..)
            .and_then(|rest| rest.find(what))
            .map(|length| from + length)
    };
    let mut at = 1;
    loop {
        let found = find(at, &['<', '>', '"', '\''])?;
        match whole.get(found..)?.chars().next()? {
            '>' => return None,
            '<' => {
                return Some(Damage {
                    cut: found,
                    quote: None,
                });
            }
            quote => {
                let end = find(found + 1, &[quote]);
                let value = whole.get(found + 1..end.unwrap_or(whole.len()))?;
                match value.find('<') {
                    Some(inside) if end.is_none() || value.contains('\n') => {
                        let cut = found + 1 + inside;
                        return Some(Damage {
                            cut,
                            quote: Some(found),
                        });
                    }
                    Some(_) | None => at = end? + 1,
                }
            }
        }
    }
}

/// The text inside a tag, starting with its name.
struct Reading<'a> {
    file: usize,
    /// The offset of this text in the file.
    base: usize,
    body: &'a str,
    entities: &'a Entities,
    findings: &'a mut Findings,
}

/// Each method returns `None` after a fault.
impl Reading<'_> {
    fn element(&mut self) -> Option<Element> {
        let name_length = self
            .body
            .find(char::is_whitespace)
            .unwrap_or(self.body.len());
        let name = self.body.get(..name_length).unwrap_or_default().to_owned();
        let span = Span::new(self.file, self.base, self.base + name_length);
        if name.is_empty() {
            let open = Span::new(self.file, self.base - 1, self.base);
            self.findings.error(open, "a tag without a name");
            return None;
        }
        Some(Element {
            name,
            span,
            comments: Vec::new(),
            attributes: self.attributes(name_length)?,
            children: Vec::new(),
            text: String::new(),
            text_span: None,
        })
    }

    fn attributes(&mut self, name_length: usize) -> Option<Vec<Attribute>> {
        let attributes = Attributes::new(self.body, name_length);
        let read = attributes.map(|attribute| match attribute {
            Ok(raw) => self.attribute(&raw),
            Err(AttrError::Duplicated(again, first)) => self.report_twice(again, first),
            Err(fault) => self.report(&fault),
        });
        read.collect()
    }

    fn attribute(&mut self, raw: &RawAttribute<'_>) -> Option<Attribute> {
        let name = raw.key.as_ref();
        let mut value_span = self.part(&raw.value);
        if raw.value.is_empty() {
            value_span = Span::new(self.file, value_span.start - 1, value_span.end + 1);
        }
        let resolve = |name: &str| self.entities.text(name);
        let Ok(value) = raw.normalized_value_with(XmlVersion::Implicit1_0, DEPTH, resolve) else {
            let unknown = || {
                let name = clip(name);
                format!("`{name}` contains a `&` that does not begin a known entity")
            };
            let message = self.entities.fault().unwrap_or_else(unknown);
            self.findings.error(value_span, message).help(ENTITY_HELP);
            return None;
        };
        if raw.value.contains('<') {
            let message = format!("the value of `{}` contains a bare `<`", clip(name));
            self.findings
                .error(value_span, message)
                .help("write `&lt;` for `<`");
            return None;
        }
        Some(Attribute {
            name: name.to_owned(),
            name_span: self.part(name),
            value: value.into_owned(),
            value_span,
        })
    }

    /// The place of a part of this text in the file.
    fn part(&self, part: &str) -> Span {
        let start = self.base + (part.as_ptr().addr() - self.body.as_ptr().addr());
        Span::new(self.file, start, start + part.len())
    }

    fn report_twice<T>(&mut self, again: usize, first: usize) -> Option<T> {
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
        let message = format!("the attribute `{}` occurs twice in one tag", clip(written));
        self.findings
            .error(Span::new(self.file, start, end), message)
            .related(
                Span::new(self.file, first_start, first_end),
                "the first one",
            );
        None
    }

    fn report<T>(&mut self, fault: &AttrError) -> Option<T> {
        let (at, message) = match *fault {
            AttrError::ExpectedEq(at) => (self.word_before(at), "an attribute without a value"),
            AttrError::ExpectedValue(at) => (at, "a value in quotation marks is missing here"),
            AttrError::UnquotedValue(at) => (at, "the value must be in quotation marks"),
            AttrError::ExpectedQuote(at, _) => (at, "a quotation mark is missing before this"),
            AttrError::Duplicated(at, _) => (at, "this attribute occurs twice in one tag"),
        };
        let start = self.edge(at);
        let word = self.body.get(start..).unwrap_or_default();
        let length = word.find(char::is_whitespace).unwrap_or(word.len()).max(1);
        let start = self.base + start;
        self.findings
            .error(Span::new(self.file, start, start + length), message)
            .help(r#"attributes are written `name="value"`"#);
        None
    }

    /// The start of the word before `at`.
    fn word_before(&self, at: usize) -> usize {
        let before = self
            .body
            .get(..self.edge(at))
            .unwrap_or_default()
            .trim_end();
        before
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + 1)
    }

    /// The last character boundary that is not after `at`.
    fn edge(&self, at: usize) -> usize {
        let at = at.min(self.body.len());
        (0..=at)
            .rev()
            .find(|at| self.body.is_char_boundary(*at))
            .unwrap_or(0)
    }
}
