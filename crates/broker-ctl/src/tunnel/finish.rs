//! The end of `tunnel`: no more clients, then the end of what runs.

use std::time::Duration;

use broker_ipc::methods::{CloseChannel, CloseTunnelListener, ListChannels, ListTransfers};
use broker_ipc::types::{ChannelInfo, ChannelKind, EventKind, TransferState, TunnelListener};
use broker_ipc::{ClientError, Reason};
use tokio::time::sleep;

use super::feed::Feed;
use super::signals::Ending;
use super::{End, Run};
use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::stop::waiting_for;

/// How often to look at what still runs.
const LOOK: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Closes the tunnels that are still open, waits for what runs, and ends the idle sessions. One more signal cuts what
    /// runs, and another one ends the command.
    pub(super) async fn finish(
        &mut self,
        daemon: &Daemon<'_>,
        mut feed: Feed<'_>,
        tunnels: &[TunnelListener],
    ) -> anyhow::Result<End> {
        for id in self.open.clone() {
            ignore_absent(daemon.call(&CloseTunnelListener { id }).await)?;
        }
        let (mut said, mut cut) = (None, false);
        loop {
            let channels = channels_of(daemon, tunnels).await?;
            let text = waiting_for(&busy(daemon, &channels).await?);
            if text.is_none() && self.transfers.is_empty() && self.open.is_empty() {
                end_sessions(daemon, &channels).await?;
                break;
            }
            if !cut && said != text {
                self.say_waiting(text.as_deref());
                said = text;
            }
            tokio::select! {
                event = feed.next() => {
                    let event = event?;
                    self.show(&event, tunnels)?;
                    if event.kind == EventKind::Lost {
                        // All are closed, whether or not their events come.
                        self.open.clear();
                    }
                }
                () = sleep(LOOK) => {}
                () = daemon.closed() => {
                    self.display.say("The daemon has ended the connection; what runs finishes there");
                    return Ok(End::Over);
                }
                ending = self.signals.next() => match ending {
                    Ending::Finish if !cut => {
                        cut = true;
                        end_sessions(daemon, &channels).await?;
                    }
                    Ending::Finish | Ending::Leave => break,
                },
            }
        }
        self.display.clear();
        match cut {
            true => Err(Reported::failed().into()),
            false => Ok(End::Over),
        }
    }

    fn say_waiting(&self, text: Option<&str>) {
        if let Some(text) = text {
            self.display
                .say(&format!("{text} (Ctrl-C again cuts what runs)"));
        }
    }
}

async fn channels_of(
    daemon: &Daemon<'_>,
    tunnels: &[TunnelListener],
) -> Result<Vec<ChannelInfo>, ClientError> {
    let mut channels = daemon.call(&ListChannels {}).await?;
    channels.retain(|channel| tunnels.iter().any(|it| it.id == channel.tunnel));
    Ok(channels)
}

/// The channels that have something to finish. A client can keep a data connection open after its transfer.
async fn busy(
    daemon: &Daemon<'_>,
    channels: &[ChannelInfo],
) -> Result<Vec<ChannelInfo>, ClientError> {
    let transfers = daemon.call(&ListTransfers {}).await?;
    let running = |session| {
        let mut of_session = transfers.iter().filter(|it| it.session == session);
        of_session.any(|it| it.state == TransferState::Running)
    };
    let mut busy = channels.to_vec();
    busy.retain(|it| it.kind != ChannelKind::Data || running(it.session));
    Ok(busy)
}

/// Ends the sessions, and with them what they still transfer. Each has the number of its control connection, or of its only
/// channel.
async fn end_sessions(daemon: &Daemon<'_>, channels: &[ChannelInfo]) -> Result<(), ClientError> {
    for session in channels.iter().filter(|it| it.id == it.session) {
        ignore_absent(daemon.call(&CloseChannel { id: session.id }).await)?;
    }
    Ok(())
}

/// What has ended meanwhile needs no end.
fn ignore_absent<T>(answer: Result<T, ClientError>) -> Result<(), ClientError> {
    match answer {
        Err(ClientError::Failed(refusal)) if refusal.reason() == Reason::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}
