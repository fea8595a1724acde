//! Failures: what clients of tunnels did not get, and why.

use broker_ipc::types::RecentFailure;

use super::{Cell, Column, Detail, Key, Rank, Row};
use crate::times::Times;
use crate::top::look::{Keep, Tone};
use crate::top::world::{Numbered, World};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("TIME", 9),
    Column::text("CAUSED BY", 10).from(60),
    Column::number("TIMES", 5).from(60),
    Column::text("TUNNEL", 21).from(100),
    Column::rest("WHAT FAILED", Keep::Begin),
];

pub(super) const ORDERS: &[&str] = &["newest", "times", "cause"];

pub(super) fn rows(world: &World) -> Vec<Row> {
    world.failures.iter().map(row).collect()
}

fn row(known: &Numbered<RecentFailure>) -> Row {
    let failure = &known.it.failure;
    let tone = match failure.recovered {
        true => Tone::Quiet,
        false => Tone::Bad,
    };
    Row {
        key: Key::Number(known.number),
        cells: vec![
            Cell::quiet(Times::of_day(failure.time)),
            Cell::quiet(failure.by.to_string()),
            Cell::quiet(failure.count.to_string()),
            Cell::quiet(&known.it.listener),
            Cell::new(&failure.message, tone),
        ],
        ranks: vec![
            Rank::down(failure.time),
            Rank::down(failure.count),
            Rank::text(&failure.by.to_string()),
        ],
    }
}

pub(super) fn details(key: &Key, world: &World) -> Vec<Detail> {
    let known = world
        .failures
        .iter()
        .find(|it| Key::Number(it.number) == *key);
    let Some(Numbered { it, .. }) = known else {
        return Vec::new();
    };
    let failure = &it.failure;
    let recovered = if failure.recovered { "yes" } else { "no" };
    vec![
        Detail::new("Tunnel", format!("{}, {}", it.tunnel, it.listener)),
        Detail::new("Last at", Times::of_day(failure.time)),
        Detail::new("Times", failure.count.to_string()),
        Detail::new("Caused by", failure.by.to_string()),
        Detail::new("Reason", failure.reason.to_string()),
        Detail::new("Works again", recovered),
        Detail::new("What failed", &failure.message),
    ]
}
