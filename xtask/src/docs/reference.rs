//! The manual page of the configuration file, from `docs/configuration.md`

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "Markdown has many more kinds of events than the reference uses"
)]

use std::mem::take;
use std::path::Path;

use anyhow::{Context, Result};
use clap_mangen::roff::{Inline, Roff, bold, italic, line_break, roman};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::table::{Table, words};
use crate::cargo;

const SOURCE: &str = "docs/configuration.md";

/// Writes the page.
pub(super) fn page(directory: &Path) -> Result<()> {
    let source = cargo::root().join(SOURCE);
    let text = std::fs::read_to_string(&source)
        .with_context(|| format!("cannot read {}", source.display()))?;
    let target = directory.join("ssh-broker-config.5");
    std::fs::write(target, converted(&text).render())?;
    Ok(())
}

fn converted(markdown: &str) -> Roff {
    let mut page = Page::default();
    page.beginning();
    Parser::new_ext(markdown, Options::ENABLE_TABLES).for_each(|event| page.event(event));
    page.end();
    page.roff
}

/// The page as far as it is written.
#[derive(Default)]
struct Page {
    roff: Roff,
    /// The text of the paragraph, heading or cell that has begun.
    text: Vec<Inline>,
    /// For each list that has begun, the number of its next item, if it has numbers.
    lists: Vec<Option<u64>>,
    /// Whether the next text is the first one of a list item.
    item: bool,
    emphasis: bool,
    code: bool,
    table: Option<Table>,
}

impl Page {
    fn beginning(&mut self) {
        let source = concat!("ssh-broker ", env!("CARGO_PKG_VERSION"));
        let title = ["ssh-broker-config", "5", "", source, "ssh-broker"];
        let name = "ssh-broker-config - configuration file of the SSH Connection Broker";
        self.roff.control("TH", title);
        // Long words of code would leave wide gaps in lines that end at the right margin.
        self.roff.control("ad", ["l"]);
        self.roff.control("SH", ["NAME"]).text([roman(name)]);
        self.roff.control("SH", ["DESCRIPTION"]);
    }

    fn end(&mut self) {
        let others = "brokerd(8), broker-ctl(1)";
        self.roff.control("SH", ["SEE ALSO"]).text([roman(others)]);
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.finish(tag),
            Event::Text(text) if self.code => self.code_lines(&text),
            Event::Text(text) if self.emphasis => self.text.push(italic(&*text)),
            Event::Text(text) => self.text.push(roman(&*text)),
            Event::Code(text) => self.text.push(bold(&*text)),
            Event::SoftBreak => self.text.push(roman(" ")),
            Event::HardBreak => self.text.push(line_break()),
            // Comments mark the places of generated tables, and the page has nothing else of these kinds.
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::List(first) => self.list(*first),
            Tag::Item => self.item = true,
            Tag::CodeBlock(_) => {
                self.paragraph();
                self.roff.control("sp", []).control("RS", ["4"]);
                self.roff.control("nf", []);
                self.code = true;
            }
            Tag::Table(_) => self.table = Some(Table::default()),
            Tag::Emphasis | Tag::Strong => self.emphasis = true,
            _ => {}
        }
    }

    fn finish(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph | TagEnd::Item => self.paragraph(),
            TagEnd::List(_) => self.list_end(),
            TagEnd::CodeBlock => {
                self.roff.control("fi", []).control("RE", []);
                self.code = false;
            }
            TagEnd::Emphasis | TagEnd::Strong => self.emphasis = false,
            TagEnd::TableCell | TagEnd::TableHead | TagEnd::TableRow | TagEnd::Table => {
                self.table_part(tag);
            }
            _ => {}
        }
    }

    /// The page's own title is left out, since its name stands at the top.
    fn heading(&mut self, level: HeadingLevel) {
        let words: String = take(&mut self.text).into_iter().map(words).collect();
        match level {
            HeadingLevel::H1 => {}
            HeadingLevel::H2 => _ = self.roff.control("SH", [words.as_str()]),
            _ => _ = self.roff.control("SS", [words.as_str()]),
        }
    }

    fn paragraph(&mut self) {
        if self.text.is_empty() {
            return;
        }
        match self.lists.last_mut() {
            None => _ = self.roff.control("PP", []),
            Some(number) if take(&mut self.item) => {
                let mark = mark(number);
                self.roff.control("IP", [mark.as_str(), "3"]);
            }
            Some(_) => _ = self.roff.control("sp", []),
        }
        self.roff.text(take(&mut self.text));
    }

    fn list(&mut self, first: Option<u64>) {
        self.paragraph();
        if !self.lists.is_empty() {
            self.roff.control("RS", ["3"]);
        }
        self.lists.push(first);
    }

    fn list_end(&mut self) {
        self.lists.pop();
        if !self.lists.is_empty() {
            self.roff.control("RE", []);
        }
    }

    fn code_lines(&mut self, text: &str) {
        for line in text.lines() {
            self.roff.text([roman(line)]);
        }
    }

    fn table_part(&mut self, tag: TagEnd) {
        let Some(table) = &mut self.table else {
            return;
        };
        match tag {
            TagEnd::TableCell => table.cell(take(&mut self.text)),
            TagEnd::TableHead => table.head(),
            TagEnd::TableRow => table.row(&mut self.roff),
            _ => self.table = None,
        }
    }
}

/// What stands before an item. Counts the number on.
fn mark(number: &mut Option<u64>) -> String {
    match number {
        Some(next) => {
            *next += 1;
            format!("{}.", *next - 1)
        }
        None => r"\(bu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_block_has_its_form() {
        let page =
            converted("# Title\n\nA `b`\nc.\n\n## Part\n\n1. one\n   - two\n\n```\n.x\n```\n")
                .to_roff();
        let (_, page) = page.split_once("DESCRIPTION\n").unwrap();
        let expected = ".PP\nA \\fBb\\fR c.\n.SH Part\n.IP 1. 3\none\n.RS 3\n.IP \\(bu 3\ntwo\n.RE\n\
             .sp\n.RS 4\n.nf\n\\&.x\n.fi\n.RE\n.SH \"SEE ALSO\"\nbrokerd(8), broker\\-ctl(1)\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn the_page_explains_the_attributes() {
        let directory = tempfile::tempdir().unwrap();
        page(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join("ssh-broker-config.5")).unwrap();
        assert!(text.contains(".TP\n\\fBlisten\\-port"), "{text}");
    }
}
