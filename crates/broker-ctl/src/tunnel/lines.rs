//! Events of a tunnel as lines for a person.

use broker_ipc::types::{
    Event, EventKind, EventSession, Transfer, TransferDirection, TransferState, TunnelListener,
};
use plain_text::{host_port, printable};

use crate::times::Times;
use crate::units;

/// A line about something that has happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// Whether it needs attention.
    pub(super) alert: bool,
}

/// The tunnel that an event is about; `None` if it says that events were lost.
pub(super) fn tunnel_of(event: &Event) -> Option<u64> {
    let of_transfer = event.transfer.as_ref().map(|it| it.tunnel);
    let of_session = event.session.as_ref().map(|it| it.tunnel);
    let of_tunnel = event.tunnel.as_ref().map(|it| it.id);
    of_transfer.or(of_session).or(of_tunnel)
}

/// That events were lost.
pub(super) fn lost(event: &Event) -> String {
    let count = event.lost.unwrap_or_default();
    format!("{count} events were lost: this command was too slow; list-transfers shows all")
}

/// An event of a tunnel; `None` if it needs no line. With `live`, another line shows what runs.
pub(super) fn line(event: &Event, tunnel: &TunnelListener, live: bool) -> Option<Line> {
    let (text, alert) = match event.kind {
        EventKind::TransferStarted if !live => (started(event.transfer.as_ref()?), false),
        EventKind::TransferEnded => {
            let transfer = event.transfer.as_ref()?;
            (ended(transfer), needs_attention(transfer))
        }
        EventKind::SessionOpened => (tcp("Connected", event.session.as_ref()?)?, false),
        EventKind::SessionClosed => (tcp("Disconnected", event.session.as_ref()?)?, false),
        EventKind::TunnelChanged => {
            let reason = event.reason.as_ref()?;
            (format!("{} does not listen: {reason}", name(tunnel)), true)
        }
        EventKind::TunnelClosed => (format!("{} is closed", name(tunnel)), false),
        EventKind::TransferStarted
        | EventKind::TransferProgress
        | EventKind::Connected
        | EventKind::Disconnected
        | EventKind::ProfileChanged
        | EventKind::Failure
        | EventKind::PromptWaiting
        | EventKind::PromptAnswered
        | EventKind::ConfigurationChanged
        | EventKind::Log
        | EventKind::StateComplete
        | EventKind::Lost => return None,
    };
    let at = Times::of_day(event.at);
    let text = printable(&format!("{at} {text}"));
    Some(Line { text, alert })
}

fn name(tunnel: &TunnelListener) -> String {
    let listen = host_port(&tunnel.address, tunnel.port);
    format!("Tunnel {} at {listen}", tunnel.id)
}

/// A connection through a tunnel that is no FTP session. Those show their transfers.
fn tcp(what: &str, session: &EventSession) -> Option<String> {
    let EventSession {
        client,
        destination,
        ..
    } = session;
    (!session.ftp).then(|| format!("{what}: {client} to {destination}"))
}

/// What is moved, which way: `download of /pub/a.bin`.
fn what(transfer: &Transfer) -> String {
    match transfer.direction == TransferDirection::Unknown {
        true => transfer.command.clone(),
        false => format!("{} of {}", transfer.direction, file(transfer)),
    }
}

/// The path, or what the command says about it.
pub(super) fn file(transfer: &Transfer) -> &str {
    let command = &transfer.command;
    let argument = command.split_once(' ').map(|(_, argument)| argument);
    let path = transfer.path.as_deref();
    path.or(argument).unwrap_or(command)
}

fn started(transfer: &Transfer) -> String {
    let size = transfer.size.map(units::size);
    let size = size.map_or(String::new(), |size| format!(", {size}"));
    format!("Started: {}{size}", what(transfer))
}

fn ended(transfer: &Transfer) -> String {
    let what = what(transfer);
    let bytes = units::size(transfer.bytes);
    match transfer.state {
        TransferState::Complete | TransferState::Running => {
            let rate = units::rate(transfer.rate);
            format!("Complete: {what}, {bytes} at {rate}")
        }
        TransferState::Failed => format!("Failed: {what} after {bytes}{}", why(transfer)),
        TransferState::Cut => format!("Cut: {what} after {bytes}{}", why(transfer)),
        TransferState::Aborted => format!("Aborted: {what} after {bytes}{}", why(transfer)),
        TransferState::Refused => format!("Refused: {what}{}", why(transfer)),
    }
}

/// What the client learned, and what the daemon knows beyond that.
fn why(transfer: &Transfer) -> String {
    let reply = transfer.reply.as_ref();
    let reason = transfer.reason.as_ref();
    // The broker's own replies contain the reason.
    let reason = reason.filter(|it| reply.is_none_or(|reply| !reply.contains(*it)));
    let parts = reply.into_iter().chain(reason);
    parts.map(|part| format!(": {part}")).collect()
}

fn needs_attention(transfer: &Transfer) -> bool {
    matches!(transfer.state, TransferState::Failed | TransferState::Cut)
}

#[cfg(test)]
mod tests {
    use broker_ipc::types::{ListenerState, TunnelKind, TunnelOrigin, TunnelSide};

    use super::*;
    use crate::tunnel::tests::transfer;

    fn tunnel() -> TunnelListener {
        TunnelListener {
            id: 3,
            kind: TunnelKind::Tcp,
            side: TunnelSide::Local,
            address: "::1".into(),
            port: 5432,
            dst_host: "db".into(),
            dst_port: 5432,
            profile: None,
            target: "user@server".into(),
            relay: false,
            tls: None,
            state: ListenerState::Listening,
            reason: None,
            failed_since: None,
            retry_in: None,
            sessions_active: 0,
            sessions_total: 0,
            max_sessions: None,
            transfers: broker_ipc::types::TransferCounts::default(),
            bytes_up: 0,
            bytes_down: 0,
            sessions_refused: 0,
            origin: TunnelOrigin::Command,
            last_failure: None,
        }
    }

    #[track_caller]
    fn check(event: &Event, live: bool, expected: Option<&str>) {
        let text = line(event, &tunnel(), live).map(|line| line.text);
        let expected = expected.map(|text| format!("00:00:07Z {text}"));
        assert_eq!(text, expected);
    }

    fn of_transfer(kind: EventKind, transfer: Transfer) -> Event {
        Event {
            transfer: Some(transfer),
            ..Event::new(1, 7, kind)
        }
    }

    #[test]
    fn a_transfer_has_a_line_for_its_begin_unless_another_line_shows_it() {
        let started = of_transfer(EventKind::TransferStarted, transfer());
        let text = "Started: download of /pub/a.bin, 4.0 KiB";
        check(&started, false, Some(text));
        check(&started, true, None);
    }

    #[test]
    fn the_end_of_a_transfer_has_its_result_and_the_reason() {
        let ended = |state, reply: &str, reason: Option<&str>| {
            let transfer = Transfer {
                state,
                reply: Some(reply.to_owned()),
                reason: reason.map(str::to_owned),
                ..transfer()
            };
            of_transfer(EventKind::TransferEnded, transfer)
        };
        let lost = "426 the SSH connection was lost";
        for (event, text) in [
            (
                ended(TransferState::Complete, "226 ok", None),
                "Complete: download of /pub/a.bin, 1.0 KiB at 512 B/s",
            ),
            (
                ended(TransferState::Refused, "550 no such file", None),
                "Refused: download of /pub/a.bin: 550 no such file",
            ),
            (
                ended(
                    TransferState::Cut,
                    lost,
                    Some("the SSH connection was lost"),
                ),
                "Cut: download of /pub/a.bin after 1.0 KiB: 426 the SSH connection was lost",
            ),
            (
                ended(TransferState::Failed, "451 error", Some("the disk is full")),
                "Failed: download of /pub/a.bin after 1.0 KiB: 451 error: the disk is full",
            ),
        ] {
            check(&event, true, Some(text));
        }
    }

    #[test]
    fn a_file_whose_path_is_unknown_has_the_name_of_the_command() {
        let unknown = |command: &str| Transfer {
            path: None,
            command: command.to_owned(),
            ..transfer()
        };
        assert_eq!(file(&unknown("RETR a file")), "a file");
        assert_eq!(file(&unknown("LIST")), "LIST");
        assert_eq!(file(&transfer()), "/pub/a.bin");
    }

    #[test]
    fn only_connections_that_are_no_ftp_sessions_have_a_line() {
        let opened = |ftp| Event {
            session: Some(EventSession {
                id: 9,
                tunnel: 3,
                ftp,
                client: "[::1]:4000".into(),
                destination: "db:5432".into(),
            }),
            ..Event::new(1, 7, EventKind::SessionOpened)
        };
        check(&opened(true), false, None);
        check(
            &opened(false),
            false,
            Some("Connected: [::1]:4000 to db:5432"),
        );
    }

    #[test]
    fn a_tunnel_that_stops_listening_has_a_line_with_the_reason() {
        let changed = |reason: Option<&str>| Event {
            reason: reason.map(str::to_owned),
            ..Event::new(1, 7, EventKind::TunnelChanged)
        };
        check(&changed(None), false, None);
        let text = "Tunnel 3 at [::1]:5432 does not listen: the SSH server refused";
        check(&changed(Some("the SSH server refused")), false, Some(text));
    }

    #[test]
    fn a_file_name_cannot_control_the_terminal() {
        let transfer = Transfer {
            path: Some("/a\u{1b}[2J".into()),
            size: None,
            ..transfer()
        };
        let event = of_transfer(EventKind::TransferStarted, transfer);
        let shown = line(&event, &tunnel(), false).unwrap().text;
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}
