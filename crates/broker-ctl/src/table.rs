//! Answers as rows of cells: aligned for people, separated by tabs for scripts.

use std::fmt::Display;

use clap::builder::styling::{AnsiColor, Style};
use plain_text::printable;
use unicode_width::UnicodeWidthStr;

use crate::units;

/// The style of a value that needs attention.
pub(crate) const ALERT: Style = AnsiColor::Red.on_default().bold();
/// The style of what is over.
const OVER: Style = Style::new().dimmed();
/// The style of headings and labels.
const HEADING: Style = Style::new().bold();

/// One value, in the forms for a person and for a script.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    human: String,
    plain: String,
    right: bool,
    style: Option<Style>,
}

impl Cell {
    pub(crate) fn text(value: impl Display) -> Self {
        let text = printable(&value.to_string());
        Self {
            human: text.clone(),
            plain: text,
            right: false,
            style: None,
        }
    }

    /// An optional value. If it is absent, a person sees a dash and a script an empty field.
    pub(crate) fn maybe(value: Option<impl Display>) -> Self {
        match value {
            Some(value) => Self::text(value),
            None => Self {
                human: "-".into(),
                ..Self::text("")
            },
        }
    }

    pub(crate) fn number(value: u64) -> Self {
        Self {
            right: true,
            ..Self::text(value)
        }
    }

    pub(crate) fn size(bytes: u64) -> Self {
        Self {
            human: units::size(bytes),
            ..Self::number(bytes)
        }
    }

    /// An optional size.
    pub(crate) fn maybe_size(bytes: Option<u64>) -> Self {
        bytes.map_or_else(|| Self::maybe_number(None), Self::size)
    }

    /// A number of seconds.
    pub(crate) fn time(seconds: u64) -> Self {
        Self {
            human: units::duration(seconds),
            ..Self::number(seconds)
        }
    }

    /// An optional number of seconds.
    pub(crate) fn maybe_time(seconds: Option<u64>) -> Self {
        seconds.map_or_else(|| Self::maybe_number(None), Self::time)
    }

    pub(crate) fn rate(bytes: u64) -> Self {
        Self {
            human: units::rate(bytes),
            ..Self::number(bytes)
        }
    }

    /// An optional number.
    pub(crate) fn maybe_number(value: Option<u64>) -> Self {
        Self {
            right: true,
            ..Self::maybe(value)
        }
    }

    /// An optional number of seconds from now.
    pub(crate) fn seconds(value: Option<u64>) -> Self {
        Self {
            human: value.map_or_else(|| "-".into(), |seconds| format!("in {seconds} s")),
            ..Self::maybe_number(value)
        }
    }

    /// A Unix time. A person sees the time that has passed since.
    pub(crate) fn age(since: u64) -> Self {
        Self {
            human: units::age(since),
            ..Self::number(since)
        }
    }

    /// The same, with the word "ago".
    pub(crate) fn ago(since: u64) -> Self {
        Self {
            human: format!("{} ago", units::age(since)),
            ..Self::number(since)
        }
    }

    /// Marks the value if it needs attention.
    pub(crate) fn alert_if(self, alert: bool) -> Self {
        let style = alert.then_some(ALERT).or(self.style);
        Self { style, ..self }
    }

    /// Dims a value that is over.
    pub(crate) fn over_if(self, over: bool) -> Self {
        let style = over.then_some(OVER).or(self.style);
        Self { style, ..self }
    }

    /// Adds what a script finds in other places.
    pub(crate) fn with_remark(mut self, remark: &str) -> Self {
        self.human.push_str(remark);
        self
    }

    /// Adds text after the value.
    pub(crate) fn with_text(mut self, text: &str) -> Self {
        let text = printable(text);
        self.human = format!("{}  {text}", self.human);
        self.plain = format!("{} {text}", self.plain);
        self.right = false;
        self
    }

    /// Adds text before the value.
    pub(crate) fn with_prefix(mut self, text: &str) -> Self {
        let text = printable(text);
        self.human.insert_str(0, &text);
        self.plain.insert_str(0, &text);
        self
    }

    fn aligned(&self, width: usize, right: bool) -> String {
        let gap = " ".repeat(width.saturating_sub(self.human.width()));
        let text = match self.style {
            Some(style) => format!("{style}{}{style:#}", self.human),
            None => self.human.clone(),
        };
        if right {
            format!("{gap}{text}")
        } else {
            format!("{text}{gap}")
        }
    }
}

/// An answer, ready to be printed.
#[derive(Debug)]
pub(crate) enum Table {
    /// Records under headings, and the text to print if there are none.
    List {
        headings: &'static [&'static str],
        rows: Vec<Vec<Cell>>,
        nothing: &'static str,
    },
    /// One record, with a label for each value.
    Record(Vec<(&'static str, Cell)>),
    /// Two tables, one after the other.
    Both(Box<Table>, Box<Table>),
}

impl Table {
    /// For scripts.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::List { rows, .. } => lines(
                rows.iter()
                    .map(|row| tabs(row.iter().map(|cell| cell.plain.as_str()))),
            ),
            Self::Record(fields) => lines(
                fields
                    .iter()
                    .map(|(label, cell)| tabs([*label, cell.plain.as_str()].into_iter())),
            ),
            Self::Both(first, second) => lines(
                [first.short(), second.short()]
                    .into_iter()
                    .filter(|text| !text.is_empty()),
            ),
        }
    }

    /// For people.
    pub(crate) fn aligned(&self) -> String {
        match self {
            Self::List { rows, nothing, .. } if rows.is_empty() => (*nothing).to_owned(),
            Self::List { headings, rows, .. } => aligned_list(headings, rows),
            Self::Record(fields) => aligned_record(fields),
            Self::Both(first, second) => format!("{}\n\n{}", first.aligned(), second.aligned()),
        }
    }
}

fn tabs<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.collect::<Vec<_>>().join("\t")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn aligned_list(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let columns: Vec<(usize, bool)> = headings
        .iter()
        .enumerate()
        .map(|(n, heading)| column(n, heading, rows))
        .collect();
    let heading = headings.iter().map(Cell::text);
    let heading = line(heading.collect::<Vec<_>>().as_slice(), &columns);
    let rows = rows.iter().map(|row| line(row, &columns));
    lines(std::iter::once(format!("{HEADING}{heading}{HEADING:#}")).chain(rows))
}

/// A column's width, and whether it is right-aligned.
fn column(n: usize, heading: &str, rows: &[Vec<Cell>]) -> (usize, bool) {
    let cells = || rows.iter().filter_map(|row| row.get(n));
    let widest = cells().map(|cell| cell.human.width()).max().unwrap_or(0);
    (widest.max(heading.width()), cells().any(|cell| cell.right))
}

fn line(cells: &[Cell], columns: &[(usize, bool)]) -> String {
    let cells = cells
        .iter()
        .zip(columns)
        .map(|(cell, (width, right))| cell.aligned(*width, *right));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn aligned_record(fields: &[(&str, Cell)]) -> String {
    let width = fields
        .iter()
        .map(|(label, _)| label.width())
        .max()
        .unwrap_or(0);
    lines(fields.iter().map(|(label, cell)| {
        let gap = " ".repeat(width.saturating_sub(label.width()));
        format!(
            "{HEADING}{label}{HEADING:#}{gap}  {}",
            cell.aligned(0, false)
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let row =
            |id, name: &str, bytes| vec![Cell::number(id), Cell::text(name), Cell::size(bytes)];
        Table::List {
            headings: &["ID", "NAME", "UP"],
            rows: vec![row(7, "short", 10), row(12, "rather longer", 2048)],
            nothing: "None",
        }
    }

    #[test]
    fn people_get_columns() {
        let text = anstream::adapter::strip_str(&sample().aligned()).to_string();
        assert_eq!(
            text,
            "ID  NAME                UP\n 7  short             10 B\n12  rather longer  2.0 KiB"
        );
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_script() {
        let names = ["日本.txt", "n\u{303}andu\u{301}", "plain"];
        let row = |name: &str| vec![Cell::text(name), Cell::text("end")];
        let table = Table::List {
            headings: &["NAME", "X"],
            rows: names.map(row).into(),
            nothing: "None",
        };
        let text = anstream::adapter::strip_str(&table.aligned()).to_string();
        assert_eq!(
            text,
            "NAME      X\n日本.txt  end\nn\u{303}andu\u{301}     end\nplain     end"
        );
    }

    #[test]
    fn scripts_get_tabs_and_plain_numbers() {
        assert_eq!(sample().short(), "7\tshort\t10\n12\trather longer\t2048");
    }

    #[test]
    fn nothing_is_said_to_people_only() {
        let empty = Table::List {
            headings: &["ID"],
            rows: Vec::new(),
            nothing: "None",
        };
        assert_eq!(empty.aligned(), "None");
        assert_eq!(empty.short(), "");
    }

    #[test]
    fn a_file_name_cannot_steer_the_terminal() {
        let cell = Cell::text("RETR \u{1b}[2J\nx\ty \u{9b}é");
        assert_eq!(cell.plain, "RETR \\u{1b}[2J\\nx\\ty \\u{9b}é");
    }
}
