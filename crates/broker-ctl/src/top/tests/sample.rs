//! A daemon at work, as its events tell.

use broker_ipc::types::{Event, EventKind, Transfer};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::top::draw::draw;
use crate::top::keys::{self, Action, Key};
use crate::top::look::Look;
use crate::top::model::{Heard, Model};

/// When the events were recorded.
pub(super) const BEGIN: u64 = 1_795_609_500;

/// How fast two of the transfers are in the seconds after, in MiB.
const RATES: [(u64, u64); 14] = [
    (3, 11),
    (9, 12),
    (18, 11),
    (27, 9),
    (33, 6),
    (38, 2),
    (40, 4),
    (41, 8),
    (40, 11),
    (32, 12),
    (25, 12),
    (31, 11),
    (39, 11),
    (41, 11),
];

pub(super) const LOOK: Look = Look {
    colour: true,
    ascii: false,
};

/// The recorded events.
pub(super) fn events() -> Vec<Event> {
    let lines = include_str!("events.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A daemon at work for some seconds.
pub(super) fn model(look: Look) -> Model {
    let mut model = Model::new(look, BEGIN);
    up(&mut model);
    let mut moving: Vec<Transfer> = events()
        .into_iter()
        .filter(|event| event.kind == EventKind::TransferStarted)
        .filter_map(|event| event.transfer)
        .filter(|it| it.stalled_since.is_none())
        .collect();
    for (second, (first, other)) in (1..).zip(RATES) {
        for (it, rate) in moving.iter_mut().zip([first, other]) {
            it.rate = rate << 20;
            it.bytes += it.rate;
            it.time_left = it.size.map(|size| (size - it.bytes) / it.rate);
            hear(&mut model, progress(BEGIN + second, it));
        }
        model.tick(BEGIN + second);
    }
    model
}

/// The daemon answers, and reports its state.
pub(super) fn up(model: &mut Model) {
    model.hear(Heard::Up {
        pid: 4711,
        build: "0.1.0".to_owned(),
    });
    events().into_iter().for_each(|event| hear(model, event));
}

pub(super) fn hear(model: &mut Model, event: Event) {
    model.hear(Heard::Event(Box::new(event)));
}

pub(super) fn progress(at: u64, it: &Transfer) -> Event {
    Event {
        transfer: Some(it.clone()),
        ..Event::new(40, at, EventKind::TransferProgress)
    }
}

/// Presses keys, and returns what the last one asks for.
pub(super) fn type_keys(model: &mut Model, text: &str) -> Option<Action> {
    let press = |c| press(model, KeyCode::Char(c));
    text.chars().map(press).last().flatten()
}

pub(super) fn press(model: &mut Model, code: KeyCode) -> Option<Action> {
    let key = Key::of(KeyEvent::new(code, KeyModifiers::NONE));
    keys::press(model, key.unwrap())
}

/// The screen in a size.
pub(super) fn drawn(model: &Model, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().buffer().clone()
}

/// The same as lines of text.
pub(super) fn text(model: &Model, width: u16, height: u16) -> String {
    let buffer = drawn(model, width, height);
    let lines = (0..height).map(|y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
