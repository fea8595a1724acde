//! Which columns of a list a person sees, and how wide each is.

use unicode_width::UnicodeWidthStr;

use super::column::{Column, Place};
use super::{Cell, Row, View};

/// The space between two columns.
pub(super) const GAP: usize = 2;

/// A column that is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Its number in each row.
    pub(super) index: usize,
    pub(super) heading: &'static str,
    pub(super) width: usize,
    pub(super) right: bool,
    /// The width to which it can be shortened.
    least: usize,
    /// When it goes; 0: never.
    order: u8,
}

/// The columns that are shown.
pub(super) fn layout(columns: &[Column], rows: &[Row], view: &View) -> Vec<Shown> {
    let columns = columns.iter().enumerate();
    let mut shown: Vec<Shown> = columns
        .filter_map(|(index, column)| candidate(index, column, rows, view))
        .collect();
    if let Some(room) = view.room() {
        while least(&shown) > room {
            let Some(goes) = first_to_go(&shown) else {
                cut(&mut shown, room);
                return shown;
            };
            shown.remove(goes);
        }
        shorten(&mut shown, room);
    }
    shown
}

fn candidate(index: usize, column: &Column, rows: &[Row], view: &View) -> Option<Shown> {
    let order = match column.place {
        Place::Row(order) => order,
        Place::Wide | Place::Below if view.wide => 0,
        Place::Wide | Place::Below => return None,
    };
    let cells = || rows.iter().filter_map(|row| row.cells.get(index));
    if order > 0 && !view.wide && cells().all(|cell| cell.is_absent(view)) {
        return None;
    }
    let heading = column.heading(view.wide);
    let widest = cells().map(|cell| cell.shown(view).width()).max();
    let width = widest.unwrap_or(0).max(heading.width());
    Some(Shown {
        index,
        heading,
        width,
        right: cells().any(|cell: &Cell| cell.right),
        least: column
            .least
            .map_or(width, |least| least.max(heading.width()))
            .min(width),
        order,
    })
}

/// The width of the narrowest form of a row.
fn least(shown: &[Shown]) -> usize {
    total(shown.iter().map(|column| column.least))
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths
        .map(|width| width + GAP)
        .sum::<usize>()
        .saturating_sub(GAP)
}

fn first_to_go(shown: &[Shown]) -> Option<usize> {
    let optional = shown
        .iter()
        .enumerate()
        .filter(|(_, column)| column.order > 0);
    let goes = optional.max_by_key(|(_, column)| column.order);
    goes.map(|(n, _)| n)
}

/// Makes the widest columns narrower until a row fits.
fn shorten(shown: &mut [Shown], room: usize) {
    for column in shown.iter_mut() {
        column.width = column.width.min(room.max(column.least));
    }
    while total(shown.iter().map(|column| column.width)) > room {
        let can = shown
            .iter_mut()
            .filter(|column| column.width > column.least);
        let Some(widest) = can.max_by_key(|column| column.width) else {
            return;
        };
        widest.width -= 1;
    }
}

/// Cuts what does not fit even so, from the right.
fn cut(shown: &mut Vec<Shown>, room: usize) {
    let mut left = room;
    for column in shown.iter_mut() {
        column.width = column.least.min(left);
        left = left.saturating_sub(column.width + GAP);
    }
    shown.retain(|column| column.width > 0);
}
