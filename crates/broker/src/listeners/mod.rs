//! The listeners of tunnels: opened, tried again, and following their profile's connection.

mod accept;

use std::io::ErrorKind;
use std::sync::Arc;

use broker_config::{ListenWhen, LocalTunnel, Profile};
use broker_ipc::types::{ListenerState, TunnelOrigin};
use broker_ipc::{ErrorCode, RpcError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::connect_spec;
use crate::own_host::Listener;
use crate::supervisor::Supervisor;
use crate::tunnel::{GREETINGS_AWAITED, Tunnel};

/// Tunnels at once. Far above what a file holds, far below what descriptors allow.
const MAX_TUNNELS: usize = 4096;

const NOT_CONNECTED: &str = "the profile is not connected";

/// A tunnel and its listener.
pub(crate) struct OpenTunnel {
    pub(crate) tunnel: Arc<Tunnel>,
    /// The profile's id.
    pub(crate) profile: String,
    pub(crate) origin: TunnelOrigin,
    /// The port listened on; the one taken, where a free one was asked for.
    pub(crate) port: u16,
    pub(crate) state: ListenerState,
    /// Why it does not listen.
    pub(crate) reason: Option<String>,
    listening: CancellationToken,
}

impl OpenTunnel {
    /// Accepts no more clients; those it serves go on.
    pub(crate) fn stop_listening(&self) {
        self.listening.cancel();
    }

    /// Accepts no clients for now, for this reason.
    pub(crate) fn wait(&mut self, reason: &str) {
        self.stop_listening();
        self.state = ListenerState::Waiting;
        self.reason = Some(reason.to_owned());
    }
}

impl Supervisor {
    /// Opens a tunnel of the configuration. One that can't listen stays listed, so that it is seen,
    /// and is tried again.
    pub(crate) fn open_from_file(
        &mut self,
        profile: &Profile,
        spec: LocalTunnel,
        origin: TunnelOrigin,
    ) {
        let at = spec.position.clone();
        let waits = origin == TunnelOrigin::File && profile.listen == ListenWhen::Connected;
        let mut open = match self.prepare(profile, spec, origin) {
            Ok(open) => open,
            Err(error) => {
                warn!(%at, profile = %profile.id, "tunnel not opened: {error}");
                return;
            }
        };
        let outcome = match connect_spec::unsupported(profile) {
            Some(reason) => Err(RpcError::not_supported(reason)),
            None if waits => {
                open.wait(NOT_CONNECTED);
                Ok(())
            }
            None => self.start_listening(&mut open),
        };
        if let Err(error) = outcome {
            warn!(tunnel = open.tunnel.id, %at, "tunnel does not listen: {error}");
            open.reason = Some(error.message);
        }
        self.tunnels.insert(open.tunnel.id, open);
    }

    /// Opens a tunnel that somebody asked for and waits for.
    ///
    /// # Errors
    /// Why it can't be had.
    pub(crate) fn open_asked(
        &mut self,
        profile: &Profile,
        spec: LocalTunnel,
    ) -> Result<u64, RpcError> {
        if let Some(reason) = connect_spec::unsupported(profile) {
            return Err(RpcError::not_supported(reason));
        }
        let mut open = self.prepare(profile, spec, TunnelOrigin::Command)?;
        self.start_listening(&mut open)?;
        let id = open.tunnel.id;
        self.tunnels.insert(id, open);
        Ok(id)
    }

    fn prepare(
        &mut self,
        profile: &Profile,
        spec: LocalTunnel,
        origin: TunnelOrigin,
    ) -> Result<OpenTunnel, RpcError> {
        if self.tunnels.len() >= MAX_TUNNELS {
            return Err(RpcError::new(
                ErrorCode::LimitReached,
                format!("{MAX_TUNNELS} tunnel listeners are open already; close some first"),
            ));
        }
        let id = self.registry.new_id();
        let tunnel = Arc::new(Tunnel {
            id,
            spec,
            host: self.host.clone(),
            connections: self.connections(profile),
            registry: self.registry.clone(),
            totals: self.registry.add_tunnel(id),
            tracker: self.tracker.clone(),
            shutdown: self.shutdown.clone(),
            greetings: Arc::new(Semaphore::new(GREETINGS_AWAITED)),
        });
        Ok(OpenTunnel {
            port: tunnel.spec.listen_port,
            tunnel,
            profile: profile.id.clone(),
            origin,
            state: ListenerState::Failed,
            reason: None,
            listening: CancellationToken::new(),
        })
    }

    fn start_listening(&self, open: &mut OpenTunnel) -> Result<(), RpcError> {
        let spec = &open.tunnel.spec;
        let listener = bind(&open.tunnel)?;
        let port = listener.address().port();
        open.port = port;
        open.state = ListenerState::Listening;
        open.reason = None;
        open.listening = CancellationToken::new();
        info!(
            tunnel = open.tunnel.id,
            listen = %format!("{}:{port}", spec.listen_address),
            to = %open.tunnel.destination(),
            profile = %open.profile,
            "tunnel listens"
        );
        let accepting = accept::accept(open.tunnel.clone(), listener, open.listening.clone());
        self.tracker.spawn(accepting);
        Ok(())
    }

    /// Tries listeners again that could not be bound, most likely for another program on their port.
    pub(crate) fn retry_failed_listeners(&mut self) {
        self.each_tunnel(|supervisor, open| {
            let profile = supervisor.pools.get(&open.profile).map(|p| &p.profile);
            let supported = profile.is_some_and(|p| connect_spec::unsupported(p).is_none());
            if open.state == ListenerState::Failed && supported {
                // The reason was told when it first failed; list-tunnel-listeners still shows it.
                let _ = supervisor.start_listening(open);
            }
        });
    }

    /// Opens or closes the listeners of a profile that stand only while it is connected.
    pub(crate) fn follow_connection(&mut self, profile: &str) {
        let connected = self
            .pools
            .get(profile)
            .is_some_and(|owner| owner.connections.shared().snapshot().is_connected());
        self.each_tunnel(|supervisor, open| {
            if open.profile != profile || open.origin != TunnelOrigin::File {
                return;
            }
            if !connected && open.state == ListenerState::Listening {
                info!(
                    tunnel = open.tunnel.id,
                    "tunnel stops listening: its profile is not connected"
                );
                open.wait(NOT_CONNECTED);
            } else if connected
                && open.state == ListenerState::Waiting
                && let Err(error) = supervisor.start_listening(open)
            {
                warn!(tunnel = open.tunnel.id, "tunnel does not listen: {error}");
                open.state = ListenerState::Failed;
                open.reason = Some(error.message);
            }
        });
    }

    fn each_tunnel(&mut self, mut change: impl FnMut(&Self, &mut OpenTunnel)) {
        let mut tunnels = std::mem::take(&mut self.tunnels);
        for open in tunnels.values_mut() {
            change(self, open);
        }
        self.tunnels = tunnels;
    }
}

/// Binds a tunnel's listener, with a sentence for whoever has to mend what is in the way.
fn bind(tunnel: &Tunnel) -> Result<Listener, RpcError> {
    let spec = &tunnel.spec;
    Listener::for_tunnel(&tunnel.host, spec.listen_address, spec.listen_port).map_err(|error| {
        let wanted = format!("{}:{}", spec.listen_address, spec.listen_port);
        let kind = error.kind();
        let message = if kind == ErrorKind::AddrInUse {
            format!("{wanted} is in use by another program; choose another listen-port or end that program")
        } else if kind == ErrorKind::PermissionDenied {
            format!("not permitted to listen on {wanted}; ports below 1024 need a right the daemon does not have")
        } else if kind == ErrorKind::AddrNotAvailable {
            format!("{wanted} cannot be listened on: the address is not one of this host's")
        } else {
            format!("{wanted} cannot be listened on: {error}")
        };
        RpcError::new(ErrorCode::ListenFailed, message)
    })
}
