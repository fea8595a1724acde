//! Draws the model: a line about the daemon, the panes, and a line with the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell as TableCell, Row as TableRow, Table, TableState};
use unicode_width::UnicodeWidthStr;

use super::layout::{Wish, places};
use super::look::{Keep, Look, Tone};
use super::model::{Link, Model};
use super::overlay;
use super::rows::{Column, Pane, Row};
use super::world::World;
use crate::times::Times;
use crate::units;

/// Panes that are on the right of a wide screen: failures and the log.
const ON_THE_RIGHT: usize = 2;

/// Between columns.
const GAP: u16 = 1;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let notice = notice(model);
    let body = Rect {
        y: 1,
        height: area.height.saturating_sub(2 + u16::from(notice.is_some())),
        ..area
    };
    frame.render_widget(header(model, area.width), line(area, 0));
    panes(frame, body, model);
    if let Some(notice) = notice {
        frame.render_widget(notice, line(area, area.height.saturating_sub(2)));
    }
    let last = line(area, area.height.saturating_sub(1));
    frame.render_widget(footer(model, area.width), last);
    if model.typing {
        let typed = u16::try_from(model.filter.width()).unwrap_or(u16::MAX);
        let x = last
            .x
            .saturating_add(FILTER.len() as u16)
            .saturating_add(typed);
        frame.set_cursor_position((x.min(last.right().saturating_sub(1)), last.y));
    }
    overlay::draw(frame, body, model);
    for cell in &mut frame.buffer_mut().content {
        if let Some(symbol) = model.look.symbol(cell.symbol()) {
            cell.set_symbol(symbol);
        }
    }
}

/// One line of an area, and nothing if it is outside.
fn line(area: Rect, y: u16) -> Rect {
    Rect {
        y,
        height: 1,
        ..area
    }
    .intersection(area)
}

/// The daemon, what it does, and the time, as far as there is room.
fn header(model: &Model, width: u16) -> Line<'static> {
    let (world, now) = model.shown();
    let look = model.look;
    let daemon = match &model.link {
        Link::Up { pid, build } => Span::raw(format!("brokerd {build}, process {pid}")),
        Link::Down { .. } => Span::styled("no daemon", look.style(Tone::Bad)),
    };
    let time = Times::of_day(now);
    let facts = match &model.link {
        Link::Up { .. } => vec![sessions(world), rates(world, look), time],
        Link::Down { .. } => vec![time],
    };
    let room = usize::from(width).saturating_sub(daemon.width());
    let text = last_that_fit(&facts, room.saturating_sub(GAP_OF_FACTS));
    let room = room.saturating_sub(text.width());
    let name = Some("broker-ctl top  ").filter(|name| name.width() + GAP_OF_FACTS <= room);
    let name = Span::styled(name.unwrap_or_default(), look.style(Tone::Title));
    let gap = " ".repeat(room.saturating_sub(name.width()));
    Line::from(vec![name, daemon, Span::raw(gap), Span::raw(text)])
}

/// Between the facts of the header.
const GAP_OF_FACTS: usize = 2;

fn sessions(world: &World) -> String {
    match world.sessions.len() {
        1 => "1 session".to_owned(),
        many => format!("{many} sessions"),
    }
}

fn rates(world: &World, look: Look) -> String {
    let (up, down) = world.rates();
    let (up, down) = (units::rate(up), units::rate(down));
    let (arrow_down, arrow_up) = (look.either("↓", "down"), look.either("↑", "up"));
    format!("{arrow_down} {down} {arrow_up} {up}")
}

/// The facts in one text, without the first ones if there is no room for them.
fn last_that_fit(facts: &[String], room: usize) -> String {
    let mut tails = (0..facts.len()).filter_map(|from| facts.get(from..));
    let gap = " ".repeat(GAP_OF_FACTS);
    let fitting = tails.find_map(|tail| Some(tail.join(&gap)).filter(|it| it.width() <= room));
    fitting.unwrap_or_default()
}

/// What a person must know now, if there is something.
fn notice(model: &Model) -> Option<Line<'static>> {
    let look = model.look;
    let (world, _) = model.shown();
    let styled = |text: String, tone| Line::styled(plain_text::printable(&text), look.style(tone));
    if let Link::Down { reason } = &model.link {
        let text = format!("The daemon does not answer: {reason}; trying again");
        return Some(styled(text, Tone::Bad));
    }
    if let Some(notice) = &model.notice {
        let tone = if notice.bad { Tone::Bad } else { Tone::Caution };
        return Some(styled(notice.text.clone(), tone));
    }
    let waiting = match world.prompts.len() {
        0 => return None,
        1 => "A prompt waits".to_owned(),
        many => format!("{many} prompts wait"),
    };
    let text = format!("{waiting} for an answer: run broker-ctl auth-handler in another terminal");
    Some(styled(text, Tone::Caution))
}

/// What comes before the filter.
const FILTER: &str = "Filter: ";

/// The keys, the most important ones first.
const KEYS: [&str; 9] = [
    "? help",
    "q quit",
    "Tab pane",
    "Enter details",
    "/ filter",
    "s sort",
    "x close",
    "c connect",
    "p pause",
];

/// The keys in one text, without the last ones if there is no room for them.
fn keys_that_fit(room: usize) -> String {
    let heads = (0..=KEYS.len()).rev().filter_map(|to| KEYS.get(..to));
    let gap = " ".repeat(GAP_OF_FACTS);
    let mut texts = heads.map(|head| head.join(&gap));
    texts.find(|it| it.width() <= room).unwrap_or_default()
}

fn footer(model: &Model, width: u16) -> Line<'static> {
    let look = model.look;
    let quiet = look.style(Tone::Quiet);
    if model.typing {
        let filter = format!("{FILTER}{}", model.filter);
        return Line::from(vec![
            Span::raw(filter),
            Span::styled("   Enter: keep  Esc: all rows", quiet),
        ]);
    }
    let mut spans = Vec::new();
    if model.is_paused() {
        spans.push(Span::styled("PAUSED  ", look.style(Tone::Caution)));
    }
    if !model.filter.is_empty() {
        let filter = format!("{FILTER}{}  ", model.filter);
        spans.push(Span::styled(filter, look.style(Tone::Caution)));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let keys = keys_that_fit(usize::from(width).saturating_sub(used));
    spans.push(Span::styled(keys, quiet));
    Line::from(spans)
}

fn panes(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let lists: Vec<_> = Pane::ALL
        .iter()
        .map(|pane| (*pane, model.rows(*pane)))
        .collect();
    let wishes: Vec<Wish> = lists
        .iter()
        .map(|(pane, (rows, _))| wish(*pane, rows))
        .collect();
    let places = places(area, &wishes, ON_THE_RIGHT).filter(|_| !model.zoomed);
    for (place, (pane, (rows, all))) in lists.into_iter().enumerate() {
        match &places {
            Some(places) => {
                let area = places.get(place).copied().unwrap_or_default();
                list(
                    frame,
                    area,
                    model,
                    pane,
                    &rows,
                    title(model, pane, rows.len(), all),
                );
            }
            None if pane == model.focus => {
                list(frame, area, model, pane, &rows, tabs(model));
            }
            None => {}
        }
    }
}

/// The lines that a pane needs besides its rows.
fn around(pane: Pane) -> u16 {
    1 + u16::from(has_headings(pane))
}

fn has_headings(pane: Pane) -> bool {
    pane.columns()
        .iter()
        .any(|column| !column.heading.is_empty())
}

/// At least one row; transfers are what most people look for.
fn wish(pane: Pane, rows: &[Row]) -> Wish {
    let least = around(pane) + 1 + u16::from(pane == Pane::Transfers);
    let wanted = match pane {
        // It takes what others leave.
        Pane::Log => least + 2,
        Pane::Profiles | Pane::Tunnels | Pane::Transfers | Pane::Failures => {
            u16::try_from(rows.len())
                .unwrap_or(u16::MAX)
                .saturating_add(around(pane))
        }
    };
    Wish {
        least,
        wanted: wanted.max(least),
    }
}

/// The pane's name, how much it shows, and in which order.
fn title(model: &Model, pane: Pane, shown: usize, all: usize) -> Line<'static> {
    let look = model.look;
    let count = match shown == all {
        true => format!("{all}"),
        false => format!("{shown} of {all}"),
    };
    let mut text = format!(" {} ({count})", pane.title());
    let order = model.view(pane).order;
    if let Some(order) = pane.orders().get(order).filter(|_| order > 0) {
        text = format!("{text} by {order}");
    }
    match pane == model.focus {
        true => Line::styled(
            format!("{text} {} ", look.either("◂", "<")),
            look.style(Tone::Title),
        ),
        false => Line::raw(text + " "),
    }
}

/// The names of all panes, if there is only room for one.
fn tabs(model: &Model) -> Line<'static> {
    let name = |pane: &Pane| match *pane == model.focus {
        true => Span::styled(format!("[{}]", pane.title()), model.look.style(Tone::Title)),
        false => Span::raw(format!(" {} ", short(pane.title()))),
    };
    Line::from(Pane::ALL.iter().map(name).collect::<Vec<_>>())
}

/// The beginning of a pane's name.
fn short(title: &'static str) -> &'static str {
    title.get(..4).unwrap_or(title)
}

fn list(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    pane: Pane,
    rows: &[Row],
    title: Line<'static>,
) {
    let look = model.look;
    let columns = Columns::of(pane, area.width);
    let block = Block::new()
        .borders(Borders::TOP)
        .border_set(look.border())
        .border_style(look.style(Tone::Quiet))
        .title(title);
    let place = model.place(pane, rows);
    let selected = (pane == model.focus && !rows.is_empty()).then_some(place);
    let row = |(at, row)| columns.row(row, look, selected == Some(at));
    let mut table = Table::new(rows.iter().enumerate().map(row), columns.widths())
        .column_spacing(GAP)
        .block(block);
    if has_headings(pane) {
        table = table.header(columns.headings(look));
    }
    let height = usize::from(area.height.saturating_sub(around(pane)));
    // The selected row is in view, and the list begins with its first row as long as it can.
    let offset = (place + 1).saturating_sub(height);
    let table = table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new()
        .with_offset(offset)
        .with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

/// The columns that a pane shows in a width, each with its own width.
struct Columns(Vec<(usize, &'static Column, u16)>);

impl Columns {
    fn of(pane: Pane, width: u16) -> Self {
        let shown = pane
            .columns()
            .iter()
            .enumerate()
            .filter(|(_, it)| it.from <= width);
        let shown: Vec<_> = shown.collect();
        let fixed = shown
            .iter()
            .map(|(_, it)| it.width.unwrap_or(0))
            .sum::<u16>();
        let gaps = GAP * u16::try_from(shown.len().saturating_sub(1)).unwrap_or(0);
        let rest = width.saturating_sub(fixed + gaps);
        let with_width =
            |(place, it): (usize, &'static Column)| (place, it, it.width.unwrap_or(rest));
        Self(shown.into_iter().map(with_width).collect())
    }

    fn widths(&self) -> impl Iterator<Item = Constraint> + '_ {
        self.0
            .iter()
            .map(|(_, _, width)| Constraint::Length(*width))
    }

    fn headings(&self, look: Look) -> TableRow<'static> {
        let cell = |(_, column, width): &(usize, &'static Column, u16)| {
            let text = look.fit(column.heading, (*width).into(), Keep::Begin);
            aligned(Line::raw(text), column)
        };
        TableRow::new(self.0.iter().map(cell)).style(look.style(Tone::Quiet))
    }

    /// A selected row has one colour.
    fn row(&self, row: &Row, look: Look, selected: bool) -> TableRow<'static> {
        let cell = |(place, column, width): &(usize, &'static Column, u16)| {
            let Some(cell) = row.cells.get(*place) else {
                return TableCell::default();
            };
            let text = look.fit(&cell.text, (*width).into(), column.keep);
            let tone = if selected { Tone::Plain } else { cell.tone };
            aligned(Line::styled(text, look.style(tone)), column)
        };
        TableRow::new(self.0.iter().map(cell))
    }
}

fn aligned(text: Line<'static>, column: &Column) -> TableCell<'static> {
    TableCell::new(match column.right {
        true => text.right_aligned(),
        false => text,
    })
}
