//! The keys, and what each does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::close;
use super::model::{Link, Model, Overlay};
use super::request::Request;
use super::rows::{Key as RowKey, Pane};
use super::world::World;

/// The longest filter.
const MAX_FILTER: usize = 64;

/// The rows that a page has, whatever the size of the screen.
const PAGE: isize = 10;

/// Further than any list is long.
const FAR: isize = 1 << 20;

/// For the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("Tab, Shift-Tab", "the next pane, the one before"),
    ("1 to 5", "a pane by its place"),
    ("Up, Down, j, k", "select a row; also PgUp, PgDn, Home, End"),
    ("Enter", "all that is known of the selected row"),
    (
        "/",
        "show only rows with a text, in all panes; Esc: all rows",
    ),
    ("s", "sort the pane in another order"),
    ("z", "show this pane alone, or all panes"),
    (
        "x",
        "close the selected tunnel, cut the transfer, or close the",
    ),
    ("", "SSH connections of the profile; asks first"),
    ("c", "connect the selected profile"),
    ("p", "pause the screen, or continue"),
    ("q, Ctrl-C", "end; the daemon continues"),
];

/// A key as far as the screen knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Next,
    Before,
    Enter,
    Escape,
    Erase,
    Interrupt,
    Suspend,
    Redraw,
    Character(char),
}

/// Keys that are no characters.
const NAMED: &[(KeyCode, Key)] = &[
    (KeyCode::Up, Key::Up),
    (KeyCode::Down, Key::Down),
    (KeyCode::PageUp, Key::PageUp),
    (KeyCode::PageDown, Key::PageDown),
    (KeyCode::Home, Key::Home),
    (KeyCode::End, Key::End),
    (KeyCode::Tab, Key::Next),
    (KeyCode::Right, Key::Next),
    (KeyCode::BackTab, Key::Before),
    (KeyCode::Left, Key::Before),
    (KeyCode::Enter, Key::Enter),
    (KeyCode::Esc, Key::Escape),
    (KeyCode::Backspace, Key::Erase),
];

/// Characters with Ctrl.
const CONTROL: &[(char, Key)] = &[
    ('c', Key::Interrupt),
    ('z', Key::Suspend),
    ('l', Key::Redraw),
];

impl Key {
    /// The key of a terminal's event; `None` if the screen does not know it.
    pub(super) fn of(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        if let KeyCode::Char(c) = event.code {
            let known = CONTROL.iter().find(|(name, _)| *name == c);
            return match event.modifiers.contains(KeyModifiers::CONTROL) {
                true => known.map(|(_, key)| *key),
                false => Some(Self::Character(c)),
            };
        }
        let known = NAMED.iter().find(|(code, _)| *code == event.code);
        known.map(|(_, key)| *key)
    }
}

/// What a key asks of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    End,
    Suspend,
    Redraw,
    Ask(Request),
}

/// Keys that mean the same whatever the screen shows.
const ALWAYS: &[(Key, Action)] = &[
    (Key::Interrupt, Action::End),
    (Key::Suspend, Action::Suspend),
    (Key::Redraw, Action::Redraw),
];

/// Does what the key means now.
pub(super) fn press(model: &mut Model, key: Key) -> Option<Action> {
    if let Some((_, action)) = ALWAYS.iter().find(|(known, _)| *known == key) {
        return Some(action.clone());
    }
    // The person has seen the notice. Escape takes back one thing at a time.
    if key != Key::Escape {
        model.notice = None;
    }
    if model.overlay.is_some() {
        return over_overlay(model, key);
    }
    if model.typing {
        type_filter(model, key);
        return None;
    }
    over_panes(model, key)
}

/// Keys while something covers the panes.
fn over_overlay(model: &mut Model, key: Key) -> Option<Action> {
    match (model.overlay.take(), key) {
        (Some(Overlay::Confirm(request)), Key::Character('y' | 'Y')) => {
            return ask(model, request);
        }
        (Some(Overlay::Confirm(_)), _) => model.tell("Nothing was closed", false),
        (
            Some(Overlay::Details {
                pane,
                key: row,
                scroll,
            }),
            Key::Up | Key::Character('k'),
        ) => {
            let scroll = scroll.saturating_sub(1);
            model.overlay = Some(Overlay::Details {
                pane,
                key: row,
                scroll,
            });
        }
        (
            Some(Overlay::Details {
                pane,
                key: row,
                scroll,
            }),
            Key::Down | Key::Character('j'),
        ) => {
            let scroll = scroll.saturating_add(1);
            model.overlay = Some(Overlay::Details {
                pane,
                key: row,
                scroll,
            });
        }
        (Some(Overlay::Details { .. } | Overlay::Help) | None, _) => {}
    }
    None
}

/// Another daemon may use the same ids for something else, so nothing is asked of a daemon that is gone.
fn ask(model: &mut Model, request: Request) -> Option<Action> {
    if let Link::Down { .. } = model.link {
        return None;
    }
    model.tell(request.progress(), false);
    Some(Action::Ask(request))
}

/// Keys that go into the filter.
fn type_filter(model: &mut Model, key: Key) {
    match key {
        Key::Character(c) if model.filter.chars().count() < MAX_FILTER => model.filter.push(c),
        Key::Erase => {
            model.filter.pop();
        }
        Key::Escape => {
            model.filter.clear();
            model.typing = false;
        }
        Key::Enter => model.typing = false,
        Key::Up => model.select(-1),
        Key::Down => model.select(1),
        Key::Next => model.turn(1),
        Key::Character(_)
        | Key::PageUp
        | Key::PageDown
        | Key::Home
        | Key::End
        | Key::Before
        | Key::Interrupt
        | Key::Suspend
        | Key::Redraw => {}
    }
}

fn over_panes(model: &mut Model, key: Key) -> Option<Action> {
    match key {
        Key::Character('q') => return Some(Action::End),
        Key::Character('x') => return on_row(model, close::close),
        Key::Character('c') => return on_row(model, close::connect),
        Key::Up | Key::Character('k') => model.select(-1),
        Key::Down | Key::Character('j') => model.select(1),
        Key::PageUp => model.select(-PAGE),
        Key::PageDown => model.select(PAGE),
        Key::Home | Key::Character('g') => model.select(-FAR),
        Key::End | Key::Character('G') => model.select(FAR),
        Key::Next => model.turn(1),
        Key::Before => model.turn(Pane::ALL.len() - 1),
        Key::Character(c @ '1'..='5') => turn_to(model, c),
        Key::Enter => show_details(model),
        Key::Character('/') => model.typing = true,
        Key::Escape => escape(model),
        Key::Character('s') => model.sort(),
        Key::Character('z') => model.zoomed = !model.zoomed,
        Key::Character('p' | ' ') => model.pause(),
        Key::Character('?' | 'h') => model.overlay = Some(Overlay::Help),
        Key::Character(_) | Key::Erase | Key::Interrupt | Key::Suspend | Key::Redraw => {}
    }
    None
}

/// Takes back what hides something, one at a time.
fn escape(model: &mut Model) {
    if model.notice.take().is_none() {
        model.filter.clear();
    }
}

fn turn_to(model: &mut Model, place: char) {
    let place = place.to_digit(10).and_then(|it| usize::try_from(it).ok());
    if let Some(pane) = place.and_then(|it| Pane::ALL.get(it.saturating_sub(1))) {
        model.focus = *pane;
    }
}

fn show_details(model: &mut Model) {
    let pane = model.focus;
    model.overlay = model.selected().map(|key| Overlay::Details {
        pane,
        key,
        scroll: 0,
    });
}

/// Makes the request that a key means for the selected row, after a question if it does harm.
fn on_row(
    model: &mut Model,
    meaning: fn(Pane, &RowKey, &World) -> Result<Request, &'static str>,
) -> Option<Action> {
    let selected = model.selected();
    let (world, _) = model.shown();
    let meant = match &selected {
        Some(row) => meaning(model.focus, row, world),
        None => Err("Nothing is selected"),
    };
    match meant {
        Ok(request) if request.question().is_some() => {
            model.overlay = Some(Overlay::Confirm(request));
            None
        }
        Ok(request) => ask(model, request),
        Err(why) => {
            model.tell(why, true);
            None
        }
    }
}
