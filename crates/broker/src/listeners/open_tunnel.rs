//! An open tunnel: its listener, or why it has none.

use std::io;
use std::mem::discriminant;
use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::{ListenAddress, ListenSide, ListenWhen, TunnelSpec};
use broker_ipc::types::{ListenerState, TunnelOrigin};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::info;

use super::accept::accept;
use super::configured::Configured;
use super::remote::keep_listening;
use super::retry::Retry;
use super::status::{ListenStatus, StatusCell};
use crate::events::Event;
use crate::own_host::{Host, Listener};
use crate::registry::Cause;
use crate::tunnel::Tunnel;

/// Why a remote tunnel does not listen at first.
const NOT_ASKED: &str = "the SSH server has not answered yet";

/// A tunnel and its listener.
pub(crate) struct OpenTunnel {
    /// What the next client gets.
    serving: watch::Sender<Arc<Tunnel>>,
    /// The profile's id.
    pub(crate) profile: String,
    pub(crate) origin: TunnelOrigin,
    /// When its profile wants it to listen.
    when: ListenWhen,
    status: StatusCell,
    /// Whether a listener that failed is retried.
    pub(super) retried: bool,
    retry: Option<Retry>,
    listening: Listening,
    /// A tunnel that a command opened keeps a daemon running that was started on demand.
    _uses: Option<TaskTrackerToken>,
}

/// A listener that accepts clients.
#[derive(Default)]
struct Listening {
    /// Ends it.
    closed: CancellationToken,
    /// The task that has the socket, if it is one of this host.
    accepting: Option<JoinHandle<()>>,
}

impl OpenTunnel {
    /// A tunnel that does not listen yet.
    pub(super) fn new(
        tunnel: Arc<Tunnel>,
        profile: String,
        origin: TunnelOrigin,
        when: ListenWhen,
    ) -> Self {
        let commanded = origin == TunnelOrigin::Command;
        let uses = commanded.then(|| tunnel.shutdown.using());
        let serving = watch::Sender::new(tunnel);
        Self {
            status: StatusCell::new(serving.subscribe()),
            _uses: uses,
            serving,
            profile,
            origin,
            when,
            retried: true,
            retry: None,
            listening: Listening::default(),
        }
    }

    /// What the next client gets.
    pub(crate) fn tunnel(&self) -> Arc<Tunnel> {
        self.serving.borrow().clone()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u64 {
        self.serving.borrow().id
    }

    /// As the configuration asks for it; `None` if a command has opened it.
    pub(crate) fn configured(&self) -> Option<Configured> {
        (self.origin != TunnelOrigin::Command).then(|| Configured {
            profile: self.profile.clone(),
            when: self.when,
            origin: self.origin,
            spec: self.tunnel().spec.clone(),
        })
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
        self.serving.borrow().spec.listens
    }

    /// Whether its socket has this address.
    pub(super) fn listens_at(&self, at: SocketAddr) -> bool {
        let tunnel = self.tunnel();
        let same_address = match tunnel.spec.listen_address {
            ListenAddress::Address(ip) => at.ip() == ip,
            ListenAddress::All => at.ip().is_unspecified(),
        };
        same_address && self.listens() == ListenSide::OwnHost && at.port() == self.status().port
    }

    /// Accepts clients from now on. A remote tunnel begins to ask its server for that.
    ///
    /// # Errors
    /// The system's reason: the port is in use, the address is not of this host, or the port requires a privilege.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        match self.listens() {
            ListenSide::OwnHost => {
                let tunnel = self.tunnel();
                self.accept_from(listener_of(&tunnel.host, &tunnel.spec, &[])?);
            }
            ListenSide::SshServer => self.ask_server(),
        }
        Ok(())
    }

    /// Accepts the clients of this listener from now on.
    pub(super) fn accept_from(&mut self, listener: Listener) {
        self.retry = None;
        self.report_listening(listener.address().port());
        let closed = CancellationToken::new();
        let accepting = accept(self.serving.subscribe(), listener, closed.clone());
        let tasks = &self.tunnel().shutdown.tasks;
        self.listening = Listening {
            closed,
            accepting: Some(tasks.spawn(accepting)),
        };
    }

    /// Gives the next client this. The listener stays, unless an SSH server has to be asked for another one.
    pub(super) fn change(&mut self, to: Tunnel, profile: String, when: ListenWhen) {
        let before = self.tunnel();
        let same_listener = Arc::ptr_eq(&before.connections, &to.connections)
            && discriminant(&before.spec.kind) == discriminant(&to.spec.kind)
            && self.when == when;
        (self.profile, self.when) = (profile, when);
        self.serving.send_replace(Arc::new(to));
        if self.listens() == ListenSide::SshServer && !same_listener {
            self.stop_listening();
            self.ask_server();
        }
    }

    /// Waits until it listens. A local tunnel does as soon as it is open.
    pub(super) fn opened(&self) -> impl Future<Output = Result<(), String>> + use<> {
        let status = self.status.clone();
        async move { status.opened().await }
    }

    fn report_listening(&self, port: u16) {
        let tunnel = self.tunnel();
        let spec = &tunnel.spec;
        let had_failed = self.is(ListenerState::Failed);
        self.status.listening(port);
        info!(
            tunnel = tunnel.id,
            listen = %format!("{}:{port}", spec.listen_address),
            to = %tunnel.leads_to(),
            profile = %self.profile,
            "tunnel listens{}",
            if had_failed { " after it had failed" } else { "" }
        );
    }

    /// Keeps the SSH server listening until the tunnel is closed or the daemon stops.
    fn ask_server(&mut self) {
        self.status.waiting(NOT_ASKED.to_owned());
        let shutdown = self.tunnel().shutdown.clone();
        let keeping = keep_listening(self.serving.subscribe(), self.status.clone(), self.when);
        let closed = CancellationToken::new();
        self.listening = Listening {
            closed: closed.clone(),
            accepting: None,
        };
        let drain = shutdown.drain.clone();
        let until_closed = async move {
            tokio::select! {
                () = keeping => {}
                () = closed.cancelled() => {}
                () = drain.cancelled() => {}
            }
        };
        shutdown.spawn_until_killed(until_closed);
    }

    /// Accepts no more clients; existing sessions continue.
    pub(super) fn stop_listening(&self) {
        self.listening.closed.cancel();
    }

    /// Accepts no more clients, and returns when the port is free; existing sessions continue.
    pub(super) async fn close(self) {
        self.stop_listening();
        let tunnel = self.tunnel();
        if let Some(accepting) = self.listening.accepting {
            // An error says that the daemon ends.
            let _ = accepting.await;
        }
        tunnel.events.publish(Event::TunnelClosed(tunnel.facts()));
    }

    /// Accepts no clients for now, for this reason.
    pub(super) fn wait(&mut self, reason: &str) {
        self.stop_listening();
        self.retry = None;
        self.status.waiting(reason.to_owned());
    }

    /// Records why it could not listen, and when to try again.
    pub(super) fn fail(&mut self, cause: Cause) {
        self.retry = self.retried.then(|| Retry::after(self.retry));
        self.status.failed(cause, self.next_try());
    }

    /// When to try again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Whether it listens where another tunnel wants to.
    pub(super) fn is_in_the_way_of(&self, wanted: &TunnelSpec) -> bool {
        let tunnel = self.tunnel();
        let own = &tunnel.spec;
        let same_port = self.status().port == wanted.listen_port;
        let here = self.listens() == ListenSide::OwnHost && self.is(ListenerState::Listening);
        here && same_port && own.listen_address.overlaps(wanted.listen_address)
    }
}

/// Opens the listener of a local tunnel, `beside` sockets of the same port that will close.
///
/// # Errors
/// As [`OpenTunnel::listen`].
pub(super) fn listener_of(
    host: &Arc<Host>,
    spec: &TunnelSpec,
    beside: &[Arc<TcpListener>],
) -> io::Result<Listener> {
    Listener::for_tunnel(host, spec.listen_address, spec.listen_port, beside)
}
