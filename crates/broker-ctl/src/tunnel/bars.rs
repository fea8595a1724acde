//! A line for each transfer that runs, which changes as the transfer does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use broker_ipc::types::{Event, EventKind, Transfer};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use plain_text::printable;

use super::lines::file;
use super::narrow::Narrow;
use crate::table::fit::shortened;
use crate::units;

/// The most lines at a time. More would scroll away what has ended.
const MAX_LINES: usize = 10;

/// The columns of a name.
const NAME_WIDTH: usize = 16;

/// The lines of all transfers. Clones share them.
#[derive(Clone)]
pub(super) struct Bars {
    shown: Option<MultiProgress>,
    bars: Rc<RefCell<BTreeMap<u64, ProgressBar>>>,
}

impl Bars {
    pub(super) fn on_terminal() -> Self {
        Self {
            shown: Some(MultiProgress::with_draw_target(target())),
            ..Self::hidden()
        }
    }

    pub(super) fn hidden() -> Self {
        Self {
            shown: None,
            bars: Rc::default(),
        }
    }

    pub(super) fn are_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// Shows what an event says about a transfer.
    pub(super) fn follow(&self, event: &Event) {
        let (Some(lines), Some(transfer)) = (&self.shown, &event.transfer) else {
            return;
        };
        if event.kind == EventKind::TransferEnded {
            if let Some(bar) = self.bars.borrow_mut().remove(&transfer.id) {
                remove(lines, &bar);
            }
            return;
        }
        self.update(lines, transfer);
    }

    fn update(&self, lines: &MultiProgress, transfer: &Transfer) {
        let mut bars = self.bars.borrow_mut();
        if bars.len() == MAX_LINES && !bars.contains_key(&transfer.id) {
            return;
        }
        let bar = bars
            .entry(transfer.id)
            .or_insert_with(|| lines.add(bar_of(transfer)));
        bar.set_position(transfer.bytes);
        bar.set_message(progress(transfer));
    }

    /// Prints something above the lines.
    pub(super) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.shown {
            Some(lines) => lines.suspend(print),
            None => print(),
        }
    }

    /// Leaves the terminal to a prompt, or takes it back.
    pub(super) fn cover(&self, asks: bool) {
        let Some(lines) = &self.shown else { return };
        if asks {
            // If the terminal is gone, the prompt fails as well.
            let _ = lines.clear();
            lines.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            lines.set_draw_target(target());
        }
    }

    /// Removes all lines.
    pub(super) fn clear(&self) {
        let bars = std::mem::take(&mut *self.bars.borrow_mut());
        for bar in bars.values() {
            self.shown.iter().for_each(|lines| remove(lines, bar));
        }
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like(Box::new(Narrow))
}

fn remove(lines: &MultiProgress, bar: &ProgressBar) {
    bar.finish_and_clear();
    lines.remove(bar);
}

fn bar_of(transfer: &Transfer) -> ProgressBar {
    let template = match transfer.size {
        Some(_) => "{prefix} [{bar:8}] {wide_msg}",
        None => "{prefix} {wide_msg}",
    };
    // Only a wrong template has no style, and a line without one still shows the transfer.
    let style = ProgressStyle::with_template(template).map(|it| it.progress_chars("=> "));
    let bar = match transfer.size {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::no_length(),
    };
    let bar = bar.with_prefix(name(transfer));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The direction and the path in columns.
fn name(transfer: &Transfer) -> String {
    let file = shortened(&printable(file(transfer)), NAME_WIDTH);
    format!("{:8} {file:NAME_WIDTH$}", transfer.direction.to_string())
}

/// How far it is, how fast, and how long it still takes.
fn progress(transfer: &Transfer) -> String {
    let bytes = units::size(transfer.bytes);
    let size = transfer.size.map(units::size);
    let done = match (transfer.percent(), size) {
        (Some(percent), Some(size)) => format!("{percent:3} % of {size}"),
        _ => bytes,
    };
    let left = transfer.time_left.map(units::duration);
    let stalled = transfer.stalled_since.map(units::age);
    let pace = match (stalled, left) {
        (Some(still), _) => format!("stalled for {still}"),
        (None, Some(left)) => format!("{}, {left} left", units::rate(transfer.rate)),
        (None, None) => units::rate(transfer.rate),
    };
    format!("{done}, {pace}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::tests::transfer;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let known = transfer();
        assert_eq!(progress(&known), " 25 % of 4.0 KiB, 512 B/s");
        let soon = Transfer {
            time_left: Some(6),
            ..transfer()
        };
        assert_eq!(progress(&soon), " 25 % of 4.0 KiB, 512 B/s, 6 s left");
        let unknown = Transfer {
            size: None,
            ..transfer()
        };
        assert_eq!(progress(&unknown), "1.0 KiB, 512 B/s");
        let stalled = Transfer {
            stalled_since: Some(units::now()),
            ..transfer()
        };
        assert!(progress(&stalled).contains(", stalled for "));
    }

    #[test]
    fn all_of_it_fits_a_usual_terminal() {
        let long = Transfer {
            path: Some("/a/very/long/directory/with/a/report.pdf".into()),
            bytes: 1 << 30,
            size: Some(1 << 30),
            rate: 999 << 20,
            time_left: Some(59),
            ..transfer()
        };
        let line = format!("{} [        ] {}", name(&long), progress(&long));
        assert!(line.chars().count() <= 78, "{line}");
        assert!(
            line.starts_with("download /a/v") && line.contains("report.pdf "),
            "{line}"
        );
    }

    #[test]
    fn there_are_no_more_lines_than_a_person_can_read() {
        let bars = Bars {
            shown: Some(MultiProgress::with_draw_target(ProgressDrawTarget::hidden())),
            ..Bars::hidden()
        };
        let of = |kind, id| Event {
            transfer: Some(Transfer { id, ..transfer() }),
            ..Event::new(1, 7, kind)
        };
        (0..20).for_each(|id| bars.follow(&of(EventKind::TransferStarted, id)));
        assert_eq!(bars.bars.borrow().len(), MAX_LINES);
        bars.follow(&of(EventKind::TransferEnded, 3));
        bars.follow(&of(EventKind::TransferProgress, 15));
        assert!(bars.bars.borrow().contains_key(&15));
        bars.clear();
        assert!(bars.bars.borrow().is_empty());
    }
}
