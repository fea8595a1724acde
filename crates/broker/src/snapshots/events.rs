//! Events as the local socket's types.

use std::time::SystemTime;

use broker_ipc::types::{
    Event, EventConnection, EventKind, EventSession, EventTunnel, TunnelListener,
};

use super::connection_kind;
use super::transfers::{over, started};
use crate::events::{
    ConnectionFacts, Event as Happened, Numbered, PromptFacts, SessionFacts, TunnelFacts,
};
use crate::unix_time::unix;

/// An event as a client sees it. The row of a tunnel is still missing.
pub(crate) fn view(Numbered { number, at, event }: Numbered) -> Event {
    let bare = |kind| bare(number, at, kind);
    match event {
        Happened::Connected(it) => of_connection(bare(EventKind::Connected), it),
        Happened::Disconnected { connection, reason } => Event {
            reason: Some(reason),
            ..of_connection(bare(EventKind::Disconnected), connection)
        },
        Happened::SessionOpened(it) => of_session(bare(EventKind::SessionOpened), it),
        Happened::SessionClosed(it) => of_session(bare(EventKind::SessionClosed), it),
        Happened::TransferStarted(it) => Event {
            profile: Some(it.profile.clone()),
            transfer: Some(started(&it, at)),
            ..bare(EventKind::TransferStarted)
        },
        Happened::TransferEnded(it) => Event {
            profile: Some(it.profile.clone()),
            transfer: Some(over(&it)),
            ..bare(EventKind::TransferEnded)
        },
        Happened::TunnelChanged {
            tunnel,
            state,
            port,
            reason,
        } => Event {
            profile: Some(tunnel.profile),
            tunnel: Some(EventTunnel {
                id: tunnel.id,
                state: Some(state),
                port: Some(port),
            }),
            reason,
            ..bare(EventKind::TunnelChanged)
        },
        Happened::TunnelClosed(it) => closed(bare(EventKind::TunnelClosed), it),
        Happened::ProfileChanged(it) => Event {
            profile: Some(it.id.clone()),
            profile_state: Some((*it).clone()),
            ..bare(EventKind::ProfileChanged)
        },
        Happened::Failure(tunnel, it) => Event {
            profile: Some(tunnel.profile),
            failure: Some((*it).clone()),
            ..bare(EventKind::Failure)
        },
        Happened::PromptWaiting(it) => of_prompt(bare(EventKind::PromptWaiting), it),
        Happened::PromptAnswered { prompt, reason } => Event {
            reason,
            ..of_prompt(bare(EventKind::PromptAnswered), prompt)
        },
        Happened::ConfigurationChanged(it) => Event {
            configuration: Some((*it).clone()),
            ..bare(EventKind::ConfigurationChanged)
        },
    }
}

/// An event with nothing but its kind.
pub(super) fn bare(number: u64, at: SystemTime, kind: EventKind) -> Event {
    Event::new(number, unix(at), kind)
}

fn of_connection(event: Event, it: ConnectionFacts) -> Event {
    Event {
        connection: Some(EventConnection {
            id: it.id,
            kind: connection_kind(it.kind),
        }),
        profile: Some(it.profile),
        ..event
    }
}

fn of_session(event: Event, it: SessionFacts) -> Event {
    Event {
        session: Some(EventSession {
            id: it.id,
            tunnel: it.tunnel.id,
            ftp: it.is_ftp,
            client: it.client.to_string(),
            destination: it.destination,
        }),
        profile: Some(it.tunnel.profile),
        ..event
    }
}

/// A tunnel as it is now.
pub(super) fn of_listener(event: Event, profile: &str, row: TunnelListener) -> Event {
    Event {
        profile: Some(profile.to_owned()),
        tunnel: Some(EventTunnel {
            id: row.id,
            state: Some(row.state),
            port: Some(row.port),
        }),
        reason: row.reason.clone(),
        listener: Some(row),
        ..event
    }
}

fn closed(event: Event, it: TunnelFacts) -> Event {
    Event {
        profile: Some(it.profile),
        tunnel: Some(EventTunnel {
            id: it.id,
            state: None,
            port: None,
        }),
        ..event
    }
}

fn of_prompt(event: Event, it: PromptFacts) -> Event {
    Event {
        profile: Some(it.profile),
        prompt: Some((*it.prompt).clone()),
        ..event
    }
}
