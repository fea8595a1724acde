//! The events of tunnels, on a connection of their own. If the daemon ends that one, since this command was suspended and read
//! nothing, the next one continues where it ended.

use broker_ipc::ClientError;
use broker_ipc::methods::Subscribe;
use broker_ipc::types::{Event, EventKind};

use crate::daemon::Daemon;

/// The events that concern a tunnel.
const SHOWN: [EventKind; 7] = [
    EventKind::TransferStarted,
    EventKind::TransferProgress,
    EventKind::TransferEnded,
    EventKind::SessionOpened,
    EventKind::SessionClosed,
    EventKind::TunnelChanged,
    EventKind::TunnelClosed,
];

pub(super) struct Feed<'d> {
    daemon: Daemon<'d>,
    /// The number of the last event that was received, or that happened before this began.
    last: u64,
    is_subscribed: bool,
}

impl<'d> Feed<'d> {
    /// Begins now. The daemon sends nothing before the first [`next`](Self::next).
    pub(super) async fn new(daemon: &Daemon<'d>) -> Result<Self, ClientError> {
        let last = subscribe(&daemon.another(), None).await?;
        Ok(Self {
            daemon: daemon.another(),
            last,
            is_subscribed: false,
        })
    }

    /// Waits for the next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if !self.is_subscribed {
                subscribe(&self.daemon, Some(self.last)).await?;
                self.is_subscribed = true;
            }
            if let Some(event) = self.daemon.next_event().await? {
                self.last = event.number;
                return Ok(event);
            }
            self.daemon = self.daemon.another();
            self.is_subscribed = false;
        }
    }
}

/// Subscribes, and returns the number of the last event.
async fn subscribe(daemon: &Daemon<'_>, after: Option<u64>) -> Result<u64, ClientError> {
    let asked = Subscribe {
        kinds: SHOWN.to_vec(),
        after,
        ..Subscribe::default()
    };
    Ok(daemon.call(&asked).await?.last)
}
