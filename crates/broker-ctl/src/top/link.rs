//! The connection to the daemon: subscribes to its events, and connects again when it has ended.

use broker_ipc::ClientError;
use broker_ipc::methods::{Status, Subscribe};
use broker_ipc::types::{Event, EventKind};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::model::Heard;
use super::request::{Request, carry_out};
use crate::daemon::Daemon;

/// Everything that the screen shows.
const KINDS: [EventKind; 17] = [
    EventKind::Connected,
    EventKind::Disconnected,
    EventKind::SessionOpened,
    EventKind::SessionClosed,
    EventKind::TransferStarted,
    EventKind::TransferEnded,
    EventKind::TransferProgress,
    EventKind::TunnelChanged,
    EventKind::TunnelClosed,
    EventKind::ProfileChanged,
    EventKind::Failure,
    EventKind::PromptWaiting,
    EventKind::PromptAnswered,
    EventKind::ConfigurationChanged,
    EventKind::Log,
    EventKind::StateComplete,
    EventKind::Lost,
];

/// Why a subscription is over.
enum Over {
    /// The daemon has ended the connection.
    Ended,
    /// What is known of the daemon may be wrong: events were lost, or the configuration has changed.
    Stale,
    /// The screen is closed.
    Closed,
}

/// A subscription, of which nothing has been read yet.
pub(super) struct Link<'a> {
    daemon: Daemon<'a>,
    pid: u32,
    build: String,
}

impl<'a> Link<'a> {
    /// Subscribes, on a connection that nothing else uses.
    pub(super) async fn open(daemon: Daemon<'a>) -> Result<Self, ClientError> {
        let status = daemon.call(&Status {}).await?;
        let asked = Subscribe {
            kinds: KINDS.to_vec(),
            state: true,
            ..Subscribe::default()
        };
        daemon.call(&asked).await?;
        Ok(Self {
            daemon,
            pid: status.pid,
            build: status.version,
        })
    }

    /// Passes on what happens and carries out requests, until the screen is closed.
    pub(super) async fn run(
        mut self,
        heard: mpsc::Sender<Heard>,
        mut asked: mpsc::Receiver<Request>,
    ) {
        loop {
            let reason = match self.follow(&heard, &mut asked).await {
                Over::Closed => return,
                Over::Stale => None,
                Over::Ended => Some("it has ended the connection".to_owned()),
            };
            let ended = reason.is_some();
            let Some(next) = self.next(reason, &heard).await else {
                return;
            };
            // What was asked of a daemon that has ended must not reach another one.
            while ended && asked.try_recv().is_ok() {}
            self = next;
        }
    }

    /// The next subscription, as soon as there is a daemon. `None`: the screen is closed.
    async fn next(&self, reason: Option<String>, heard: &mpsc::Sender<Heard>) -> Option<Self> {
        if let Some(reason) = reason {
            heard.send(Heard::Down(reason)).await.ok()?;
        }
        let failed = async |error: ClientError| heard.send(Heard::Down(error.to_string())).await;
        self.daemon.look(Self::open, failed).await.ok()
    }

    async fn follow(
        &self,
        heard: &mpsc::Sender<Heard>,
        asked: &mut mpsc::Receiver<Request>,
    ) -> Over {
        let up = Heard::Up {
            pid: self.pid,
            build: self.build.clone(),
        };
        if heard.send(up).await.is_err() {
            return Over::Closed;
        }
        let mut complete = false;
        let mut running = FuturesUnordered::new();
        loop {
            let next = tokio::select! {
                event = self.daemon.next_event() => match event {
                    Ok(Some(event)) if is_stale(&event, complete) => return Over::Stale,
                    Ok(Some(event)) => {
                        complete |= event.kind == EventKind::StateComplete;
                        Heard::Event(Box::new(event))
                    }
                    Ok(None) | Err(_) => return Over::Ended,
                },
                Some(request) = asked.recv() => {
                    running.push(carry_out(&self.daemon, request));
                    continue;
                }
                Some(outcome) = running.next() => {
                    Heard::Outcome(outcome.map_err(|error| error.to_string()))
                }
            };
            if heard.send(next).await.is_err() {
                return Over::Closed;
            }
        }
    }
}

/// Whether the daemon must report its state again. Its state begins with the configuration.
fn is_stale(event: &Event, complete: bool) -> bool {
    event.kind == EventKind::Lost || (event.kind == EventKind::ConfigurationChanged && complete)
}
