//! Tunnel listeners.

use broker_ipc::types::{ListenerState, TunnelKind, TunnelListener, TunnelSide};
use plain_text::host_port;

use super::failures::failure;
use crate::names::Names;
use crate::table::{Cell, Column, Row, Table};
use crate::units;

pub(crate) fn listeners(listeners: &[TunnelListener], names: &Names) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::new("TYPE").goes(5),
        Column::new("LISTEN").shortens(21),
        Column::new("DESTINATION").goes(2).shortens(14),
        Column::new("TARGET").briefly("SERVER").goes(1).shortens(12),
        Column::new("STATE"),
        Column::new("SESSIONS").goes(4),
        Column::wide("ACTIVE"),
        Column::wide("COMPLETE"),
        Column::new("FAILED").goes(3),
        Column::wide("SENT"),
        Column::wide("RECEIVED"),
        Column::wide("ORIGIN"),
        Column::below("REASON"),
        Column::wide("REFUSED"),
        Column::below("LAST FAILURE"),
    ];
    let row = |l: &TunnelListener| {
        let server = names.of_server(l.profile.as_deref(), &l.target);
        Row::from(vec![
            Cell::number(l.id),
            listener_type(l),
            Cell::text(host_port(&l.address, l.port)),
            Cell::text(destination(l)),
            Cell::text(&l.target).briefly(server),
            Cell::text(l.state).alert_if(l.state == ListenerState::Failed),
            sessions(l),
            Cell::number(l.transfers.active),
            Cell::number(l.transfers.ok),
            Cell::number(l.transfers.failed).alert_if(l.transfers.failed > 0),
            Cell::size(l.bytes_up),
            Cell::size(l.bytes_down),
            Cell::text(l.origin),
            listener_reason(l),
            Cell::number(l.sessions_refused),
            last_failure(l),
        ])
    };
    Table::List {
        columns: COLUMNS,
        rows: listeners.iter().map(row).collect(),
        nothing: "No tunnel listeners",
    }
}

/// The clients at this moment. A person also sees how many there can be.
fn sessions(l: &TunnelListener) -> Cell {
    let active = Cell::number(l.sessions_active);
    match l.max_sessions {
        Some(most) => {
            let is_full = l.sessions_active >= most;
            let active = active.with_remark(&format!("/{most}"));
            active.alert_if(is_full)
        }
        None => active,
    }
}

/// Without `--wide`, a person does not need the reason if the last failure says the same.
fn is_repeated(l: &TunnelListener) -> bool {
    const NEXT: &str = "; next try in ";
    let cause = |text: &str| text.split(NEXT).next().map(str::to_owned);
    let failure = l.last_failure.as_ref().filter(|failure| !failure.recovered);
    let message = failure.map(|failure| failure.message.as_str());
    message.is_some() && message.and_then(cause) == l.reason.as_deref().and_then(cause)
}

fn last_failure(l: &TunnelListener) -> Cell {
    let last = l.last_failure.as_ref();
    last.map_or_else(|| Cell::maybe(None::<&str>), failure)
}

/// What a tunnel forwards, and what sets it apart: a remote one has no TLS.
fn listener_type(l: &TunnelListener) -> Cell {
    match (l.side, l.tls) {
        (TunnelSide::Local, None) => Cell::text(l.kind),
        (TunnelSide::Local, Some(start)) => Cell::text(format!("{} ({start} TLS)", l.kind)),
        (TunnelSide::Remote, _) => Cell::text(format!("{} (remote)", l.kind)),
    }
}

/// Why it does not listen. If it has failed, a person also sees for how long and when the daemon tries again.
fn listener_reason(l: &TunnelListener) -> Cell {
    let is_trouble = l.reason.is_some() && l.state != ListenerState::Waiting;
    let reason = Cell::maybe(l.reason.as_ref()).alert_if(is_trouble);
    if is_repeated(l) {
        return reason.briefly("");
    }
    let Some(since) = l.failed_since else {
        return reason;
    };
    let since = units::age(since);
    let next = l.retry_in.map(units::duration);
    let next = next.map_or_else(String::new, |wait| format!(", next try in {wait}"));
    reason.with_remark(&format!(" (failed for {since}{next})"))
}

/// The opened listener, for a script: the address to connect to comes first.
pub(crate) fn opened(l: &TunnelListener) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::new("ADDRESS"),
        Column::new("PORT"),
    ];
    Table::List {
        columns: COLUMNS,
        rows: vec![Row::from(vec![
            Cell::number(l.id),
            Cell::text(&l.address),
            Cell::number(l.port.into()),
        ])],
        nothing: "",
    }
}

/// Where a listener's clients are connected to.
pub(crate) fn destination(listener: &TunnelListener) -> String {
    match listener.kind {
        TunnelKind::Tcp | TunnelKind::Ftp => host_port(&listener.dst_host, listener.dst_port),
        TunnelKind::Socks => "any".to_owned(),
    }
}
