//! An open tunnel: its listener, or why it has none.

use std::io;
use std::sync::Arc;

use broker_config::{ListenSide, ListenWhen, TunnelSpec};
use broker_ipc::types::{ListenerState, TunnelOrigin};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::info;

use super::accept::accept;
use super::remote::keep_listening;
use super::retry::Retry;
use super::status::{ListenStatus, StatusCell};
use crate::own_host::Listener;
use crate::tunnel::Tunnel;

/// Why a remote tunnel does not listen at first.
const NOT_ASKED: &str = "the SSH server has not answered yet";

/// A tunnel and its listener.
pub(crate) struct OpenTunnel {
    pub(crate) tunnel: Arc<Tunnel>,
    /// The profile's id.
    pub(crate) profile: String,
    pub(crate) origin: TunnelOrigin,
    /// When its profile wants it to listen.
    when: ListenWhen,
    status: StatusCell,
    /// Whether a listener that failed is retried.
    pub(super) retried: bool,
    retry: Option<Retry>,
    listening: CancellationToken,
    /// A tunnel that a command opened keeps a daemon running that was started on demand.
    _uses: Option<TaskTrackerToken>,
}

impl OpenTunnel {
    /// A tunnel that does not listen yet.
    pub(super) fn new(
        tunnel: Arc<Tunnel>,
        profile: &str,
        origin: TunnelOrigin,
        when: ListenWhen,
    ) -> Self {
        let commanded = origin == TunnelOrigin::Command;
        Self {
            status: StatusCell::new(tunnel.spec.listen_port),
            _uses: commanded.then(|| tunnel.shutdown.using()),
            tunnel,
            profile: profile.to_owned(),
            origin,
            when,
            retried: true,
            retry: None,
            listening: CancellationToken::new(),
        }
    }

    /// Whether it listens, and where.
    pub(crate) fn status(&self) -> ListenStatus {
        self.status.get()
    }

    /// Whether it has this state.
    pub(super) fn is(&self, state: ListenerState) -> bool {
        self.status().state == state
    }

    /// Whether it opens and closes with the connection of its profile. A remote tunnel does that itself.
    pub(super) fn follows_connection(&self) -> bool {
        self.when == ListenWhen::Connected && self.listens() == ListenSide::OwnHost
    }

    pub(super) fn listens(&self) -> ListenSide {
        self.tunnel.spec.listens
    }

    /// Accepts clients from now on. A remote tunnel begins to ask its server for that.
    ///
    /// # Errors
    /// The system's reason: the port is in use, the address is not of this host, or the port requires a privilege.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        let closed = CancellationToken::new();
        let tunnel = self.tunnel.clone();
        match self.listens() {
            ListenSide::OwnHost => {
                let spec = &tunnel.spec;
                let (address, port) = (spec.listen_address, spec.listen_port);
                let listener = Listener::for_tunnel(&tunnel.host, address, port)?;
                self.report_listening(listener.address().port());
                let accepting = accept(tunnel, listener, closed.clone());
                self.tunnel.shutdown.tasks.spawn(accepting);
            }
            ListenSide::SshServer => self.ask_server(tunnel, closed.clone()),
        }
        self.listening = closed;
        self.retry = None;
        Ok(())
    }

    /// Waits until it listens. A local tunnel does as soon as it is open.
    pub(super) fn opened(&self) -> impl Future<Output = Result<(), String>> + use<> {
        let status = self.status.clone();
        async move { status.opened().await }
    }

    fn report_listening(&self, port: u16) {
        let spec = &self.tunnel.spec;
        let had_failed = self.is(ListenerState::Failed);
        self.status.listening(port);
        info!(
            tunnel = self.tunnel.id,
            listen = %format!("{}:{port}", spec.listen_address),
            to = %self.tunnel.leads_to(),
            profile = %self.profile,
            "tunnel listens{}",
            if had_failed { " after it had failed" } else { "" }
        );
    }

    /// Keeps the SSH server listening until the tunnel is closed or the daemon stops.
    fn ask_server(&self, tunnel: Arc<Tunnel>, closed: CancellationToken) {
        self.status.waiting(NOT_ASKED.to_owned());
        let drain = tunnel.shutdown.drain.clone();
        let keeping = keep_listening(tunnel, self.status.clone(), self.when);
        let until_closed = async move {
            tokio::select! {
                () = keeping => {}
                () = closed.cancelled() => {}
                () = drain.cancelled() => {}
            }
        };
        self.tunnel.shutdown.spawn_until_killed(until_closed);
    }

    /// Accepts no more clients; existing sessions continue.
    pub(super) fn stop_listening(&self) {
        self.listening.cancel();
    }

    /// Accepts no clients for now, for this reason.
    pub(super) fn wait(&mut self, reason: &str) {
        self.stop_listening();
        self.retry = None;
        self.status.waiting(reason.to_owned());
    }

    /// Records why it could not listen, and when to try again.
    pub(super) fn fail(&mut self, reason: String) {
        self.retry = self.retried.then(|| Retry::after(self.retry));
        self.status.failed(reason, self.next_try());
    }

    /// When to try again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Whether it listens where another tunnel wants to.
    pub(super) fn is_in_the_way_of(&self, wanted: &TunnelSpec) -> bool {
        let own = &self.tunnel.spec;
        let same_port = self.status().port == wanted.listen_port;
        let here = self.listens() == ListenSide::OwnHost && self.is(ListenerState::Listening);
        here && same_port && own.listen_address.overlaps(wanted.listen_address)
    }
}
