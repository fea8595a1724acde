//! `events`: what happens in the daemon, as it happens.

use anyhow::bail;
use broker_ipc::methods::Subscribe;
use broker_ipc::types::{Event, EventKind, Transfer, TransferState};
use plain_text::printable;

use crate::cli::EventsArgs;
use crate::daemon::Daemon;
use crate::table::ALERT;
use crate::units;

/// Prints events until the daemon ends, or until there were as many as asked for.
pub(crate) async fn follow(daemon: &Daemon<'_>, args: EventsArgs) -> anyhow::Result<()> {
    let EventsArgs {
        profile,
        kinds,
        after,
        count,
        json,
    } = args;
    let asked = Subscribe {
        kinds,
        profile,
        after,
    };
    daemon.call(&asked).await?;
    let output = daemon.output();
    for _ in 0..count.unwrap_or(usize::MAX) {
        let Some(event) = daemon.next_event().await? else {
            bail!(
                "the daemon has ended the connection: it was stopped, or this command did not read its events"
            );
        };
        match json {
            true => output.json(&event)?,
            false => output.print(line(&event))?,
        }
    }
    Ok(())
}

/// An event for a person.
fn line(event: &Event) -> String {
    let text = printable(&text(event));
    let at = units::time_of_day(event.at);
    let number = event.number;
    match needs_attention(event) {
        true => format!("{at} {number} {ALERT}{text}{ALERT:#}"),
        false => format!("{at} {number} {text}"),
    }
}

fn needs_attention(event: &Event) -> bool {
    match event.kind {
        EventKind::Disconnected | EventKind::Lost => true,
        EventKind::TransferEnded => event
            .transfer
            .as_ref()
            .is_some_and(|it| matches!(it.state, TransferState::Failed | TransferState::Cut)),
        EventKind::TunnelChanged => event.reason.is_some(),
        EventKind::Connected
        | EventKind::SessionOpened
        | EventKind::SessionClosed
        | EventKind::TransferStarted
        | EventKind::TunnelClosed => false,
    }
}

/// The kind, and behind it what is known, in this order.
fn text(event: &Event) -> String {
    let connection = event.connection.as_ref();
    let session = event.session.as_ref();
    let tunnel = event.tunnel.as_ref();
    let parts = [
        Some(event.kind.to_string()),
        event.profile.clone(),
        connection.map(|it| format!("{} connection {}", it.kind, it.id)),
        session.map(|it| {
            format!(
                "session {}: {} to {} through tunnel {}",
                it.id, it.client, it.destination, it.tunnel
            )
        }),
        tunnel.map(|it| format!("tunnel {}", it.id)),
        tunnel.and_then(|it| Some(format!("port {} {}", it.port?, it.state?))),
        event.transfer.as_ref().map(transfer),
        event.reason.as_ref().map(|reason| format!("({reason})")),
        event.lost.map(|lost| format!("{lost} events")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A transfer in one line.
fn transfer(it: &Transfer) -> String {
    let file = it.path.as_ref().unwrap_or(&it.command);
    let begin = format!("{} {file} for {}", it.direction, it.client);
    let known = it.size.map(|size| format!(" of {}", units::size(size)));
    let size = known.unwrap_or_default();
    if it.state == TransferState::Running {
        return begin + &size;
    }
    let reply = it.reply.as_ref().map(|reply| format!(": {reply}"));
    format!(
        "{begin}: {}, {}{size}, {}{}",
        it.state,
        units::size(it.bytes),
        units::rate(it.rate),
        reply.unwrap_or_default()
    )
}
