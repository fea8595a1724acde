//! `events`: what happens in the daemon, as it happens.

use anyhow::bail;
use broker_ipc::methods::Subscribe;
use broker_ipc::types::{
    Event, EventConfiguration, EventKind, LogLevel, LogLine, Profile, Prompt, RecentFailure,
    Transfer, TransferState,
};
use plain_text::printable;

use crate::cli::EventsArgs;
use crate::daemon::Daemon;
use crate::output;
use crate::table::ALERT;
use crate::times::Times;
use crate::units;

/// Prints events until the daemon ends, or until there were as many as asked for.
pub(crate) async fn follow(daemon: &Daemon<'_>, args: EventsArgs) -> anyhow::Result<()> {
    let EventsArgs {
        profile,
        kinds,
        after,
        state,
        count,
    } = args;
    let asked = Subscribe {
        kinds,
        profile,
        after,
        state,
    };
    daemon.call(&asked).await?;
    tokio::select! {
        ended = print_each(daemon, count.unwrap_or(usize::MAX)) => ended,
        unread = output::nobody_reads() => Err(unread.into()),
    }
}

async fn print_each(daemon: &Daemon<'_>, count: usize) -> anyhow::Result<()> {
    let output = daemon.output();
    for _ in 0..count {
        let Some(event) = daemon.next_event().await? else {
            bail!(
                "the daemon has ended the connection: it was stopped, or this command did not read its events"
            );
        };
        match output.is_json() {
            true => output.json(&event)?,
            false => output.print(line(&event, output.times()))?,
        }
    }
    Ok(())
}

/// An event for a person.
fn line(event: &Event, times: Option<&Times>) -> String {
    let text = printable(&text(event));
    let at = times.map_or_else(|| Times::of_day(event.at), |it| it.since(event.at, " ago"));
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
        EventKind::PromptWaiting => true,
        EventKind::Failure => event
            .failure
            .as_ref()
            .is_some_and(|it| !it.failure.recovered),
        EventKind::ProfileChanged => {
            let profile = event.profile_state.as_ref();
            profile.is_some_and(|it| it.last_error.is_some())
        }
        EventKind::Log => {
            let log = event.log.as_ref();
            log.is_some_and(|it| it.level <= LogLevel::Warn)
        }
        EventKind::Connected
        | EventKind::SessionOpened
        | EventKind::SessionClosed
        | EventKind::TransferStarted
        | EventKind::TransferProgress
        | EventKind::TunnelClosed
        | EventKind::PromptAnswered
        | EventKind::ConfigurationChanged
        | EventKind::StateComplete => false,
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
        event.profile_state.as_ref().map(profile),
        event.failure.as_ref().map(failure),
        event.prompt.as_ref().map(prompt),
        event.configuration.as_ref().map(configuration),
        event.log.as_ref().map(log),
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
        let moved = (it.bytes > 0).then(|| {
            let rate = units::rate(it.rate);
            format!(": {}{size}, {rate}", units::size(it.bytes))
        });
        return begin + &moved.unwrap_or(size);
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

/// The state of a profile.
fn profile(it: &Profile) -> String {
    let retry = it.retry_in.map(|it| format!(", no attempt for {it} s"));
    let error = it.last_error.as_ref().map(|error| format!(": {error}"));
    let connections = match it.connections {
        1 => "1 connection".to_owned(),
        connections => format!("{connections} connections"),
    };
    connections + &retry.unwrap_or_default() + &error.unwrap_or_default()
}

/// What a client did not get.
fn failure(it: &RecentFailure) -> String {
    let failure = &it.failure;
    let times = match failure.count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    let now = if failure.recovered {
        ", works again"
    } else {
        ""
    };
    format!("on {}{now}{times}: {}", it.listener, failure.message)
}

/// A prompt in one line.
fn prompt(it: &Prompt) -> String {
    let first = it.message.lines().next().unwrap_or_default();
    format!("prompt {} ({}): {first}", it.id, it.kind)
}

/// The files, and what the last reload has changed.
fn configuration(it: &EventConfiguration) -> String {
    let files = it.files.join(", ");
    let changed = it.report.as_ref().map(|report| {
        let [profiles, tunnels] = [&report.profiles, &report.tunnels].map(|it| {
            let [added, removed, changed] = [it.added.len(), it.removed.len(), it.changed.len()];
            format!("{added} added, {removed} removed, {changed} changed")
        });
        format!("; profiles: {profiles}; tunnels: {tunnels}")
    });
    format!(
        "{} from {files}{}",
        it.generation,
        changed.unwrap_or_default()
    )
}

/// A line of the log.
fn log(it: &LogLine) -> String {
    format!("{} {}", it.level, it.message)
}
