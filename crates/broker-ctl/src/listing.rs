//! The part of each answer that a person wants to see.

use broker_ipc::types::{
    ChannelInfo, ChannelState, Connection, ConnectionDetail, DaemonStatus, Direction, Failure,
    HostKey, HostKeyStanding, ListenerState, Profile, RecentFailure, Session, Transfer,
    TransferCounts, TransferState, TunnelKind, TunnelListener, TunnelSide,
};
use plain_text::host_port;

use crate::table::{Cell, Table};
use crate::units;

pub(crate) fn status(status: &DaemonStatus) -> Table {
    let TransferCounts { active, ok, failed } = status.transfers;
    let files = status.config.join(", ");
    let record = Table::Record(vec![
        (
            "state",
            Cell::text(status.state()).alert_if(status.stopping),
        ),
        ("process", Cell::number(status.pid.into())),
        ("version", Cell::text(&status.version)),
        ("started", Cell::ago(status.started)),
        (
            "configuration",
            Cell::maybe(Some(files).filter(|files| !files.is_empty())),
        ),
        ("profiles", Cell::number(status.profiles)),
        ("tunnels", Cell::number(status.tunnels)),
        ("sessions", Cell::number(status.sessions)),
        ("connections", Cell::number(status.connections)),
        ("channels", Cell::number(status.channels)),
        ("transfers active", Cell::number(active)),
        ("transfers complete", Cell::number(ok)),
        (
            "transfers failed",
            Cell::number(failed).alert_if(failed > 0),
        ),
        ("sent", Cell::size(status.bytes_up)),
        ("received", Cell::size(status.bytes_down)),
    ]);
    if status.failures.is_empty() {
        return record;
    }
    let failures = status.failures.iter();
    let failures = failures.map(|recent| ("failure", recent_failure(recent)));
    Table::Both(record.into(), Table::Record(failures.collect()).into())
}

/// A failure, and the tunnel in which it occurred.
fn recent_failure(recent: &RecentFailure) -> Cell {
    let listener = &recent.listener;
    failure(&recent.failure).with_prefix(&format!("{listener}  "))
}

/// When something failed, whose fault it is, how often it has failed, and why. It is dimmed once the tunnel has worked
/// again.
fn failure(failure: &Failure) -> Cell {
    let Failure { time, by, .. } = failure;
    let times = match failure.count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    let what = format!("by {by}: {}{times}", failure.message);
    Cell::ago(*time)
        .with_text(&what)
        .alert_if(!failure.recovered)
        .over_if(failure.recovered)
}

pub(crate) fn profiles(profiles: &[Profile]) -> Table {
    let row = |p: &Profile| {
        vec![
            Cell::text(&p.id),
            Cell::maybe(p.name.as_ref()),
            Cell::maybe(p.user.as_ref()),
            Cell::text(&p.host),
            Cell::number(p.port.into()),
            Cell::number(p.connections),
            Cell::number(p.tunnels),
            Cell::seconds(p.retry_in),
            Cell::maybe(p.last_error.as_ref()).alert_if(p.last_error.is_some()),
        ]
    };
    Table::List {
        headings: &[
            "ID",
            "NAME",
            "USER",
            "HOST",
            "PORT",
            "CONNECTIONS",
            "TUNNELS",
            "NEXT TRY",
            "LAST ERROR",
        ],
        rows: profiles.iter().map(row).collect(),
        nothing: "No profiles",
    }
}

pub(crate) fn connections(connections: &[Connection]) -> Table {
    let row = |c: &Connection| {
        vec![
            Cell::number(c.id),
            Cell::text(c.kind),
            Cell::text(c.state),
            Cell::text(format!("{}@{}", c.user, c.target)),
            Cell::number(c.channels),
            Cell::size(c.bytes_out),
            Cell::size(c.bytes_in),
            Cell::age(c.since),
            Cell::maybe(c.last_error.as_ref()).alert_if(c.last_error.is_some()),
        ]
    };
    Table::List {
        headings: &[
            "ID",
            "KIND",
            "STATE",
            "TARGET",
            "CHANNELS",
            "SENT",
            "RECEIVED",
            "AGE",
            "LAST ERROR",
        ],
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
    let mut rows = vec![
        ("id", Cell::number(c.id)),
        ("profile", Cell::maybe(c.profile.as_ref())),
        ("target", Cell::text(&c.target)),
        ("user", Cell::text(&c.user)),
        ("kind", Cell::text(c.kind)),
        ("state", Cell::text(c.state)),
        ("opened", Cell::ago(c.since)),
        ("peer", Cell::maybe(c.peer.as_ref())),
        ("through", Cell::maybe(c.route.as_ref())),
        ("server version", Cell::maybe(c.server_version.as_ref())),
        ("host key", Cell::maybe(c.host_key.as_ref())),
        ("key exchange", Cell::maybe(c.kex.as_ref())),
        ("cipher", Cell::maybe(c.cipher.as_ref())),
        ("mac", Cell::maybe(c.mac.as_ref())),
        ("channels", Cell::number(c.channels)),
        ("sent", Cell::size(c.bytes_out)),
        ("received", Cell::size(c.bytes_in)),
        (
            "last error",
            Cell::maybe(c.last_error.as_ref()).alert_if(c.last_error.is_some()),
        ),
    ];
    let tried = c.tried.iter().map(|it| ("tried", Cell::text(&it.text)));
    rows.extend(tried);
    Table::Record(rows)
}

pub(crate) fn channels(channels: &[ChannelInfo]) -> Table {
    let row = |c: &ChannelInfo| {
        vec![
            Cell::number(c.id),
            Cell::maybe_number(c.connection),
            Cell::number(c.session),
            Cell::text(c.kind),
            Cell::maybe(c.mode),
            Cell::text(c.state).alert_if(c.state == ChannelState::Closing),
            Cell::size(c.bytes_up),
            Cell::size(c.bytes_down),
            Cell::rate(c.rate),
            Cell::text(client(c)),
            Cell::text(&c.target),
            Cell::maybe(
                c.command
                    .clone()
                    .or_else(|| c.direction.map(|d: Direction| d.to_string())),
            ),
        ]
    };
    Table::List {
        headings: &[
            "ID",
            "CONNECTION",
            "SESSION",
            "KIND",
            "MODE",
            "STATE",
            "SENT",
            "RECEIVED",
            "RATE",
            "CLIENT",
            "TARGET",
            "COMMAND",
        ],
        rows: channels.iter().map(row).collect(),
        nothing: "No SSH channels",
    }
}

pub(crate) fn sessions(sessions: &[Session]) -> Table {
    let row = |s: &Session| {
        vec![
            Cell::number(s.id),
            Cell::number(s.tunnel),
            Cell::maybe(s.profile.as_ref()),
            Cell::text(if s.ftp { "ftp" } else { "tcp" }),
            Cell::text(&s.client),
            Cell::maybe(s.ftp_user.as_ref()),
            Cell::text(&s.destination),
            Cell::age(s.since),
            Cell::maybe_number(s.transfer),
            Cell::maybe(s.command.as_ref()),
        ]
    };
    Table::List {
        headings: &[
            "ID",
            "TUNNEL",
            "PROFILE",
            "TYPE",
            "CLIENT",
            "USER",
            "DESTINATION",
            "AGE",
            "TRANSFER",
            "COMMAND",
        ],
        rows: sessions.iter().map(row).collect(),
        nothing: "No sessions",
    }
}

pub(crate) fn transfers(transfers: &[Transfer]) -> Table {
    let row = |t: &Transfer| {
        vec![
            Cell::number(t.id),
            Cell::text(&t.profile),
            Cell::text(t.direction),
            transfer_state(t),
            Cell::size(t.bytes),
            Cell::maybe_size(t.size),
            Cell::maybe_number(t.percent()),
            Cell::rate(t.rate),
            Cell::time(t.duration_ms / 1000),
            Cell::maybe_time(t.time_left),
            Cell::text(&t.client),
            Cell::maybe(t.ftp_user.as_ref()),
            Cell::text(t.path.as_ref().unwrap_or(&t.command)),
            transfer_result(t),
        ]
    };
    Table::List {
        headings: &[
            "ID",
            "PROFILE",
            "DIRECTION",
            "STATE",
            "BYTES",
            "SIZE",
            "%",
            "RATE",
            "TIME",
            "LEFT",
            "CLIENT",
            "USER",
            "FILE",
            "RESULT",
        ],
        rows: transfers.iter().map(row).collect(),
        nothing: "No transfers",
    }
}

fn is_failure(state: TransferState) -> bool {
    match state {
        TransferState::Failed | TransferState::Cut => true,
        TransferState::Running
        | TransferState::Complete
        | TransferState::Refused
        | TransferState::Aborted => false,
    }
}

/// Whether it runs or how it ended. A person also sees for how long no byte has moved.
fn transfer_state(t: &Transfer) -> Cell {
    let state = Cell::text(t.state).alert_if(is_failure(t.state) || t.stalled_since.is_some());
    match t.stalled_since {
        Some(since) => state.with_remark(&format!(" (no byte for {})", units::age(since))),
        None => state,
    }
}

/// What the client was told at the end, and why.
fn transfer_result(t: &Transfer) -> Cell {
    let told = [t.reply.as_deref(), t.reason.as_deref()];
    let told = told.into_iter().flatten().collect::<Vec<_>>().join("; ");
    Cell::maybe(Some(told).filter(|told| !told.is_empty())).alert_if(is_failure(t.state))
}

/// The client's address, and the version of TLS that it uses.
fn client(channel: &ChannelInfo) -> String {
    match &channel.tls {
        None => channel.client.clone(),
        Some(tls) => {
            let version = tls
                .rsplit_once(' ')
                .map_or(tls.as_str(), |(version, _)| version);
            format!("{} ({version})", channel.client)
        }
    }
}

pub(crate) fn listeners(listeners: &[TunnelListener]) -> Table {
    let row = |l: &TunnelListener| {
        vec![
            Cell::number(l.id),
            listener_type(l),
            Cell::text(host_port(&l.address, l.port)),
            Cell::text(destination(l)),
            Cell::text(&l.target),
            Cell::text(l.state).alert_if(l.state == ListenerState::Failed),
            Cell::number(l.sessions_active),
            Cell::number(l.transfers.active),
            Cell::number(l.transfers.ok),
            Cell::number(l.transfers.failed).alert_if(l.transfers.failed > 0),
            Cell::size(l.bytes_up),
            Cell::size(l.bytes_down),
            Cell::text(l.origin),
            listener_reason(l),
            Cell::number(l.sessions_refused),
            l.last_failure
                .as_ref()
                .map_or_else(|| Cell::maybe(None::<&str>), failure),
        ]
    };
    Table::List {
        headings: &[
            "ID",
            "TYPE",
            "LISTEN",
            "DESTINATION",
            "TARGET",
            "STATE",
            "SESSIONS",
            "ACTIVE",
            "COMPLETE",
            "FAILED",
            "SENT",
            "RECEIVED",
            "ORIGIN",
            "REASON",
            "REFUSED",
            "LAST FAILURE",
        ],
        rows: listeners.iter().map(row).collect(),
        nothing: "No tunnel listeners",
    }
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
    let reason = Cell::maybe(l.reason.as_ref());
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
    Table::List {
        headings: &["ID", "ADDRESS", "PORT"],
        rows: vec![vec![
            Cell::number(l.id),
            Cell::text(&l.address),
            Cell::number(l.port.into()),
        ]],
        nothing: "",
    }
}

pub(crate) fn host_keys(keys: &[HostKey]) -> Table {
    let row = |key: &HostKey| {
        let trouble = match key.standing {
            HostKeyStanding::Known | HostKeyStanding::Unknown => false,
            HostKeyStanding::Changed | HostKeyStanding::Revoked => true,
        };
        vec![
            Cell::text(&key.algorithm),
            Cell::number(key.bits.into()),
            Cell::text(&key.fingerprint),
            Cell::text(key.standing).alert_if(trouble),
            Cell::maybe(key.known_at.as_ref()),
        ]
    };
    Table::List {
        headings: &["ALGORITHM", "BITS", "FINGERPRINT", "STANDING", "KNOWN AT"],
        rows: keys.iter().map(row).collect(),
        nothing: "No host keys",
    }
}
/// Where a listener's clients are connected to.
pub(crate) fn destination(listener: &TunnelListener) -> String {
    match listener.kind {
        TunnelKind::Tcp | TunnelKind::Ftp => host_port(&listener.dst_host, listener.dst_port),
        TunnelKind::Socks => "any".to_owned(),
    }
}
