//! `tunnel`: opens tunnels, shows what goes through them, and closes them at the end.
//!
//! The tunnels are bound to the connection of this command, so they close however it ends.

mod bars;
mod display;
mod feed;
mod finish;
mod lines;
mod narrow;
mod signals;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use broker_ipc::ClientError;
use broker_ipc::methods::{OpenTunnelListener, Status};
use broker_ipc::types::{Event, EventKind, TunnelListener, TunnelSide};
use tokio::time::Instant;

use self::display::Display;
use self::feed::Feed;
use self::signals::{Ending, Signals};
use crate::cli::TunnelArgs;
use crate::daemon::Daemon;
use crate::{open, prompts};

/// How long to look for another daemon after one has ended: a service manager starts it within a second or two.
const LOOKS: Duration = Duration::from_secs(10);

/// How the work with one daemon ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The tunnels are closed.
    Over,
    /// The daemon has ended the connection.
    Lost,
}

/// Opens the tunnels, and closes them when the command ends.
pub(crate) async fn tunnel(daemon: &Daemon<'_>, args: TunnelArgs) -> anyhow::Result<()> {
    let (requests, target) = open::requests("tunnel", args.tunnels)?;
    if args.background {
        let work = in_background(daemon, &requests);
        return prompts::while_asking(daemon, &target, work).await;
    }
    let bound = requests.into_iter().map(|asked| OpenTunnelListener {
        while_connected: true,
        ..asked
    });
    let mut run = Run {
        requests: bound.collect(),
        target,
        display: Display::new(daemon.output()),
        signals: Signals::new()?,
        process: None,
        open: BTreeSet::new(),
        transfers: BTreeSet::new(),
    };
    let mut end = run.with(daemon).await?;
    while end == End::Lost {
        let next = run.another(daemon).await?;
        end = run.with(&next).await?;
    }
    Ok(())
}

async fn in_background(daemon: &Daemon<'_>, requests: &[OpenTunnelListener]) -> anyhow::Result<()> {
    let (opened, _) = open::open_each(daemon, requests, true).await?;
    for listener in &opened {
        open::show(daemon.output(), listener)?;
    }
    if daemon.output().is_for_people() {
        let ids: Vec<String> = opened.iter().map(|it| it.id.to_string()).collect();
        let close = format!(
            "To close: broker-ctl close-tunnel-listener {}",
            ids.join(" ")
        );
        daemon.output().print(close)?;
    }
    Ok(())
}

/// The command as long as it runs.
struct Run<'a> {
    requests: Vec<OpenTunnelListener>,
    target: String,
    display: Display<'a>,
    signals: Signals,
    /// The daemon's process that has opened the tunnels.
    process: Option<u32>,
    /// The tunnels whose end was not shown yet.
    open: BTreeSet<u64>,
    /// The transfers whose end was not shown yet.
    transfers: BTreeSet<u64>,
}

impl Run<'_> {
    /// Opens the tunnels at this daemon, and shows what goes through them until it ends.
    async fn with(&mut self, daemon: &Daemon<'_>) -> anyhow::Result<End> {
        let bars = self.display.bars();
        let around = move |asks| bars.cover(asks);
        let responder = prompts::responder(daemon, &self.target, &around).await;
        match prompts::attended(responder, self.serve(daemon)).await {
            Err(failure) if self.has_lost(&failure) => Ok(End::Lost),
            served => served,
        }
    }

    /// Whether the daemon has ended its connections: one in the middle of a request, or no further one can be opened.
    fn has_lost(&self, failure: &anyhow::Error) -> bool {
        match failure.downcast_ref() {
            Some(ClientError::Vanished { .. }) => true,
            Some(ClientError::NotRunning { .. }) => self.process.is_some(),
            Some(_) | None => false,
        }
    }

    async fn serve(&mut self, daemon: &Daemon<'_>) -> anyhow::Result<End> {
        // The first request also starts a daemon, if none runs.
        let process = daemon.call(&Status {}).await?.pid;
        // It shows what happens while the tunnels open as well.
        let mut feed = Feed::new(daemon).await?;
        let opened = tokio::select! {
            opened = open::open_each(daemon, &self.requests, true) => opened?.0,
            _ = self.signals.next() => bail!("interrupted"),
        };
        self.opened(process, &opened)?;
        self.open = opened.iter().map(|it| it.id).collect();
        while !self.open.is_empty() {
            tokio::select! {
                event = feed.next() => self.show(&event?, &opened)?,
                () = daemon.closed() => return Ok(End::Lost),
                ending = self.signals.next() => match ending {
                    Ending::Finish => break,
                    Ending::Leave => return Ok(End::Over),
                },
            }
        }
        self.finish(daemon, feed, &opened).await
    }

    /// Says what is open, and what has changed if it was open before. The next daemon is asked for the same ports.
    fn opened(&mut self, process: u32, opened: &[TunnelListener]) -> anyhow::Result<()> {
        match self.process.replace(process) {
            None => self.display.opened(opened)?,
            Some(before) => self.display.say(&format!(
                "Another daemon runs now (process {process} instead of {before}); the tunnels are open again"
            )),
        }
        for (request, listener) in self.requests.iter_mut().zip(opened) {
            if request.side == TunnelSide::Local {
                request.listen_port = listener.port;
            }
        }
        Ok(())
    }

    /// Shows an event, if it is about these tunnels.
    fn show(&mut self, event: &Event, tunnels: &[TunnelListener]) -> anyhow::Result<()> {
        let Some(id) = lines::tunnel_of(event) else {
            self.transfers.clear();
            return self.display.lost(event);
        };
        let Some(tunnel) = tunnels.iter().find(|it| it.id == id) else {
            return Ok(());
        };
        self.follow(event, id);
        self.display.event(event, tunnel)
    }

    /// Remembers what an event of a tunnel begins or ends.
    fn follow(&mut self, event: &Event, tunnel: u64) {
        let transfer = event.transfer.as_ref().map(|it| it.id);
        if event.kind == EventKind::TunnelClosed {
            self.open.remove(&tunnel);
        } else if event.kind == EventKind::TransferStarted {
            self.transfers.extend(transfer);
        } else if let Some(ended) = transfer.filter(|_| event.kind == EventKind::TransferEnded) {
            self.transfers.remove(&ended);
        }
    }

    /// Waits for the daemon that comes after this one, which has ended the connection.
    async fn another<'d>(&mut self, daemon: &Daemon<'d>) -> anyhow::Result<Daemon<'d>> {
        self.display.clear();
        let unknown = match std::mem::take(&mut self.transfers).len() {
            0 => String::new(),
            count => format!(" (transfers whose end is not shown: {count})"),
        };
        self.display.say(&format!(
            "The daemon has ended the connection; looking for the one that comes after it{unknown}"
        ));
        let until = Instant::now() + LOOKS;
        let attempt = async |next: Daemon<'d>| next.call(&Status {}).await.map(|_| next);
        let failed = async |fault| match Instant::now() < until {
            true => Ok(()),
            false => Err(fault),
        };
        tokio::select! {
            next = daemon.look(attempt, failed) => next.context("the daemon has ended, and the tunnels are closed"),
            _ = self.signals.next() => bail!("interrupted; the daemon has ended, and the tunnels are closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use broker_ipc::types::{Transfer, TransferDirection, TransferState};

    /// A quarter of a download.
    pub(super) fn transfer() -> Transfer {
        Transfer {
            id: 5,
            session: 4,
            tunnel: 3,
            profile: "work".into(),
            server: "localhost:21".into(),
            client: "127.0.0.1:4000".into(),
            client_uid: None,
            ftp_user: None,
            command: "RETR a.bin".into(),
            path: Some("/pub/a.bin".into()),
            direction: TransferDirection::Download,
            state: TransferState::Running,
            bytes: 1 << 10,
            size: Some(4 << 10),
            rate: 512,
            started: 0,
            duration_ms: 2000,
            stalled_since: None,
            time_left: None,
            reply: None,
            reason: None,
            by: None,
        }
    }
}
