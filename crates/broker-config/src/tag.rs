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
    match scan(whole) {
        Some(damage) => read_damaged(file, text, range.start, &damage, findings),
        None => read_whole(file, whole, range.start, findings),
    }
}

/// Reads the tag that begins at `start` and for which quick-xml found no end; `None` if no end can
/// be guessed either.
pub(crate) fn read_endless(
    file: usize,
    text: &str,
    start: usize,
    findings: &mut Findings,
) -> Option<Tag> {
    let rest = text.get(start..)?;
    let named = rest
        .get(1..)?
        .starts_with(|c: char| c.is_alphabetic() || c == '_');
    let damage = scan(rest).filter(|_| named)?;
    Some(read_damaged(file, text, start, &damage, findings))
}

fn read_whole(file: usize, whole: &str, start: usize, findings: &mut Findings) -> Tag {
    let body = whole
        .get(1..whole.len().saturating_sub(1))
        .unwrap_or_default();
    let inner = body.strip_suffix('/');
    let empty = inner.is_some();
    let mut reading = Reading {
        file,
        base: start + 1,
        body: inner.unwrap_or(body),
        findings,
    };
    let element = reading.element(false);
    if element.name.is_empty() {
        reading
            .findings
            .error(Span::new(file, start, start + 1), "a tag without a name");
    }
    Tag {
        element,
        empty,
        resume: None,
    }
}

fn read_damaged(
    file: usize,
    text: &str,
    start: usize,
    damage: &Damage,
    findings: &mut Findings,
) -> Tag {
    let resume = start + damage.cut;
    let body = text.get(start + 1..resume).unwrap_or_default().trim_end();
    let mut reading = Reading {
        file,
        base: start + 1,
        body,
        findings,
    };
    let element = reading.element(true);
    reading.report_damage(&element.name, damage.quote);
    // Only an element with an end tag further on can have been meant to have content.
    let end_tag = format!("</{}", element.name);
    let empty = !text
        .get(resume..)
        .is_some_and(|rest| rest.contains(&end_tag));
    Tag {
        element,
        empty,
        resume: Some(resume),
    }
}

/// Where a tag is damaged.
struct Damage {
    /// The second `<`, which belongs to another tag.
    cut: usize,
    /// The quotation mark that is open there.
    quote: Option<usize>,
}

/// Looks for a `<` that belongs to another tag. One in a value that ends on the line on which it
/// began belongs to the value.
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

/// The inside of a tag, from its name on.
struct Reading<'a> {
    file: usize,
    /// Where the inside begins in the file.
    base: usize,
    body: &'a str,
    findings: &'a mut Findings,
}

impl Reading<'_> {
    fn element(&mut self, damaged: bool) -> Element {
        let name_length = self
            .body
            .find(char::is_whitespace)
            .unwrap_or(self.body.len());
        let name = self.body.get(..name_length).unwrap_or_default().to_owned();
        let span = Span::new(self.file, self.base, self.base + name_length);
        let (attributes, complete) = self.attributes(name_length, damaged);
        let (children, text) = (Vec::new(), String::new());
        let damaged = damaged || !complete;
        Element {
            name,
            span,
            attributes,
            children,
            text,
            text_span: None,
            damaged,
        }
    }

    /// The attributes, and whether they are all. A fault ends them, and is not mentioned if the tag
    /// is `damaged` anyway.
    fn attributes(&mut self, name_length: usize, damaged: bool) -> (Vec<Attribute>, bool) {
        let mut found = Vec::new();
        for attribute in Attributes::new(self.body, name_length) {
            match attribute {
                Ok(raw) => found.push(self.attribute(&raw)),
                Err(AttrError::Duplicated(again, first)) => self.report_twice(again, first),
                Err(_) if damaged => return (found, false),
                Err(fault) => {
                    self.report(&fault);
                    return (found, false);
                }
            }
        }
        (found, true)
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
        let (at, message) = match *fault {
            AttrError::ExpectedEq(at) => (self.word_before(at), "an attribute without a value"),
            AttrError::ExpectedValue(at) => (at, "a value in quotation marks is missing here"),
            AttrError::UnquotedValue(at) => (at, "the value must stand in quotation marks"),
            AttrError::ExpectedQuote(at, _) => (at, "a quotation mark is missing before this"),
            AttrError::Duplicated(at, _) => (at, "this attribute stands twice in one tag"),
        };
        let start = self.edge(at);
        let word = self.body.get(start..).unwrap_or_default();
        let length = word.find(char::is_whitespace).unwrap_or(word.len()).max(1);
        let start = self.base + start;
        self.findings
            .error(Span::new(self.file, start, start + length), message)
            .help(r#"attributes are written `name="value"`"#);
    }

    /// Where the word before `at` begins.
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

    /// The last edge of a character that is not after `at`.
    fn edge(&self, at: usize) -> usize {
        let at = at.min(self.body.len());
        (0..=at)
            .rev()
            .find(|at| self.body.is_char_boundary(*at))
            .unwrap_or(0)
    }

    /// Another tag begins before this one has ended.
    fn report_damage(&mut self, name: &str, quote: Option<usize>) {
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
