//! `stop`: ends the daemon, and shows what it still waits for.

use std::io::{self, IsTerminal};
use std::time::Duration;

use broker_ipc::methods::{ListChannels, Stop};
use broker_ipc::printed::{StopState, Stopped};
use broker_ipc::types::{ChannelInfo, ChannelKind};
use tokio::time::sleep;

use crate::cli::StopArgs;
use crate::daemon::Daemon;

/// How often to look at what the daemon waits for.
const LOOK: Duration = Duration::from_secs(1);
/// More names than that do not help a person who waits.
const SHOWN: usize = 5;

/// Asks the daemon to end, and waits for its end.
pub(crate) async fn stop(daemon: &Daemon<'_>, args: StopArgs) -> anyhow::Result<()> {
    let request = Stop {
        grace: args.grace.or(args.now.then_some(0)),
        when_idle: args.when_idle,
    };
    daemon.call(&request).await?;
    let output = daemon.output();
    let report = |state, sentence: &str| output.done(&Stopped { state }, sentence);
    if args.no_wait {
        return report(StopState::Stopping, "The daemon is stopping");
    }
    tokio::select! {
        () = daemon.closed() => {}
        never = show_progress(daemon) => match never {},
    }
    report(StopState::Stopped, "The daemon has stopped")
}

/// Shows a person what still runs, whenever that changes. Never returns.
async fn show_progress(daemon: &Daemon<'_>) -> std::convert::Infallible {
    let mut shown = None;
    while io::stderr().is_terminal() {
        // Without an answer, the daemon is about to end.
        let Ok(channels) = daemon.call(&ListChannels {}).await else {
            break;
        };
        let waits_for = waiting_for(&channels);
        if waits_for != shown {
            if let Some(text) = &waits_for {
                daemon.output().progress(text);
            }
            shown = waits_for;
        }
        sleep(LOOK).await;
    }
    std::future::pending().await
}

/// What has to finish on these channels, in words; `None` if nothing has.
pub(crate) fn waiting_for(channels: &[ChannelInfo]) -> Option<String> {
    let running: Vec<String> = channels.iter().filter_map(name).collect();
    let count = running.len();
    let plural = match count {
        0 => return None,
        1 => "",
        _ => "s",
    };
    let named: Vec<String> = running.into_iter().take(SHOWN).collect();
    let more = count - named.len();
    let more = if more > 0 {
        format!(", {more} more")
    } else {
        String::new()
    };
    Some(format!(
        "Waiting for {count} transfer{plural}: {}{more}",
        named.join(", ")
    ))
}

/// What a channel carries, if the daemon waits for it. It does not wait for control connections without a transfer.
fn name(channel: &ChannelInfo) -> Option<String> {
    match channel.kind {
        ChannelKind::Control => None,
        ChannelKind::Data => {
            let command = channel.command.clone();
            Some(command.unwrap_or_else(|| format!("data connection to {}", channel.target)))
        }
        ChannelKind::Tcp => Some(format!("connection to {}", channel.target)),
    }
}
