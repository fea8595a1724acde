//! Tunnels: where each listens, and how much it is used.

use broker_ipc::types::{ListenerState, TunnelListener};

use super::{Cell, Column, Detail, Key, Rank, Row};
use crate::top::look::{Keep, Tone};
use crate::top::world::{Seen, World};
use crate::units;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("LISTENS ON", 21),
    Column::text("STATE", 10),
    Column::text("KIND", 5).from(60),
    Column::number("CLIENTS", 7).from(60),
    Column::number("RATE", 12).from(70),
    Column::text("THROUGH", 14).from(100),
    Column::rest("TO", Keep::Begin).from(50),
];

pub(super) const ORDERS: &[&str] = &["id", "port", "clients", "rate"];

pub(super) fn rows(world: &World, now: u64) -> Vec<Row> {
    let row = |it| row(it, world, now);
    world.tunnels.values().map(row).collect()
}

fn row(seen: &Seen<TunnelListener>, world: &World, now: u64) -> Row {
    let it = &seen.it;
    let (state, tone) = state(it.state);
    let (clients, rate) = (clients(it.id, world), rate(it.id, world));
    Row {
        key: Key::Number(it.id),
        cells: vec![
            Cell::plain(listens_on(it)),
            Cell::new(state, tone),
            Cell::plain(it.kind.to_string()),
            Cell::plain(clients.to_string()),
            Cell::plain(units::rate(rate)),
            Cell::plain(world.name_of(it.profile.as_ref().unwrap_or(&it.target))),
            match trouble(seen, now) {
                Some(trouble) => Cell::new(trouble, tone),
                None => Cell::quiet(destination(it)),
            },
        ],
        ranks: vec![
            Rank::Up(it.id),
            Rank::Up(it.port.into()),
            Rank::down(clients),
            Rank::down(rate),
        ],
    }
}

fn state(state: ListenerState) -> (&'static str, Tone) {
    match state {
        ListenerState::Listening => ("listening", Tone::Good),
        ListenerState::Waiting => ("waiting", Tone::Caution),
        ListenerState::Failed => ("failed", Tone::Bad),
    }
}

/// Why it does not listen, and when the daemon tries again.
fn trouble(seen: &Seen<TunnelListener>, now: u64) -> Option<String> {
    let reason = seen.it.reason.as_ref()?;
    let again = seen.left(seen.it.retry_in, now);
    let again = again.map(|left| format!(" (again in {})", units::duration(left)));
    Some(format!("{reason}{}", again.unwrap_or_default()))
}

fn clients(tunnel: u64, world: &World) -> u64 {
    let sessions = world.sessions.values();
    sessions.filter(|it| it.tunnel == tunnel).count() as u64
}

fn rate(tunnel: u64, world: &World) -> u64 {
    let running = world.transfers.values().filter(|it| it.runs());
    let of_it = running.filter(|it| it.it.tunnel == tunnel);
    of_it.map(|it| it.it.rate).sum()
}

fn listens_on(it: &TunnelListener) -> String {
    plain_text::host_port(&it.address, it.port)
}

fn destination(it: &TunnelListener) -> String {
    match it.dst_host.is_empty() {
        true => "as the client asks".to_owned(),
        false => plain_text::host_port(&it.dst_host, it.dst_port),
    }
}

pub(super) fn details(key: &Key, world: &World, now: u64) -> Vec<Detail> {
    let Key::Number(id) = key else {
        return Vec::new();
    };
    let Some(seen) = world.tunnels.get(id) else {
        return Vec::new();
    };
    let it = &seen.it;
    let last = it.last_failure.as_ref();
    let facts = [
        Some(Detail::new("Tunnel", id.to_string())),
        Some(Detail::new("Kind", it.kind.to_string())),
        Some(Detail::new("Listens on", listens_on(it))),
        Some(Detail::new("Side", it.side.to_string())),
        Some(Detail::new("To", destination(it))),
        Some(Detail::new("Through", &it.target)),
        Some(Detail::new("State", it.state.to_string())),
        Detail::known("Reason", trouble(seen, now)),
        Some(Detail::new("Opened by", it.origin.to_string())),
        Some(Detail::new("Clients", clients(*id, world).to_string())),
        Detail::known("Last failure", last.map(|it| &it.message)),
    ];
    facts.into_iter().flatten().collect()
}
