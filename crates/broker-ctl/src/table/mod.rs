//! Answers as rows of cells: aligned for people, separated by tabs for scripts.

mod cell;
mod column;
pub(crate) mod fit;
mod layout;

use clap::builder::styling::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

pub(crate) use self::cell::Cell;
pub(crate) use self::column::Column;
use self::fit::{shortened, wrapped};
use self::layout::{GAP, Shown, layout};
use crate::times::Times;

/// The style of a value that needs attention.
pub(crate) const ALERT: Style = AnsiColor::Red.on_default().bold();
/// The style of what is over.
const OVER: Style = Style::new().dimmed();
/// The style of headings and labels.
const HEADING: Style = Style::new().bold();
/// How far the lines below a row are from the edge.
const INDENT: usize = 4;
/// Text is not made narrower than that: it would be unreadable.
const NARROWEST: usize = 16;

/// How a person sees tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// The width of the terminal; `None`: there is room for everything.
    pub(crate) width: Option<usize>,
    /// Whether to show everything, however wide that is.
    pub(crate) wide: bool,
    /// How times look.
    pub(crate) times: Times,
}

impl View {
    /// The width that a row must fit into.
    fn room(&self) -> Option<usize> {
        self.width.filter(|_| !self.wide)
    }

    /// A text in lines, behind so many columns.
    fn wrapped<'a>(&self, text: &'a str, indent: usize) -> Vec<&'a str> {
        match self.room() {
            Some(width) => wrapped(text, width.saturating_sub(indent).max(NARROWEST)),
            None => vec![text],
        }
    }
}

/// One record of a list.
#[derive(Debug, Default)]
pub(crate) struct Row {
    cells: Vec<Cell>,
    /// What a person sees below it.
    below: Vec<Cell>,
}

impl Row {
    /// Adds lines that a person sees below the record, unless they ask for `--wide`.
    pub(crate) fn with_below(self, below: Vec<Cell>) -> Self {
        Self { below, ..self }
    }
}

impl From<Vec<Cell>> for Row {
    fn from(cells: Vec<Cell>) -> Self {
        Self {
            cells,
            below: Vec::new(),
        }
    }
}

/// One value of a record, with its label for people and its name for scripts.
#[derive(Debug)]
pub(crate) struct Field {
    label: &'static str,
    name: &'static str,
    cell: Cell,
}

impl Field {
    /// The name is that of the member in JSON.
    pub(crate) fn new(label: &'static str, name: &'static str, cell: Cell) -> Self {
        Self { label, name, cell }
    }
}

/// An answer, ready to be printed.
#[derive(Debug)]
pub(crate) enum Table {
    /// Records under headings, and the text to print if there are none.
    List {
        columns: &'static [Column],
        rows: Vec<Row>,
        nothing: &'static str,
    },
    /// One record.
    Record(Vec<Field>),
    /// Two tables, one after the other.
    Both(Box<Table>, Box<Table>),
}

impl Table {
    /// For scripts.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::List { rows, .. } => {
                let row = |row: &Row| tabs(row.cells.iter().map(Cell::plain));
                lines(rows.iter().map(row))
            }
            Self::Record(fields) => {
                let field = |field: &Field| tabs([field.name, field.cell.plain()].into_iter());
                lines(fields.iter().map(field))
            }
            Self::Both(first, second) => lines(
                [first.short(), second.short()]
                    .into_iter()
                    .filter(|text| !text.is_empty()),
            ),
        }
    }

    /// For people.
    pub(crate) fn aligned(&self, view: &View) -> String {
        match self {
            Self::List { rows, nothing, .. } if rows.is_empty() => (*nothing).to_owned(),
            Self::List { columns, rows, .. } => aligned_list(columns, rows, view),
            Self::Record(fields) => aligned_record(fields, view),
            Self::Both(first, second) => {
                format!("{}\n\n{}", first.aligned(view), second.aligned(view))
            }
        }
    }
}

fn tabs<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.collect::<Vec<_>>().join("\t")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn aligned_list(columns: &[Column], rows: &[Row], view: &View) -> String {
    let shown = layout(columns, rows, view);
    let heading = shown.iter().map(|column| {
        let text = shortened(column.heading, column.width);
        aligned(&text, column, None)
    });
    let heading = joined(heading);
    let mut all = vec![format!("{HEADING}{heading}{HEADING:#}")];
    for row in rows {
        all.push(line(row, &shown, view));
        all.extend(below(columns, row, view));
    }
    all.join("\n")
}

fn line(row: &Row, shown: &[Shown], view: &View) -> String {
    let cell = |column: &Shown| {
        let cell = row.cells.get(column.index)?;
        let text = shortened(&cell.shown(view), column.width);
        Some(aligned(&text, column, cell.style))
    };
    joined(shown.iter().filter_map(cell))
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    let gap = " ".repeat(GAP);
    cells.collect::<Vec<_>>().join(&gap).trim_end().to_owned()
}

fn aligned(text: &str, column: &Shown, style: Option<Style>) -> String {
    let gap = " ".repeat(column.width.saturating_sub(text.width()));
    let text = styled(text, style);
    if column.right {
        format!("{gap}{text}")
    } else {
        format!("{text}{gap}")
    }
}

fn styled(text: &str, style: Option<Style>) -> String {
    match style {
        Some(style) => format!("{style}{text}{style:#}"),
        None => text.to_owned(),
    }
}

/// The lines below a row. With `--wide`, all is in the row.
fn below(columns: &[Column], row: &Row, view: &View) -> Vec<String> {
    if view.wide {
        return Vec::new();
    }
    let columns = columns.iter().zip(&row.cells);
    let own = columns.filter(|(column, _)| column.is_below());
    let cells = own.map(|(_, cell)| cell).chain(&row.below);
    let cells = cells.filter(|cell| !cell.is_absent(view));
    cells.flat_map(|cell| note(cell, view)).collect()
}

fn note(cell: &Cell, view: &View) -> Vec<String> {
    let text = cell.shown(view);
    let lines = view.wrapped(&text, INDENT).into_iter();
    let indent = " ".repeat(INDENT);
    lines
        .map(|line| format!("{indent}{}", styled(line, cell.style)))
        .collect()
}

fn aligned_record(fields: &[Field], view: &View) -> String {
    let labels = fields.iter().map(|field| field.label.width());
    let width = labels.max().unwrap_or(0);
    let lines = fields
        .iter()
        .flat_map(|field| record_lines(field, width, view));
    lines.collect::<Vec<_>>().join("\n")
}

fn record_lines(field: &Field, width: usize, view: &View) -> Vec<String> {
    let begin = width + GAP;
    let text = field.cell.shown(view);
    let lines = view.wrapped(&text, begin).into_iter().enumerate();
    let line = |(n, line): (usize, &str)| {
        let label = if n == 0 { field.label } else { "" };
        let gap = " ".repeat(begin.saturating_sub(label.width()));
        let style = (n == 0).then_some(HEADING);
        format!(
            "{}{gap}{}",
            styled(label, style),
            styled(line, field.cell.style)
        )
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        const COLUMNS: &[Column] = &[
            Column::new("ID"),
            Column::new("NAME").shortens(6),
            Column::new("UP").goes(1),
            Column::wide("ORIGIN"),
            Column::below("ERROR"),
        ];
        let row = |id, name: &str, bytes, error| {
            let cells = [Cell::text("file"), Cell::maybe(error)];
            let begin = [Cell::number(id), Cell::text(name), Cell::size(bytes)];
            Row::from(begin.into_iter().chain(cells).collect::<Vec<_>>())
        };
        Table::List {
            columns: COLUMNS,
            rows: vec![
                row(7, "short", 10, None),
                row(
                    12,
                    "rather longer",
                    2048,
                    Some("it is broken in many places"),
                ),
            ],
            nothing: "None",
        }
    }

    #[test]
    fn people_get_columns() {
        let expected = [
            "ID  NAME                UP",
            " 7  short             10 B",
            "12  rather longer  2.0 KiB",
            "    it is broken in many places",
        ];
        assert_eq!(shown(&sample(), None, false), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_shorter_and_fewer_columns() {
        let expected = [
            "ID  NAME            UP",
            " 7  short         10 B",
            "12  ra…longer  2.0 KiB",
            "    it is broken in",
            "    many places",
        ];
        assert_eq!(shown(&sample(), Some(22), false), expected);
        let expected = [
            "ID  NAME",
            " 7  short",
            "12  r…nger",
            "    it is broken in",
            "    many places",
        ];
        assert_eq!(shown(&sample(), Some(10), false), expected);
        assert_eq!(shown(&sample(), Some(5), false)[2], "12  …");
    }

    #[test]
    fn those_who_ask_get_everything_in_one_line() {
        let expected = [
            "ID  NAME                UP  ORIGIN  ERROR",
            " 7  short             10 B  file    -",
            "12  rather longer  2.0 KiB  file    it is broken in many places",
        ];
        assert_eq!(shown(&sample(), Some(10), true), expected);
    }

    #[test]
    fn a_long_value_of_a_record_is_wrapped_behind_its_label() {
        let field = |label, text: &str| Field {
            label,
            name: "name",
            cell: Cell::text(text),
        };
        let record = Table::Record(vec![
            field("state", "running"),
            field("id", "one two three four five"),
        ]);
        let expected = ["state  running", "id     one two three", "       four five"];
        assert_eq!(shown(&record, Some(24), false), expected);
        assert_eq!(
            record.short(),
            "name\trunning\nname\tone two three four five"
        );
    }

    /// The lines of a table without its colours.
    fn shown(table: &Table, width: Option<usize>, wide: bool) -> Vec<String> {
        let view = View {
            width,
            wide,
            ..View::default()
        };
        let text = anstream::adapter::strip_str(&table.aligned(&view)).to_string();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_script() {
        let names = ["日本.txt", "n\u{303}andu\u{301}", "plain"];
        let row = |name: &str| Row::from(vec![Cell::text(name), Cell::text("end")]);
        let table = Table::List {
            columns: const { &[Column::new("NAME"), Column::new("X")] },
            rows: names.map(row).into(),
            nothing: "None",
        };
        let expected = [
            "NAME      X",
            "日本.txt  end",
            "n\u{303}andu\u{301}     end",
            "plain     end",
        ];
        assert_eq!(shown(&table, None, false), expected);
    }

    #[test]
    fn scripts_get_tabs_and_plain_numbers() {
        assert_eq!(
            sample().short(),
            "7\tshort\t10\tfile\t\n12\trather longer\t2048\tfile\tit is broken in many places"
        );
    }

    #[test]
    fn nothing_is_said_to_people_only() {
        let empty = Table::List {
            columns: &[],
            rows: Vec::new(),
            nothing: "None",
        };
        assert_eq!(empty.aligned(&View::default()), "None");
        assert_eq!(empty.short(), "");
    }
}
