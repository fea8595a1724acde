//! The open tunnels: opens them, retries them, follows their profile's connection, and closes them.

mod accept;
mod open_tunnel;
mod remote;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_config::{ListenSide, ListenWhen, Profile, TunnelSpec};
use broker_ipc::methods::Done;
use broker_ipc::types::{ListenerState, TunnelOrigin};
use broker_ipc::{ErrorCode, RpcError};
use tokio::sync::Semaphore;
use tracing::{info, warn};

pub(crate) use open_tunnel::OpenTunnel;

use crate::announced::AnnouncedPorts;
use crate::client_tls::TunnelTls;
use crate::own_host::{Host, TunnelSockets};
use crate::profiles::{Connections, unsupported};
use crate::registry::SessionRegistry;
use crate::shutdown::Shutdown;
use crate::tunnel::{GREETINGS_AWAITED, HANDSHAKES, Tunnel};

/// Tunnels at once. Far more than a configuration contains, far fewer than the limit of descriptors.
const MAX_TUNNELS: usize = 4096;

const NOT_CONNECTED: &str = "the profile is not connected";

/// All tunnels of the daemon.
pub(crate) struct Listeners {
    tunnels: BTreeMap<u64, OpenTunnel>,
    host: Arc<Host>,
    registry: Arc<SessionRegistry>,
    shutdown: Shutdown,
}

impl Listeners {
    /// No tunnel is open yet.
    pub(crate) fn new(registry: Arc<SessionRegistry>, shutdown: Shutdown) -> Self {
        Self {
            tunnels: BTreeMap::new(),
            host: Host::with(TunnelSockets::new(shutdown.leave.clone())),
            registry,
            shutdown,
        }
    }

    /// The open tunnels, oldest first.
    pub(crate) fn tunnels(&self) -> impl ExactSizeIterator<Item = &OpenTunnel> {
        self.tunnels.values()
    }

    /// The sockets of the tunnels.
    pub(crate) fn sockets(&self) -> TunnelSockets {
        self.host.sockets.clone()
    }

    /// One open tunnel.
    ///
    /// # Errors
    /// If there is none with this number.
    pub(crate) fn tunnel(&self, id: u64) -> Result<&OpenTunnel, RpcError> {
        self.tunnels.get(&id).ok_or_else(|| not_found(id))
    }

    /// Opens a tunnel of the configuration. One that cannot listen stays listed so that it is visible, and is retried.
    pub(crate) fn open_configured(
        &mut self,
        profile: &Profile,
        connections: Arc<Connections>,
        spec: TunnelSpec,
        origin: TunnelOrigin,
    ) {
        let at = spec.position.clone();
        let mut open = match self.prepare(profile, connections, spec, origin) {
            Ok(open) => open,
            Err(error) => {
                warn!(%at, profile = %profile.id, "tunnel not opened: {error}");
                return;
            }
        };
        let unsupported = unsupported(profile);
        open.retried = unsupported.is_none();
        let outcome = match unsupported {
            Some(reason) => Err(RpcError::not_supported(reason)),
            None if open.follows_connection() => {
                open.wait(NOT_CONNECTED);
                Ok(())
            }
            None => open.listen(),
        };
        if let Err(error) = outcome {
            warn!(tunnel = open.tunnel.id, %at, "tunnel does not listen: {error}");
            open.fail(error.message);
        }
        self.tunnels.insert(open.tunnel.id, open);
    }

    /// Opens a tunnel for a client that waits for it. Returns its number; see [`Listeners::opened`].
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(crate) fn open_requested(
        &mut self,
        profile: &Profile,
        connections: Arc<Connections>,
        spec: TunnelSpec,
    ) -> Result<u64, RpcError> {
        if let Some(reason) = unsupported(profile) {
            return Err(RpcError::not_supported(reason));
        }
        let mut open = self.prepare(profile, connections, spec, TunnelOrigin::Command)?;
        open.listen()?;
        let id = open.tunnel.id;
        self.tunnels.insert(id, open);
        Ok(id)
    }

    /// Waits until a tunnel listens.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn opened(&self, id: u64) -> impl Future<Output = Result<(), RpcError>> + use<> {
        let opened = self.tunnel(id).map(OpenTunnel::opened);
        async move {
            let listens = opened?.await;
            listens.map_err(|reason| RpcError::new(ErrorCode::ListenFailed, reason))
        }
    }

    fn prepare(
        &self,
        profile: &Profile,
        connections: Arc<Connections>,
        spec: TunnelSpec,
        origin: TunnelOrigin,
    ) -> Result<OpenTunnel, RpcError> {
        if self.tunnels.len() >= MAX_TUNNELS {
            return Err(RpcError::new(
                ErrorCode::LimitReached,
                format!("{MAX_TUNNELS} tunnel listeners are open already; close some first"),
            ));
        }
        let tls = TunnelTls::of(&spec).map_err(RpcError::invalid_params)?;
        let id = self.registry.new_id();
        let tunnel = Arc::new(Tunnel {
            id,
            spec,
            tls,
            host: self.host.clone(),
            connections,
            registry: self.registry.clone(),
            totals: self.registry.add_tunnel(id),
            shutdown: self.shutdown.clone(),
            greetings: Arc::new(Semaphore::new(GREETINGS_AWAITED)),
            handshakes: Semaphore::new(HANDSHAKES),
            announced: AnnouncedPorts::new(self.host.clone()),
        });
        let when = match origin {
            TunnelOrigin::File => profile.listen,
            TunnelOrigin::Static | TunnelOrigin::Command => ListenWhen::Startup,
        };
        Ok(OpenTunnel::new(tunnel, &profile.id, origin, when))
    }

    /// Closes a tunnel's listener; existing sessions continue.
    ///
    /// # Errors
    /// If there is none with this number.
    pub(crate) fn close(&mut self, id: u64) -> Result<Done, RpcError> {
        let open = self.tunnels.remove(&id).ok_or_else(|| not_found(id))?;
        open.stop_listening();
        info!(tunnel = id, "tunnel listener closed");
        Ok(Done {})
    }

    /// Accepts no more clients anywhere, for this reason.
    pub(crate) fn stop(&mut self, reason: &str) {
        let tunnels = self.tunnels.values_mut();
        tunnels.for_each(|open| open.wait(reason));
    }

    /// Retries listeners that could not be bound, most likely because another program has their port.
    pub(crate) fn retry_failed(&mut self) {
        let tunnels = self.tunnels.values_mut();
        let by_itself = |open: &OpenTunnel| open.listens() == ListenSide::SshServer;
        let failed = |open: &&mut OpenTunnel| {
            open.retried && open.is(ListenerState::Failed) && !by_itself(open)
        };
        for open in tunnels.filter(failed) {
            // The first failure was logged; list-tunnel-listeners still shows it.
            let _ = open.listen();
        }
    }

    /// Opens or closes the listeners of a profile that are open only while it is connected.
    pub(crate) fn follow_connection(&mut self, profile: &str, connected: bool) {
        let tunnels = self.tunnels.values_mut();
        let follows = |open: &&mut OpenTunnel| open.follows_connection() && open.profile == profile;
        for open in tunnels.filter(follows) {
            let id = open.tunnel.id;
            if !connected && open.is(ListenerState::Listening) {
                info!(
                    tunnel = id,
                    "tunnel stops listening: its profile is not connected"
                );
                open.wait(NOT_CONNECTED);
            } else if connected
                && open.is(ListenerState::Waiting)
                && let Err(error) = open.listen()
            {
                warn!(tunnel = id, "tunnel does not listen: {error}");
                open.fail(error.message);
            }
        }
    }
}

fn not_found(id: u64) -> RpcError {
    RpcError::not_found(format!(
        "there is no tunnel listener {id}; see list-tunnel-listeners"
    ))
}
