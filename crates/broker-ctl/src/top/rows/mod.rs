//! The rows of each pane: what the daemon's state means in words.

mod failures;
mod log;
mod profiles;
mod transfers;
mod tunnels;

use std::cmp::Reverse;

use plain_text::printable;

use super::look::{Keep, Look, Tone};
use super::world::World;

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pane {
    Profiles,
    Tunnels,
    Transfers,
    Failures,
    Log,
}

impl Pane {
    /// All, in the order of the screen.
    pub(super) const ALL: [Self; 5] = [
        Self::Profiles,
        Self::Tunnels,
        Self::Transfers,
        Self::Failures,
        Self::Log,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Profiles => "Profiles",
            Self::Tunnels => "Tunnels",
            Self::Transfers => "Transfers",
            Self::Failures => "Failures",
            Self::Log => "Log",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Profiles => profiles::COLUMNS,
            Self::Tunnels => tunnels::COLUMNS,
            Self::Transfers => transfers::COLUMNS,
            Self::Failures => failures::COLUMNS,
            Self::Log => log::COLUMNS,
        }
    }

    /// By what its rows can be sorted; the first is the usual one.
    pub(super) fn orders(self) -> &'static [&'static str] {
        match self {
            Self::Profiles => profiles::ORDERS,
            Self::Tunnels => tunnels::ORDERS,
            Self::Transfers => transfers::ORDERS,
            Self::Failures => failures::ORDERS,
            Self::Log => log::ORDERS,
        }
    }

    /// Its rows, in no order.
    pub(super) fn rows(self, world: &World, now: u64, look: Look) -> Vec<Row> {
        match self {
            Self::Profiles => profiles::rows(world, now),
            Self::Tunnels => tunnels::rows(world, now),
            Self::Transfers => transfers::rows(world, now, look),
            Self::Failures => failures::rows(world),
            Self::Log => log::rows(world),
        }
    }

    /// All that is known of one row; empty if it is gone.
    pub(super) fn details(self, key: &Key, world: &World, now: u64) -> Vec<Detail> {
        match self {
            Self::Profiles => profiles::details(key, world, now),
            Self::Tunnels => tunnels::details(key, world, now),
            Self::Transfers => transfers::details(key, world, now),
            Self::Failures => failures::details(key, world),
            Self::Log => log::details(key, world),
        }
    }
}

/// By what a row is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A profile's id or a target.
    Name(String),
    /// The id of a tunnel or a transfer, or a number that the screen gave.
    Number(u64),
}

/// A column of a pane.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// `None`: what the others leave.
    pub(super) width: Option<u16>,
    /// The width of a pane from which the column is shown.
    pub(super) from: u16,
    pub(super) right: bool,
    pub(super) keep: Keep,
}

impl Column {
    const fn text(heading: &'static str, width: u16) -> Self {
        Self {
            heading,
            width: Some(width),
            from: 0,
            right: false,
            keep: Keep::Begin,
        }
    }

    const fn number(heading: &'static str, width: u16) -> Self {
        Self {
            right: true,
            ..Self::text(heading, width)
        }
    }

    const fn rest(heading: &'static str, keep: Keep) -> Self {
        Self {
            width: None,
            keep,
            ..Self::text(heading, 0)
        }
    }

    const fn from(self, from: u16) -> Self {
        Self { from, ..self }
    }
}

/// A row of a pane.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) cells: Vec<Cell>,
    /// One for each order of the pane.
    pub(super) ranks: Vec<Rank>,
}

impl Row {
    /// Whether it has this text, which is in small letters.
    pub(super) fn has(&self, text: &str) -> bool {
        let has = |cell: &Cell| cell.text.to_lowercase().contains(text);
        self.cells.iter().any(has)
    }
}

/// The place of a row in one of the orders.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Low numbers first.
    Up(u64),
    /// High numbers first.
    Down(Reverse<u64>),
    Text(String),
    /// What is over comes last, and high numbers first.
    Over(bool, Reverse<u64>),
}

impl Rank {
    fn down(number: u64) -> Self {
        Self::Down(Reverse(number))
    }

    fn text(text: &str) -> Self {
        Self::Text(text.to_lowercase())
    }
}

/// A text in a row.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Cell {
    fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            text: printable(text.as_ref()),
            tone,
        }
    }

    fn plain(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Plain)
    }

    fn quiet(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Quiet)
    }
}

/// A fact of the details of a row.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) label: &'static str,
    pub(super) text: String,
}

impl Detail {
    fn new(label: &'static str, text: impl AsRef<str>) -> Self {
        Self {
            label,
            text: printable(text.as_ref()),
        }
    }

    /// The fact, if it is known.
    fn known(label: &'static str, text: Option<impl AsRef<str>>) -> Option<Self> {
        text.map(|text| Self::new(label, text))
    }
}
