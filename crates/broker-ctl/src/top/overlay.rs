//! What covers the panes for a moment: the help, the details of a row, a question.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::keys::HELP;
use super::look::Tone;
use super::model::{Model, Overlay};
use super::rows::{Detail, Key, Pane};
use super::world::World;
use crate::table::fit::wrapped;

/// The widest box, and the narrowest.
const WIDTH: (u16, u16) = (100, 30);

/// The width of the labels of details.
const LABEL: usize = 13;

/// Draws what covers the panes, if anything does.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    match &model.overlay {
        Some(Overlay::Help) => text_box(frame, area, model, "Keys", help(model), 0),
        Some(Overlay::Details { pane, key, scroll }) => {
            let lines = details(model, *pane, key, inside(area));
            text_box(frame, area, model, pane.title(), lines, *scroll);
        }
        Some(Overlay::Confirm(request)) => {
            let question = plain_text::printable(&request.question().unwrap_or_default());
            let question = wrapped(&question, inside(area).into());
            let keys = Line::styled("y: yes   any other key: no", model.look.style(Tone::Quiet));
            let lines = question
                .into_iter()
                .map(|it| Line::raw(it.to_owned()))
                .chain([keys]);
            text_box(frame, area, model, "Are you sure?", lines.collect(), 0);
        }
        None => {}
    }
}

fn help(model: &Model) -> Vec<Line<'static>> {
    let entry = |(keys, meaning): &(&'static str, &'static str)| {
        let keys = Span::styled(format!("{keys:<16}"), model.look.style(Tone::Title));
        Line::from(vec![keys, Span::raw(*meaning)])
    };
    HELP.iter().map(entry).collect()
}

fn details(model: &Model, pane: Pane, key: &Key, width: u16) -> Vec<Line<'static>> {
    let (world, now) = model.shown();
    let facts = pane.details(key, world, now);
    if facts.is_empty() {
        return vec![Line::raw("It is gone")];
    }
    let label = |text| Span::styled(format!("{text:<LABEL$}"), model.look.style(Tone::Quiet));
    let room = usize::from(width).saturating_sub(LABEL);
    let fact = |it: Detail| {
        let lines = wrapped(&it.text, room).into_iter().enumerate();
        let line = |(place, text): (usize, &str)| {
            let label = label(if place == 0 { it.label } else { "" });
            Line::from(vec![label, Span::raw(text.to_owned())])
        };
        lines.map(line).collect::<Vec<_>>()
    };
    let graph = graph(model, world, pane, key, width.into());
    facts.into_iter().flat_map(fact).chain(graph).collect()
}

/// The rate of a transfer in the last seconds.
fn graph(
    model: &Model,
    world: &World,
    pane: Pane,
    key: &Key,
    width: usize,
) -> Option<Line<'static>> {
    let Key::Number(id) = key else {
        return None;
    };
    let moving = world
        .transfers
        .get(id)
        .filter(|_| pane == Pane::Transfers)?;
    let graph = model.look.graph(moving.rates.iter().copied(), width);
    Some(Line::styled(graph, model.look.style(Tone::Graph)))
}

/// The width of the text in a box.
fn inside(area: Rect) -> u16 {
    width(area).saturating_sub(2)
}

/// The width of a box.
fn width(area: Rect) -> u16 {
    let (most, least) = WIDTH;
    area.width
        .saturating_sub(4)
        .clamp(least, most)
        .min(area.width)
}

/// A box in the middle of the area, as high as its text.
fn text_box(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    title: &'static str,
    lines: Vec<Line<'static>>,
    scroll: u16,
) {
    let look = model.look;
    let block = Block::bordered()
        .border_set(look.border())
        .border_style(look.style(Tone::Title))
        .title(format!(" {title} "));
    let width = width(area);
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let height = rows.saturating_add(2).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let most = rows.saturating_sub(height.saturating_sub(2));
    let text = Paragraph::new(lines).block(block);
    frame.render_widget(Clear, place);
    frame.render_widget(text.scroll((scroll.min(most), 0)), place);
}
