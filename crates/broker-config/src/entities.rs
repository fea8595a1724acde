//! Entities that a document type declares: names for pieces of text.
//!
//! Only text counts. Nothing outside the file is read, and the text contains no markup. Three bounds keep a small file
//! from expanding to a huge one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::escape::resolve_xml_entity;

use crate::findings::{Finding, Findings, Span};
use crate::suggest::clip;

/// The most entities in a file. Real files have a few, for directories and hosts.
const MAX_ENTITIES: usize = 64;

/// The longest text of an entity in bytes, after the entities in it are replaced. It is longer than any path.
const MAX_TEXT: usize = 4096;

/// The most bytes that all references to entities in a file may add up to: as many as the file itself may have.
const MAX_TOTAL: usize = 1024 * 1024;

/// An expanded entity contains only predefined entities and characters by number, so one level is left.
pub(crate) const DEPTH: usize = 2;

const HELP: &str = r#"write `<!ENTITY name "text">` or nothing between `[` and `]`"#;

/// The entities of a file.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    /// Each with its text, in which the entities of the file are replaced.
    texts: BTreeMap<String, String>,
    /// How many bytes references have added up to.
    spent: Cell<usize>,
}

impl Entities {
    /// The text of an entity; `None` if it is not known or if the bound is exceeded.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let Some(text) = self.texts.get(name) else {
            return resolve_xml_entity(name);
        };
        self.spent.set(self.spent.get().saturating_add(text.len()));
        (!self.is_exhausted()).then_some(text)
    }

    fn is_exhausted(&self) -> bool {
        self.spent.get() > MAX_TOTAL
    }

    /// Why a reference has no text.
    pub(crate) fn fault(&self) -> Option<String> {
        self.is_exhausted()
            .then(|| format!("the entities in this file expand to more than {MAX_TOTAL} bytes"))
    }
}

/// Reads the declarations in a document type at `range`; `None`, with an error, if there is anything else.
pub(crate) fn read(
    file: usize,
    text: &str,
    range: Range<usize>,
    findings: &mut Findings,
) -> Option<Entities> {
    let doctype = text.get(range.clone()).unwrap_or_default();
    let Some(open) = doctype.find('[') else {
        return Some(Entities::default());
    };
    let mut reading = Reading {
        file,
        base: range.start,
        text: doctype,
        at: open + 1,
        findings,
        entities: Entities::default(),
    };
    while reading.declaration()? {}
    Some(reading.entities)
}

/// A walk through the declarations.
struct Reading<'a> {
    file: usize,
    /// The place of the text in the file.
    base: usize,
    text: &'a str,
    at: usize,
    findings: &'a mut Findings,
    entities: Entities,
}

impl<'a> Reading<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips white space; whether there was any.
    fn blank(&mut self) -> bool {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start().len();
        self.at += length;
        length > 0
    }

    /// Skips this text, if it is next.
    fn skip(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        self.at += if found { expected.len() } else { 0 };
        found
    }

    /// Skips past this text; false if it never comes.
    fn skip_past(&mut self, end: &str) -> bool {
        let found = self.rest().find(end);
        self.at += found.map_or(0, |at| at + end.len());
        found.is_some()
    }

    /// Reads one declaration or comment; false at the end, `None` after an error.
    fn declaration(&mut self) -> Option<bool> {
        self.blank();
        let start = self.at;
        if self.rest().starts_with(']') {
            return Some(false);
        }
        let skipped =
            self.skip("<!--") && self.skip_past("-->") || self.skip("<?") && self.skip_past("?>");
        if skipped {
            return Some(true);
        }
        if !self.skip("<!ENTITY") || !self.blank() {
            self.error(start, "a document type may declare only entities");
            return None;
        }
        self.entity(start)?;
        Some(true)
    }

    fn entity(&mut self, start: usize) -> Option<()> {
        let name = self.name();
        self.blank();
        let quote = self.rest().chars().next();
        let Some(quote) = quote.filter(|it| matches!(it, '"' | '\'') && !name.is_empty()) else {
            self.error(
                start,
                "an entity must be a name and its text, since the broker reads no other file",
            );
            return None;
        };
        self.at += 1;
        let (begin, rest) = (self.at, self.rest());
        let value = rest.get(..rest.find(quote)?)?;
        self.at += value.len() + 1;
        self.blank();
        if !self.skip(">") {
            self.error(start, "this declaration has no end");
            return None;
        }
        self.add(name, value, begin)
    }

    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let length = rest.find(|c| !allowed(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// The first declaration of a name counts, as in every XML file.
    fn add(&mut self, name: &str, value: &str, begin: usize) -> Option<()> {
        let text = self.expanded(value, begin)?;
        let texts = &mut self.entities.texts;
        if texts.contains_key(name) {
            let message = format!(
                "`{}` is declared twice, and the first one counts",
                clip(name)
            );
            self.warning(begin, message);
        } else if texts.len() < MAX_ENTITIES {
            texts.insert(name.to_owned(), text);
        } else {
            self.error(begin, format!("a file has at most {MAX_ENTITIES} entities"));
            return None;
        }
        Some(())
    }

    /// The text of an entity, in which those before it are replaced. So none can contain itself.
    fn expanded(&mut self, value: &str, begin: usize) -> Option<String> {
        let mut text = String::new();
        let mut rest = value;
        while let Some(at) = rest.find('&') {
            let (before, reference) = rest.split_at(at);
            let (name, after) = reference
                .get(1..)
                .and_then(|it| it.split_once(';'))
                .unwrap_or_default();
            let own = self.entities.texts.get(name).cloned();
            if own.is_none() && resolve_xml_entity(name).is_none() && !name.starts_with('#') {
                let message = format!("no entity before this one has the name `{}`", clip(name));
                self.error(begin, message);
                return None;
            }
            text.push_str(before);
            text.push_str(&own.unwrap_or_else(|| format!("&{name};")));
            rest = after;
            if text.len() > MAX_TEXT {
                break;
            }
        }
        text.push_str(rest);
        if text.len() > MAX_TEXT {
            self.error(
                begin,
                format!("the text of an entity has at most {MAX_TEXT} bytes"),
            );
            return None;
        }
        if text.contains('<') {
            self.error(begin, "an entity is text, so it cannot contain elements");
            return None;
        }
        Some(text)
    }

    /// The place of the declaration or value at `start`: one line, for a message.
    fn span(&self, start: usize) -> Span {
        let line = self.text.get(start..).and_then(|it| it.lines().next());
        let length = line.map_or(1, |line| line.trim_end().len().max(1));
        Span::new(self.file, self.base + start, self.base + start + length)
    }

    fn error(&mut self, start: usize, message: impl Into<String>) -> &mut Finding {
        let span = self.span(start);
        self.findings.error(span, message).help(HELP)
    }

    fn warning(&mut self, start: usize, message: String) {
        let span = self.span(start);
        self.findings
            .warning(span, message)
            .help("remove one of the two");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(subset: &str) -> Option<Entities> {
        let text = format!("<!DOCTYPE secsh-broker [{subset}]>");
        read(0, &text, 0..text.len(), &mut Findings::default())
    }

    #[test]
    fn text_is_replaced_also_inside_later_entities() {
        let entities = parse(
            "<!-- c --><?x?>\n<!ENTITY home \"/h&#x2f;a\"><!ENTITY keys '&home;/&lt;keys'>\n<!ENTITY home 'no'>",
        )
        .unwrap();
        assert_eq!(entities.text("home"), Some("/h&#x2f;a"));
        assert_eq!(entities.text("keys"), Some("/h&#x2f;a/&lt;keys"));
        assert_eq!(entities.text("amp"), Some("&"));
        assert_eq!(entities.text("other"), None);
    }

    #[test]
    fn everything_else_is_refused() {
        for subset in [
            "<!ENTITY x SYSTEM 'file:///etc/passwd'>",
            "<!ENTITY x PUBLIC 'a' 'b'>",
            "<!ENTITY % p 'x'> %p;",
            "<!ENTITY x '<a/>'>",
            "<!ENTITY x '&x;'>",
            "<!ENTITY x '&y;'><!ENTITY y 'a'>",
            "<!ENTITY x 'a' NDATA gif>",
            "<!ENTITY x 'a'",
            "<!ENTITY x 'a>",
            "<!ENTITY 'a'>",
            "<!ENTITYx 'a'>",
            "<!ELEMENT secsh-broker ANY>",
            "<!ATTLIST profile port CDATA '23'>",
            "<!-- ",
            "text",
        ] {
            assert!(parse(subset).is_none(), "{subset}");
        }
    }

    #[test]
    fn a_small_file_cannot_expand_to_a_huge_one() {
        let mut laughs = "<!ENTITY a 'lol'>".to_owned();
        for (inner, outer) in ('a'..'k').zip('b'..='k') {
            let ten = format!("&{inner};").repeat(10);
            laughs += &format!("<!ENTITY {outer} '{ten}'>");
        }
        assert!(parse(&laughs).is_none());
        let many: String = (0..=MAX_ENTITIES)
            .map(|n| format!("<!ENTITY e{n} 'x'>"))
            .collect();
        assert!(parse(&many).is_none());
        let long = format!("<!ENTITY x '{}'>", "y".repeat(MAX_TEXT));
        let entities = parse(&long).unwrap();
        for _ in 0..MAX_TOTAL / MAX_TEXT {
            assert!(entities.text("x").is_some());
        }
        assert_eq!(entities.text("x"), None);
        assert!(entities.fault().is_some());
    }
}
