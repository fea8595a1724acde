//! A table as a list of terms, since a manual page is too narrow for the columns of the reference

use std::mem::take;

use clap_mangen::roff::{Inline, Roff, line_break, roman};

/// Columns whose cells together say what a row is about. In other tables that is the first column.
const TERMS: [&str; 2] = ["element", "attribute"];

/// The column that needs no heading before its text.
const PLAIN: &str = "meaning";

/// The cells of a row that have been read, and what earlier rows leave for it.
#[derive(Default)]
pub(super) struct Table {
    headings: Vec<String>,
    cells: Vec<Vec<Inline>>,
    /// What the first cell of the last row begins with, its name: an empty cell means the same.
    first: Option<Inline>,
}

impl Table {
    pub(super) fn cell(&mut self, text: Vec<Inline>) {
        self.cells.push(text);
    }

    /// The cells so far are the headings.
    pub(super) fn head(&mut self) {
        let cells = take(&mut self.cells).into_iter();
        self.headings = cells
            .map(|cell| cell.into_iter().map(words).collect())
            .collect();
    }

    /// Writes a row as a term with what it means below it.
    pub(super) fn row(&mut self, roff: &mut Roff) {
        let mut cells = take(&mut self.cells);
        if let Some(first) = cells.first_mut() {
            if first.is_empty() {
                first.extend(self.first.clone());
            }
            self.first = first.first().cloned();
        }
        let terms = self.terms();
        let meanings = cells.split_off(terms.min(cells.len()));
        roff.control("TP", []).text(joined(cells, &roman(": ")));
        let alone = meanings.len() == 1;
        let headings = self.headings.iter().skip(terms);
        let meanings = headings
            .zip(meanings)
            .filter(|(_, meaning)| !meaning.is_empty())
            .map(|(heading, meaning)| labelled(heading, meaning, alone))
            .collect();
        roff.text(joined(meanings, &line_break()));
    }

    fn terms(&self) -> usize {
        let is_term = |it: &&String| TERMS.contains(&it.as_str());
        self.headings.iter().take_while(is_term).count().max(1)
    }
}

/// The words without their font.
pub(super) fn words(inline: Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
        Inline::LineBreak => " ".to_owned(),
    }
}

fn labelled(heading: &str, mut meaning: Vec<Inline>, alone: bool) -> Vec<Inline> {
    if !alone && heading != PLAIN {
        meaning.insert(0, roman(format!("{heading}: ")));
    }
    meaning
}

fn joined(parts: Vec<Vec<Inline>>, between: &Inline) -> Vec<Inline> {
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    let mut joined = Vec::new();
    for part in parts {
        if !joined.is_empty() {
            joined.push(between.clone());
        }
        joined.extend(part);
    }
    joined
}

#[cfg(test)]
mod tests {
    use clap_mangen::roff::bold;

    use super::*;

    fn written(rows: &[&[&str]]) -> String {
        let (mut table, mut roff) = (Table::default(), Roff::new());
        for (at, row) in rows.iter().enumerate() {
            for cell in *row {
                let text = (!cell.is_empty()).then(|| bold(*cell));
                table.cell(text.into_iter().collect());
            }
            if at == 0 {
                table.head();
            } else {
                table.row(&mut roff);
            }
        }
        roff.to_roff()
    }

    #[test]
    fn an_attribute_stands_with_its_element() {
        let rows = written(&[
            &["element", "attribute", "meaning", "without it"],
            &["proxy", "", "the way", ""],
            &["", "ruleset", "the rules", "none"],
        ]);
        let expected = ".TP\n\\fBproxy\\fR\n\\fBthe way\\fR\n\
             .TP\n\\fBproxy\\fR: \\fBruleset\\fR\n\\fBthe rules\\fR\n.br\nwithout it: \\fBnone\\fR\n";
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_single_meaning_needs_no_heading() {
        let rows = written(&[&["written", "becomes"], &["$U", "the user"]]);
        assert_eq!(rows, ".TP\n\\fB$U\\fR\n\\fBthe user\\fR\n");
    }
}
