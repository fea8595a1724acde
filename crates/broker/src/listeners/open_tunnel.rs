//! An open tunnel: its listener, or why it has none.

use std::io::ErrorKind;
use std::sync::Arc;

use broker_ipc::types::{ListenerState, TunnelOrigin};
use broker_ipc::{ErrorCode, RpcError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::info;

use super::accept::accept;
use crate::own_host::Listener;
use crate::tunnel::Tunnel;

/// A tunnel and its listener.
pub(crate) struct OpenTunnel {
    pub(crate) tunnel: Arc<Tunnel>,
    /// The profile's id.
    pub(crate) profile: String,
    pub(crate) origin: TunnelOrigin,
    /// The port it listens on; the chosen one, if the configuration asks for a free port.
    pub(crate) port: u16,
    pub(crate) state: ListenerState,
    /// Why it does not listen.
    pub(crate) reason: Option<String>,
    /// Whether a listener that failed is retried.
    pub(super) retried: bool,
    listening: CancellationToken,
    /// A tunnel that a command opened keeps a daemon running that was started on demand.
    _uses: Option<TaskTrackerToken>,
}

impl OpenTunnel {
    /// A tunnel that does not listen yet.
    pub(super) fn new(tunnel: Arc<Tunnel>, profile: &str, origin: TunnelOrigin) -> Self {
        let commanded = origin == TunnelOrigin::Command;
        Self {
            port: tunnel.spec.listen_port,
            _uses: commanded.then(|| tunnel.shutdown.using()),
            tunnel,
            profile: profile.to_owned(),
            origin,
            state: ListenerState::Failed,
            reason: None,
            retried: true,
            listening: CancellationToken::new(),
        }
    }

    /// Accepts clients from now on.
    ///
    /// # Errors
    /// Why it cannot listen, and what to do.
    pub(super) fn listen(&mut self) -> Result<(), RpcError> {
        let spec = &self.tunnel.spec;
        let listener = bind(&self.tunnel)?;
        let port = listener.address().port();
        self.port = port;
        self.state = ListenerState::Listening;
        self.reason = None;
        self.listening = CancellationToken::new();
        info!(
            tunnel = self.tunnel.id,
            listen = %format!("{}:{port}", spec.listen_address),
            to = %self.tunnel.leads_to(),
            profile = %self.profile,
            "tunnel listens"
        );
        let accepting = accept(self.tunnel.clone(), listener, self.listening.clone());
        self.tunnel.shutdown.tasks.spawn(accepting);
        Ok(())
    }

    /// Accepts no more clients; existing sessions continue.
    pub(super) fn stop_listening(&self) {
        self.listening.cancel();
    }

    /// Accepts no clients for now, for this reason.
    pub(super) fn wait(&mut self, reason: &str) {
        self.stop_listening();
        self.state = ListenerState::Waiting;
        self.reason = Some(reason.to_owned());
    }

    /// Records why it could not listen.
    pub(super) fn fail(&mut self, reason: String) {
        self.state = ListenerState::Failed;
        self.reason = Some(reason);
    }
}

/// Binds the listener of a tunnel. The error says what prevents it, and what to do.
fn bind(tunnel: &Tunnel) -> Result<Listener, RpcError> {
    let spec = &tunnel.spec;
    Listener::for_tunnel(&tunnel.host, spec.listen_address, spec.listen_port).map_err(|error| {
        let wanted = format!("{}:{}", spec.listen_address, spec.listen_port);
        let kind = error.kind();
        let message = if kind == ErrorKind::AddrInUse {
            format!("{wanted} is in use by another program; choose another listen-port or end that program")
        } else if kind == ErrorKind::PermissionDenied {
            format!("not permitted to listen on {wanted}; ports below 1024 require a privilege that the daemon does not have")
        } else if kind == ErrorKind::AddrNotAvailable {
            format!("cannot listen on {wanted}: the address does not belong to this host")
        } else {
            format!("cannot listen on {wanted}: {error}")
        };
        RpcError::new(ErrorCode::ListenFailed, message)
    })
}
