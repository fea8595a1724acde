//! Profiles: whether each is connected, and when the daemon tries again.

use broker_ipc::types::Profile;

use super::{Cell, Column, Detail, Key, Rank, Row};
use crate::top::look::{Keep, Tone};
use crate::top::world::{Seen, World};
use crate::units;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("NAME", 12),
    Column::text("STATE", 16),
    Column::number("CONNS", 5),
    Column::number("TUNNELS", 7).from(60),
    Column::text("SERVER", 28).from(100),
    Column::rest("LAST ERROR", Keep::Begin).from(50),
];

pub(super) const ORDERS: &[&str] = &["name", "trouble", "connections"];

pub(super) fn rows(world: &World, now: u64) -> Vec<Row> {
    world.profiles.values().map(|it| row(it, now)).collect()
}

fn row(seen: &Seen<Profile>, now: u64) -> Row {
    let it = &seen.it;
    let (state, tone) = state(seen, now);
    let error = it.last_error.as_deref().unwrap_or_default();
    Row {
        key: Key::Name(it.id.clone()),
        cells: vec![
            Cell::plain(name(it)),
            Cell::new(state, tone),
            Cell::plain(it.connections.to_string()),
            Cell::plain(it.tunnels.to_string()),
            Cell::quiet(server(it)),
            Cell::new(error, tone),
        ],
        ranks: vec![
            Rank::text(name(it)),
            Rank::Up(u64::from(it.last_error.is_none())),
            Rank::down(it.connections),
        ],
    }
}

/// What its state is, in words.
fn state(seen: &Seen<Profile>, now: u64) -> (String, Tone) {
    let it = &seen.it;
    if let Some(left) = seen.left(it.retry_in, now) {
        (format!("retry in {}", units::duration(left)), Tone::Bad)
    } else if it.last_error.is_some() {
        ("failed".to_owned(), Tone::Bad)
    } else if it.connections > 0 {
        ("connected".to_owned(), Tone::Good)
    } else {
        ("not connected".to_owned(), Tone::Quiet)
    }
}

fn name(it: &Profile) -> &str {
    it.name.as_deref().unwrap_or(&it.id)
}

fn server(it: &Profile) -> String {
    let user = it.user.as_ref().map(|user| format!("{user}@"));
    let port = match it.port {
        22 => String::new(),
        other => format!("#{other}"),
    };
    format!("{}{}{port}", user.unwrap_or_default(), it.host)
}

pub(super) fn details(key: &Key, world: &World, now: u64) -> Vec<Detail> {
    let Key::Name(id) = key else {
        return Vec::new();
    };
    let Some(seen) = world.profiles.get(id) else {
        return Vec::new();
    };
    let it = &seen.it;
    let (state, _) = state(seen, now);
    let connections = world.connections.iter().filter(|(_, (of, _))| of == id);
    let connections = connections.map(|(id, (_, it))| format!("{id} ({})", it.kind));
    let connections: Vec<String> = connections.collect();
    let facts = [
        Some(Detail::new("Profile", id)),
        Detail::known("Name", it.name.as_ref()),
        Some(Detail::new("Server", server(it))),
        Some(Detail::new("State", state)),
        Some(Detail::new("Connections", connections.join(", "))),
        Some(Detail::new("Tunnels", it.tunnels.to_string())),
        Detail::known("Last error", it.last_error.as_ref()),
    ];
    let tried = it.tried.iter().map(|it| Detail::new("Tried", &it.text));
    facts.into_iter().flatten().chain(tried).collect()
}
