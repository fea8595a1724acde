//! The end of the daemon's log.

use broker_ipc::types::LogLevel;

use super::{Cell, Column, Detail, Key, Rank, Row};
use crate::times::Times;
use crate::top::look::{Keep, Tone};
use crate::top::world::{Line, Numbered, World};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("", 9),
    Column::text("", 5).from(50),
    Column::rest("", Keep::Begin),
];

pub(super) const ORDERS: &[&str] = &["oldest", "level"];

pub(super) fn rows(world: &World) -> Vec<Row> {
    world.log.iter().map(row).collect()
}

fn row(known: &Numbered<Line>) -> Row {
    let line = &known.it;
    let tone = tone(line.level);
    Row {
        key: Key::Number(known.number),
        cells: vec![
            Cell::quiet(Times::of_day(line.at)),
            Cell::new(line.level.to_string().to_uppercase(), tone),
            Cell::new(&line.message, tone),
        ],
        ranks: vec![
            Rank::Up(known.number),
            // The most important ones are at the end, as the newest are.
            Rank::down(line.level as u64),
        ],
    }
}

fn tone(level: LogLevel) -> Tone {
    match level {
        LogLevel::Error => Tone::Bad,
        LogLevel::Warn => Tone::Caution,
        LogLevel::Info => Tone::Plain,
        LogLevel::Debug | LogLevel::Trace => Tone::Quiet,
    }
}

pub(super) fn details(key: &Key, world: &World) -> Vec<Detail> {
    let known = world.log.iter().find(|it| Key::Number(it.number) == *key);
    let Some(Numbered { it, .. }) = known else {
        return Vec::new();
    };
    vec![
        Detail::new("Time", Times::of_day(it.at)),
        Detail::new("Level", it.level.to_string()),
        Detail::new("Message", &it.message),
    ]
}
