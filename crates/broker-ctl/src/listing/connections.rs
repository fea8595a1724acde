//! Profiles and their SSH connections.

use broker_ipc::types::{Connection, ConnectionDetail, Profile, TunnelListener};
use broker_ipc::{LoginAttempt, Party};

use super::channels::channels;
use super::failures::failure;
use crate::names::Names;
use crate::table::{Cell, Column, Field, Row, Table};
use crate::units;

pub(crate) fn profiles(profiles: &[Profile], listeners: &[TunnelListener]) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID").goes(1).shortens(8),
        Column::new("NAME").goes(2).shortens(8),
        Column::new("USER").goes(4).shortens(8),
        Column::new("HOST").shortens(15),
        Column::new("PORT").goes(5),
        Column::new("CONNECTIONS").goes(3),
        Column::new("TUNNELS").goes(6),
        Column::new("NEXT TRY").goes(2),
        Column::below("LAST ERROR"),
    ];
    let row = |p: &Profile| {
        Row::from(vec![
            Cell::text(&p.id),
            Cell::maybe(p.name.as_ref()),
            Cell::maybe(p.user.as_ref()),
            Cell::text(&p.host),
            Cell::number(p.port.into()),
            Cell::number(p.connections),
            Cell::number(p.tunnels),
            Cell::seconds(p.retry_in),
            last_error(p.last_error.as_ref()),
        ])
        .with_below(below(p, listeners))
    };
    Table::List {
        columns: COLUMNS,
        rows: profiles.iter().map(row).collect(),
        nothing: "No profiles",
    }
}

/// What people see below a profile. If all is well again, the last failure of SSH in its tunnels.
fn below(profile: &Profile, listeners: &[TunnelListener]) -> Vec<Cell> {
    let remarks = remarks(profile.no_answer, &profile.tried);
    if profile.last_error.is_some() {
        return remarks;
    }
    let own = listeners.iter();
    let own = own.filter(|it| it.profile.as_deref() == Some(&profile.id));
    let failures = own.filter_map(|it| it.last_failure.as_ref());
    let failures = failures.filter(|it| it.by == Party::Ssh && it.recovered);
    let latest = failures.max_by_key(|it| it.time).map(failure);
    remarks.into_iter().chain(latest).collect()
}

fn last_error(error: Option<&String>) -> Cell {
    Cell::maybe(error).alert_if(error.is_some())
}

/// How long the server has not answered, and what was tried in a login that failed.
fn remarks(no_answer: Option<u64>, tried: &[LoginAttempt]) -> Vec<Cell> {
    let attempts = tried.iter();
    let attempts = attempts.map(|it| Cell::text(&it.text).with_prefix("  "));
    no_answer.map(silence).into_iter().chain(attempts).collect()
}

/// That the SSH server has not answered for so many seconds.
fn silence(seconds: u64) -> Cell {
    Cell::text(format!("no answer for {}", units::duration(seconds))).alert_if(true)
}

pub(crate) fn connections(connections: &[Connection], names: &Names) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::new("KIND").goes(3),
        Column::new("STATE"),
        Column::new("TARGET").briefly("SERVER").shortens(12),
        Column::new("CHANNELS").goes(4),
        Column::new("SENT").goes(2),
        Column::new("RECEIVED").goes(2),
        Column::new("SINCE").goes(1),
        Column::below("LAST ERROR"),
    ];
    let row = |c: &Connection| {
        let target = format!("{}@{}", c.user, c.target);
        let server = names.of_server(c.profile.as_deref(), &target);
        Row::from(vec![
            Cell::number(c.id),
            Cell::text(c.kind),
            Cell::text(c.state),
            Cell::text(&target).briefly(server),
            Cell::number(c.channels),
            Cell::size(c.bytes_out),
            Cell::size(c.bytes_in),
            Cell::since(c.since),
            last_error(c.last_error.as_ref()),
        ])
        .with_below(remarks(c.no_answer, &c.tried))
    };
    Table::List {
        columns: COLUMNS,
        rows: connections.iter().map(row).collect(),
        nothing: "No SSH connections",
    }
}

pub(crate) fn connection(detail: &ConnectionDetail, show_channels: bool) -> Table {
    let record = connection_record(&detail.connection);
    if show_channels {
        Table::Both(record.into(), channels(&detail.channels).into())
    } else {
        record
    }
}

fn connection_record(c: &Connection) -> Table {
    let error = last_error(c.last_error.as_ref());
    let version = Cell::maybe(c.server_version.as_ref());
    let mut rows = vec![
        Field::new("id", "id", Cell::number(c.id)),
        Field::new("profile", "profile", Cell::maybe(c.profile.as_ref())),
        Field::new("target", "target", Cell::text(&c.target)),
        Field::new("user", "user", Cell::text(&c.user)),
        Field::new("kind", "kind", Cell::text(c.kind)),
        Field::new("state", "state", Cell::text(c.state)),
        Field::new("opened", "since", Cell::ago(c.since)),
        Field::new("peer", "peer", Cell::maybe(c.peer.as_ref())),
        Field::new("through", "route", Cell::maybe(c.route.as_ref())),
        Field::new("server version", "server_version", version),
        Field::new("host key", "host_key", Cell::maybe(c.host_key.as_ref())),
        Field::new("key exchange", "kex", Cell::maybe(c.kex.as_ref())),
        Field::new("cipher", "cipher", Cell::maybe(c.cipher.as_ref())),
        Field::new("mac", "mac", Cell::maybe(c.mac.as_ref())),
        Field::new("channels", "channels", Cell::number(c.channels)),
        Field::new("sent", "bytes_out", Cell::size(c.bytes_out)),
        Field::new("received", "bytes_in", Cell::size(c.bytes_in)),
        Field::new("last error", "last_error", error),
    ];
    let silent = c
        .no_answer
        .map(|_| Cell::lasting(c.no_answer).alert_if(true));
    rows.extend(silent.map(|it| Field::new("no answer for", "no_answer", it)));
    let tried = c.tried.iter();
    rows.extend(tried.map(|it| Field::new("tried", "tried", Cell::text(&it.text))));
    Table::Record(rows)
}
