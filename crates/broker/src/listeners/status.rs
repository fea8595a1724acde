//! Whether a tunnel listens, as its owner and its own task know it.

use std::sync::Arc;
use std::time::SystemTime;

use broker_ipc::types::ListenerState;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::events::Event;
use crate::registry::{Cause, Part};
use crate::tunnel::Tunnel;

/// The state of a tunnel's listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenStatus {
    pub(crate) state: ListenerState,
    /// The port it listens on; the chosen one, if the configuration asks for a free port.
    pub(crate) port: u16,
    /// Why it does not listen.
    pub(crate) reason: Option<String>,
    /// Since when it has failed.
    pub(crate) failed_since: Option<SystemTime>,
    /// When the broker tries again, if that is known.
    pub(crate) next_try: Option<Instant>,
}

/// Where a listener's state is recorded, and its changes are published. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct StatusCell {
    status: watch::Sender<ListenStatus>,
    tunnel: watch::Receiver<Arc<Tunnel>>,
}

impl StatusCell {
    /// A listener that was not opened yet.
    pub(super) fn new(tunnel: watch::Receiver<Arc<Tunnel>>) -> Self {
        let port = tunnel.borrow().spec.listen_port;
        Self {
            status: watch::Sender::new(ListenStatus {
                state: ListenerState::Waiting,
                port,
                reason: None,
                failed_since: None,
                next_try: None,
            }),
            tunnel,
        }
    }

    /// The state at this moment.
    pub(super) fn get(&self) -> ListenStatus {
        self.status.borrow().clone()
    }

    /// It listens on this port.
    pub(super) fn listening(&self, port: u16) {
        let totals = Arc::clone(&self.tunnel.borrow().totals);
        totals.listens_on(port);
        if self.get().state == ListenerState::Failed {
            self.tunnel.borrow().works(Part::Session);
        }
        self.change(|status| {
            status.port = port;
            status.state = ListenerState::Listening;
            status.reason = None;
            status.failed_since = None;
            status.next_try = None;
        });
    }

    /// It does not listen for now, for this reason.
    pub(super) fn waiting(&self, reason: String) {
        self.change(|status| {
            status.state = ListenerState::Waiting;
            status.reason = Some(reason);
            status.failed_since = None;
            status.next_try = None;
        });
    }

    /// It could not listen. The broker tries again at this moment, if it is known. A failure that repeats is one.
    pub(super) fn failed(&self, cause: Cause, next_try: Option<Instant>) {
        let before = self.get();
        if before.state != ListenerState::Failed || before.reason.as_ref() != Some(&cause.message) {
            self.tunnel.borrow().failed(&cause);
        }
        self.change(|status| {
            status.state = ListenerState::Failed;
            status.reason = Some(cause.message);
            status.failed_since.get_or_insert_with(SystemTime::now);
            status.next_try = next_try;
        });
    }

    /// Waits until it listens, or is known to have failed.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) async fn opened(&self) -> Result<(), String> {
        let mut status = self.status.subscribe();
        let known = status.wait_for(|status| status.state != ListenerState::Waiting);
        match known.await {
            Ok(status) if status.state == ListenerState::Listening => Ok(()),
            Ok(status) => Err(status.reason.clone().unwrap_or_default()),
            Err(gone) => Err(gone.to_string()),
        }
    }

    /// Changes the state, and publishes what others may want to know of the change.
    fn change(&self, change: impl FnOnce(&mut ListenStatus)) {
        let before = self.get();
        self.status.send_modify(change);
        let now = self.get();
        if (before.state, before.port, before.reason) != (now.state, now.port, now.reason.clone()) {
            let tunnel = self.tunnel.borrow().clone();
            tunnel.events.publish(Event::TunnelChanged {
                tunnel: tunnel.facts(),
                state: now.state,
                port: now.port,
                reason: now.reason,
            });
        }
    }
}
