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
    let file = transfer.path.as_ref().unwrap_or(&transfer.command);
    match transfer.direction == TransferDirection::Unknown {
        true => file.clone(),
        false => format!("{} of {file}", transfer.direction),
    }
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
