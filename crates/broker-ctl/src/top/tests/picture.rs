//! The picture of the documentation: the recorded screen as SVG. A test compares the two, so the picture stays true.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use snapbox::{assert_data_eq, file};

use super::sample::{LOOK, drawn, model};

/// The size of a character, in pixels.
const CELL: (u16, u16) = (8, 17);

/// From the top of a character to its base line.
const BASE: u16 = 13;

/// Around the text.
const MARGIN: u16 = 12;

const COLOURS: [(Color, &str); 4] = [
    (Color::Green, "#8ec07c"),
    (Color::Yellow, "#fabd2f"),
    (Color::Red, "#fb6a5c"),
    (Color::Cyan, "#6fc3df"),
];

const BACKGROUND: &str = "#16181d";

#[test]
fn the_picture_shows_the_screen() {
    let picture = svg(&drawn(&model(LOOK), 100, 30));
    assert_data_eq!(picture, file!["../../../../../docs/top.svg"].raw());
}

/// What two cells must have in common to be in one text.
#[derive(PartialEq)]
struct Look {
    colour: &'static str,
    bold: bool,
    reversed: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let dim = cell.modifier.contains(Modifier::DIM);
        Self {
            colour: match COLOURS.iter().find(|(known, _)| *known == cell.fg) {
                Some((_, colour)) => colour,
                None if dim => "#8b919c",
                None => "#e6e8eb",
            },
            bold: cell.modifier.contains(Modifier::BOLD),
            reversed: cell.modifier.contains(Modifier::REVERSED),
        }
    }
}

fn svg(buffer: &Buffer) -> String {
    let (width, height) = (buffer.area.width, buffer.area.height);
    let (w, h) = (width * CELL.0 + 2 * MARGIN, height * CELL.1 + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" \
         aria-label=\"broker-ctl top: profiles, tunnels, transfers, failures and log\">\n\
         <rect width=\"{w}\" height=\"{h}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13\" \
         xml:space=\"preserve\">\n"
    );
    for y in 0..height {
        for (x, text, look) in runs(buffer, y) {
            push(&mut svg, x, y, &text, &look);
        }
    }
    svg + "</g>\n</svg>\n"
}

/// The parts of a line that look the same, each with its column.
fn runs(buffer: &Buffer, y: u16) -> Vec<(u16, String, Look)> {
    let mut runs: Vec<(u16, String, Look)> = Vec::new();
    for x in 0..buffer.area.width {
        let cell = &buffer[(x, y)];
        let look = Look::of(cell);
        match runs.last_mut() {
            Some((_, text, known)) if *known == look => text.push_str(cell.symbol()),
            _ => runs.push((x, cell.symbol().to_owned(), look)),
        }
    }
    runs
}

/// Draws a run. A viewer may not have the font, so each part between larger gaps has a place of its own.
fn push(svg: &mut String, x: u16, y: u16, text: &str, look: &Look) {
    let width = text.chars().count();
    let top = MARGIN + y * CELL.1;
    let colour = match look.reversed {
        true => BACKGROUND,
        false => look.colour,
    };
    if look.reversed {
        let (left, length) = span(x, 0, width);
        let (fill, height) = (look.colour, CELL.1);
        writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{length}\" height=\"{height}\" fill=\"{fill}\"/>"
        )
        .unwrap();
    }
    let bold = match look.bold {
        true => " font-weight=\"bold\"",
        false => "",
    };
    let base = top + BASE;
    for (from, part) in parts(text) {
        let (left, length) = span(x, from, part.chars().count());
        let part = part.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(
            svg,
            "<text x=\"{left}\" y=\"{base}\" fill=\"{colour}\" textLength=\"{length}\" \
             lengthAdjust=\"spacingAndGlyphs\"{bold}>{part}</text>"
        )
        .unwrap();
    }
}

/// Where a part of a run begins, and how long it is.
fn span(x: u16, from: usize, width: usize) -> (u16, u16) {
    let from = u16::try_from(from).unwrap();
    let width = u16::try_from(width).unwrap();
    (MARGIN + (x + from) * CELL.0, width * CELL.0)
}

/// The parts of a text between gaps of two spaces and more, each with its place.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut at = 0;
    for part in text.split("  ") {
        let word = part.trim();
        if !word.is_empty() {
            let before = part.chars().take_while(|c| *c == ' ').count();
            parts.push((at + before, word));
        }
        at += part.chars().count() + 2;
    }
    parts
}
