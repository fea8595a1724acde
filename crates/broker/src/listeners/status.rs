//! Whether a tunnel listens, as its owner and its own task know it.

use broker_ipc::types::ListenerState;
use tokio::sync::watch;

/// The state of a tunnel's listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenStatus {
    pub(crate) state: ListenerState,
    /// The port it listens on; the chosen one, if the configuration asks for a free port.
    pub(crate) port: u16,
    /// Why it does not listen.
    pub(crate) reason: Option<String>,
}

/// Where a listener's state is recorded. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct StatusCell(watch::Sender<ListenStatus>);

impl StatusCell {
    /// A listener that was not opened yet.
    pub(super) fn new(port: u16) -> Self {
        Self(watch::Sender::new(ListenStatus {
            state: ListenerState::Waiting,
            port,
            reason: None,
        }))
    }

    /// The state at this moment.
    pub(super) fn get(&self) -> ListenStatus {
        self.0.borrow().clone()
    }

    /// It listens on this port.
    pub(super) fn listening(&self, port: u16) {
        self.0.send_modify(|status| {
            status.port = port;
            status.state = ListenerState::Listening;
            status.reason = None;
        });
    }

    /// It does not listen for now, for this reason.
    pub(super) fn waiting(&self, reason: String) {
        self.not_listening(ListenerState::Waiting, reason);
    }

    /// It could not listen, for this reason.
    pub(super) fn failed(&self, reason: String) {
        self.not_listening(ListenerState::Failed, reason);
    }

    /// Waits until it listens, or is known to have failed.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) async fn opened(&self) -> Result<(), String> {
        let mut status = self.0.subscribe();
        let known = status.wait_for(|status| status.state != ListenerState::Waiting);
        match known.await {
            Ok(status) if status.state == ListenerState::Listening => Ok(()),
            Ok(status) => Err(status.reason.clone().unwrap_or_default()),
            Err(gone) => Err(gone.to_string()),
        }
    }

    fn not_listening(&self, state: ListenerState, reason: String) {
        self.0.send_modify(|status| {
            status.state = state;
            status.reason = Some(reason);
        });
    }
}
