//! Transfers: those that run, with a graph of their rate, and those that are over.

use std::cmp::Reverse;

use broker_ipc::types::{Transfer, TransferDirection, TransferState};

use super::{Cell, Column, Detail, Key, Rank, Row};
use crate::times::Times;
use crate::top::look::{Keep, Look, Tone};
use crate::top::world::{Moving, World};
use crate::units;

/// The graph's width in a row.
const GRAPH: u16 = 10;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("", 1),
    Column::rest("FILE", Keep::Ends),
    Column::text("THROUGH", 12).from(110),
    Column::text("FTP USER", 10).from(130),
    Column::number("SIZE", 10).from(70),
    Column::number("%", 3),
    Column::number("RATE", 12).from(50),
    Column::text("", GRAPH).from(70),
    Column::text("STATE", 14),
];

pub(super) const ORDERS: &[&str] = &["newest", "rate", "size", "file"];

pub(super) fn rows(world: &World, now: u64, look: Look) -> Vec<Row> {
    let row = |it| row(it, world, now, look);
    world.transfers.values().map(row).collect()
}

fn row(moving: &Moving, world: &World, now: u64, look: Look) -> Row {
    let it = &moving.it;
    let (state, tone) = state(it, now);
    let plain = match moving.runs() {
        true => Tone::Plain,
        false => Tone::Quiet,
    };
    let percent = it.percent().map(|it| it.to_string());
    let size = it.size.unwrap_or(it.bytes);
    let graph = match moving.runs() {
        true => look.graph(moving.rates.iter().copied(), GRAPH.into()),
        false => String::new(),
    };
    Row {
        key: Key::Number(it.id),
        cells: vec![
            Cell::new(arrow(it.direction, look), plain),
            Cell::new(file(it), plain),
            Cell::new(world.name_of(&it.profile), plain),
            Cell::new(it.ftp_user.as_deref().unwrap_or_default(), plain),
            Cell::new(units::size(size), plain),
            Cell::new(percent.unwrap_or_default(), plain),
            Cell::new(units::rate(it.rate), plain),
            Cell::new(graph, Tone::Graph),
            Cell::new(state, tone),
        ],
        ranks: vec![
            Rank::Over(!moving.runs(), Reverse(it.id)),
            Rank::Over(!moving.runs(), Reverse(it.rate)),
            Rank::down(size),
            Rank::text(file(it)),
        ],
    }
}

fn arrow(direction: TransferDirection, look: Look) -> &'static str {
    match direction {
        TransferDirection::Upload => look.either("↑", "^"),
        TransferDirection::Download => look.either("↓", "v"),
        TransferDirection::Listing => look.either("≡", "="),
        TransferDirection::Unknown => "?",
    }
}

fn file(it: &Transfer) -> &str {
    it.path.as_deref().unwrap_or(&it.command)
}

fn state(it: &Transfer, now: u64) -> (String, Tone) {
    match (it.state, it.stalled_since, it.time_left) {
        (TransferState::Running, Some(since), _) => {
            let stalled = units::duration(now.saturating_sub(since));
            (format!("stalled {stalled}"), Tone::Caution)
        }
        (TransferState::Running, None, Some(left)) => {
            (format!("{} left", units::duration(left)), Tone::Good)
        }
        (TransferState::Running, None, None) => ("running".to_owned(), Tone::Good),
        (TransferState::Complete, _, _) => (it.state.to_string(), Tone::Quiet),
        (TransferState::Refused | TransferState::Aborted, _, _) => {
            (it.state.to_string(), Tone::Caution)
        }
        (TransferState::Failed | TransferState::Cut, _, _) => (it.state.to_string(), Tone::Bad),
    }
}

pub(super) fn details(key: &Key, world: &World, now: u64) -> Vec<Detail> {
    let Key::Number(id) = key else {
        return Vec::new();
    };
    let Some(moving) = world.transfers.get(id) else {
        return Vec::new();
    };
    let it = &moving.it;
    let size = it.size.map(units::size);
    let facts = [
        Some(Detail::new("Transfer", id.to_string())),
        Some(Detail::new("Command", &it.command)),
        Detail::known("Path", it.path.as_ref()),
        Some(Detail::new("Direction", it.direction.to_string())),
        Some(Detail::new("State", state(it, now).0)),
        Some(Detail::new("Bytes", units::size(it.bytes))),
        Detail::known("Size", size),
        Some(Detail::new("Rate", units::rate(it.rate))),
        Some(Detail::new("Began", Times::of_day(it.started))),
        Some(Detail::new("Time", units::duration(it.duration_ms / 1000))),
        Some(Detail::new("Client", &it.client)),
        Detail::known("FTP user", it.ftp_user.as_ref()),
        Some(Detail::new("FTP server", &it.server)),
        Some(Detail::new("Through", world.name_of(&it.profile))),
        Some(Detail::new("Session", it.session.to_string())),
        Detail::known("Reply", it.reply.as_ref()),
        Detail::known("Reason", it.reason.as_ref()),
        Detail::known("Caused by", it.by.map(|by| by.to_string())),
    ];
    facts.into_iter().flatten().collect()
}
