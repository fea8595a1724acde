//! The open tunnels: opens them, retries them, follows their profile's connection, and closes them.

mod accept;
mod change;
mod configured;
mod open_tunnel;
mod remote;
mod retry;
mod status;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use broker_config::{Profile, TunnelSpec};
use broker_ipc::methods::Done;
use broker_ipc::types::{ListenerState, TunnelOrigin};
use broker_ipc::{ErrorCode, Reason, RpcError};
use socket_owners::{Obstacles, in_use_by};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub(crate) use change::{PreparedStep, TunnelStep};
pub(crate) use configured::Configured;
pub(crate) use open_tunnel::OpenTunnel;

use crate::announced::AnnouncedPorts;
use crate::client_tls::TunnelTls;
use crate::events::Events;
use crate::own_host::{Host, Listener, TunnelSockets};
use crate::profiles::{Connections, unsupported};
use crate::registry::{Cause, SessionRegistry};
use crate::shutdown::Shutdown;
use crate::tunnel::{GREETINGS_AWAITED, HANDSHAKES, Tunnel};

/// Tunnels at once. Far more than a configuration contains, far fewer than the limit of descriptors.
const MAX_TUNNELS: usize = 4096;

const NOT_CONNECTED: &str = "the profile is not connected";

/// In the log behind the reason of a failure. The listing says when.
const TRIES_AGAIN: &str = "; the broker tries again";

/// All tunnels of the daemon.
pub(crate) struct Listeners {
    tunnels: BTreeMap<u64, OpenTunnel>,
    obstacles: Obstacles,
    host: Arc<Host>,
    registry: Arc<SessionRegistry>,
    events: Events,
    shutdown: Shutdown,
}

impl Listeners {
    /// No tunnel is open yet.
    pub(crate) fn new(registry: Arc<SessionRegistry>, events: Events, shutdown: Shutdown) -> Self {
        Self {
            tunnels: BTreeMap::new(),
            obstacles: Obstacles::new(),
            host: Host::with(TunnelSockets::new(shutdown.leave.clone())),
            registry,
            events,
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

    /// The open tunnels of the configuration, by their numbers.
    pub(crate) fn configured(&self) -> Vec<(u64, Configured)> {
        let tunnels = self.tunnels.iter();
        tunnels
            .filter_map(|(id, open)| Some((*id, open.configured()?)))
            .collect()
    }

    /// Opens a tunnel of the configuration. One that cannot listen stays listed so that it is visible, and is retried.
    pub(crate) fn open_configured(
        &mut self,
        configured: Configured,
        profile: &Profile,
        connections: Arc<Connections>,
    ) {
        match tls_of(&configured.spec) {
            Ok(tls) => self.open_prepared(configured, profile, connections, tls, None),
            Err(error) => {
                let at = &configured.spec.position;
                warn!(%at, profile = %profile.id, "tunnel not opened: {error}");
            }
        }
    }

    /// Opens a tunnel of the configuration, on this listener if it is open already.
    fn open_prepared(
        &mut self,
        configured: Configured,
        profile: &Profile,
        connections: Arc<Connections>,
        tls: Option<Arc<TunnelTls>>,
        listener: Option<Listener>,
    ) {
        let at = configured.spec.position.clone();
        if let Err(error) = self.has_room(1) {
            warn!(%at, profile = %profile.id, "tunnel not opened: {error}");
            return;
        }
        let mut open = self.tunnel_of(configured, connections, tls);
        let id = open.id();
        if let Some(reason) = unsupported(profile) {
            warn!(tunnel = id, %at, "tunnel does not listen: {reason}");
            open.retried = false;
            open.fail(Cause::new(Reason::NotSupported, reason));
        } else if let Some(listener) = listener {
            open.accept_from(listener);
        } else if open.follows_connection() {
            open.wait(NOT_CONNECTED);
        } else if let Err(error) = open.listen() {
            let cause = self.cause(&open.tunnel().spec, &error);
            warn!(tunnel = id, %at, "tunnel does not listen: {}{TRIES_AGAIN}", cause.message);
            open.fail(cause);
        }
        self.tunnels.insert(id, open);
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
        self.has_room(1)?;
        let tls = tls_of(&spec)?;
        let requested = Configured::new(profile, &spec, TunnelOrigin::Command);
        let mut open = self.tunnel_of(requested, connections, tls);
        if let Err(error) = open.listen() {
            let Cause {
                message, reason, ..
            } = self.cause(&spec, &error);
            return Err(RpcError::new(ErrorCode::ListenFailed, message).because(reason));
        }
        let id = open.id();
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

    /// Whether there may be so many more tunnels.
    fn has_room(&self, more: usize) -> Result<(), RpcError> {
        if self.tunnels.len() + more <= MAX_TUNNELS {
            return Ok(());
        }
        Err(RpcError::new(
            ErrorCode::LimitReached,
            format!("there can be no more than {MAX_TUNNELS} tunnel listeners; close some first"),
        ))
    }

    fn tunnel_of(
        &self,
        configured: Configured,
        connections: Arc<Connections>,
        tls: Option<Arc<TunnelTls>>,
    ) -> OpenTunnel {
        let Configured {
            profile,
            when,
            origin,
            spec,
        } = configured;
        let id = self.registry.new_id();
        let is_requested = origin == TunnelOrigin::Command;
        let registered = self.registry.add_tunnel(id, is_requested);
        let tunnel = Arc::new(Tunnel {
            id,
            profile_id: profile.clone(),
            spec,
            profile: (!is_requested).then(|| profile.clone()),
            tls,
            host: self.host.clone(),
            connections,
            events: self.events.clone(),
            registry: self.registry.clone(),
            totals: Arc::new(registered),
            shutdown: self.shutdown.clone(),
            greetings: Arc::new(Semaphore::new(GREETINGS_AWAITED)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            announced: AnnouncedPorts::new(self.host.clone()),
        });
        OpenTunnel::new(tunnel, profile, origin, when)
    }

    /// Closes a tunnel's listener, and returns when its port is free; existing sessions continue.
    ///
    /// # Errors
    /// If there is none with this number.
    pub(crate) async fn close(&mut self, id: u64) -> Result<Done, RpcError> {
        let open = self.tunnels.remove(&id).ok_or_else(|| not_found(id))?;
        open.close().await;
        info!(tunnel = id, "tunnel listener closed");
        Ok(Done {})
    }

    /// Accepts no more clients anywhere, for this reason.
    pub(crate) fn stop(&mut self, reason: &str) {
        let tunnels = self.tunnels.values_mut();
        tunnels.for_each(|open| open.wait(reason));
    }

    /// When to call [`Listeners::retry_failed`].
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.tunnels.values().filter_map(OpenTunnel::next_try).min()
    }

    /// Tries again those listeners that failed, and whose pause is over.
    pub(crate) fn retry_failed(&mut self) {
        let now = Instant::now();
        let is_due = |open: &OpenTunnel| open.next_try().is_some_and(|at| at <= now);
        self.change(is_due, |listeners, open| {
            if let Err(error) = open.listen() {
                let cause = listeners.cause(&open.tunnel().spec, &error);
                // The first failure was a warning; list-tunnel-listeners still shows it.
                debug!(
                    tunnel = open.id(),
                    "tunnel still does not listen: {}", cause.message
                );
                open.fail(cause);
            }
        });
    }

    /// Why a tunnel cannot listen after this error, for the list and for programs.
    fn cause(&mut self, wanted: &TunnelSpec, error: &io::Error) -> Cause {
        let reason = if error.kind() == ErrorKind::AddrInUse {
            Reason::PortInUse
        } else {
            Reason::Listen
        };
        Cause::new(reason, self.obstacle(wanted, error))
    }

    /// Why a tunnel cannot listen after this error, and what to do.
    fn obstacle(&mut self, wanted: &TunnelSpec, error: &io::Error) -> String {
        let place = format!("{}:{}", wanted.listen_address, wanted.listen_port);
        let mut others = self.tunnels.values();
        let other = others.find(|it| it.is_in_the_way_of(wanted));
        if let Some(other) = other.filter(|_| error.kind() == ErrorKind::AddrInUse) {
            let (id, profile) = (other.id(), &other.profile);
            let who = format!("tunnel {id} of this daemon (profile {profile})");
            return in_use_by(&place, &who, "close that tunnel");
        }
        let address = wanted.listen_address.with_port(wanted.listen_port);
        self.obstacles.explain(&place, address, error)
    }

    /// Opens or closes the listeners of a profile that are open only while it is connected.
    pub(crate) fn follow_connection(&mut self, profile: &str, connected: bool) {
        let follows = |open: &OpenTunnel| open.follows_connection() && open.profile == profile;
        self.change(follows, |listeners, open| match connected {
            true => listeners.listen_while_connected(open),
            false => stop_until_connected(open),
        });
    }

    /// Changes each of these tunnels; the change can look at the others.
    fn change(
        &mut self,
        which: impl Fn(&OpenTunnel) -> bool,
        change: impl Fn(&mut Self, &mut OpenTunnel),
    ) {
        let chosen = self.tunnels.iter().filter(|(_, open)| which(open));
        let chosen: Vec<u64> = chosen.map(|(id, _)| *id).collect();
        for id in chosen {
            if let Some(mut open) = self.tunnels.remove(&id) {
                change(self, &mut open);
                self.tunnels.insert(id, open);
            }
        }
    }

    fn listen_while_connected(&mut self, open: &mut OpenTunnel) {
        if open.is(ListenerState::Waiting)
            && let Err(error) = open.listen()
        {
            let cause = self.cause(&open.tunnel().spec, &error);
            warn!(
                tunnel = open.id(),
                "tunnel does not listen: {}{TRIES_AGAIN}", cause.message
            );
            open.fail(cause);
        }
    }
}

fn stop_until_connected(open: &mut OpenTunnel) {
    if open.is(ListenerState::Listening) {
        info!(
            tunnel = open.id(),
            "tunnel stops listening: its profile is not connected"
        );
    }
    open.wait(NOT_CONNECTED);
}

fn tls_of(spec: &TunnelSpec) -> Result<Option<Arc<TunnelTls>>, RpcError> {
    let tls = TunnelTls::of(spec).map_err(RpcError::invalid_params)?;
    Ok(tls.map(Arc::new))
}

fn not_found(id: u64) -> RpcError {
    RpcError::not_found(format!(
        "there is no tunnel listener {id}; see list-tunnel-listeners"
    ))
}

#[cfg(test)]
mod tests;
