//! What a reload does to the tunnels: first everything that can fail, then the rest at once.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::{Config, ListenSide, ListenWhen, Profile};
use broker_ipc::types::ListenerState;
use broker_ipc::{ErrorCode, Reason, RpcError};
use tokio::net::TcpListener;
use tracing::info;

use super::configured::Configured;
use super::open_tunnel::listener_of;
use super::{Listeners, NOT_CONNECTED, OpenTunnel, TRIES_AGAIN, tls_of};
use crate::client_tls::TunnelTls;
use crate::own_host::Listener;
use crate::profiles::{Connections, Profiles, unsupported};
use crate::registry::Cause;
use crate::tunnel::Tunnel;

/// What becomes of one tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TunnelStep {
    /// Nothing.
    Keep(u64),
    /// Its listener stays, and the next client gets this.
    Change(u64, Configured),
    /// It is new.
    Open(Configured),
    /// Its listener closes. Its sessions continue.
    Close(u64),
}

/// A step that cannot fail any more.
pub(crate) struct PreparedStep {
    step: TunnelStep,
    tls: Option<Arc<TunnelTls>>,
    listener: Option<Listener>,
    /// Why the tunnel will not listen at once, although it should.
    obstacle: Option<String>,
}

impl PreparedStep {
    /// What is to be done.
    pub(crate) fn step(&self) -> &TunnelStep {
        &self.step
    }

    /// The port of the listener that is ready for it.
    pub(crate) fn port(&self) -> Option<u16> {
        self.listener.as_ref().map(|it| it.address().port())
    }

    /// What a person should know of it before it is carried out.
    pub(crate) fn warning(&self) -> Option<String> {
        let obstacle = self.obstacle.as_ref()?;
        Some(format!("a tunnel does not listen: {obstacle}{TRIES_AGAIN}"))
    }
}

impl Listeners {
    /// Prepares what these steps need, and changes nothing.
    ///
    /// # Errors
    /// Why a step is not possible.
    pub(crate) fn prepare(
        &mut self,
        steps: &[TunnelStep],
        config: &Config,
    ) -> Result<Vec<PreparedStep>, RpcError> {
        let closing = |step: &&TunnelStep| matches!(step, TunnelStep::Close(_));
        let opening = |step: &&TunnelStep| matches!(step, TunnelStep::Open(_));
        let fewer = steps.iter().filter(closing).count();
        let more = steps.iter().filter(opening).count();
        self.has_room(more.saturating_sub(fewer))?;
        let closing = self.closing(steps);
        let prepared = steps.iter().cloned();
        prepared
            .map(|step| self.prepare_step(step, steps, config, &closing))
            .collect()
    }

    /// The sockets of the tunnels that close. New ones may overlap with them, such as one that listens on all addresses of
    /// the same port.
    fn closing(&self, steps: &[TunnelStep]) -> Vec<(SocketAddr, Arc<TcpListener>)> {
        let mut open = self.host.sockets.open();
        open.retain(|(at, _)| {
            steps.iter().any(|step| match step {
                TunnelStep::Close(id) => self.tunnels.get(id).is_some_and(|it| it.listens_at(*at)),
                TunnelStep::Keep(_) | TunnelStep::Change(..) | TunnelStep::Open(_) => false,
            })
        });
        open
    }

    fn prepare_step(
        &mut self,
        step: TunnelStep,
        steps: &[TunnelStep],
        config: &Config,
        closing: &[(SocketAddr, Arc<TcpListener>)],
    ) -> Result<PreparedStep, RpcError> {
        let mut prepared = PreparedStep {
            tls: None,
            listener: None,
            obstacle: None,
            step,
        };
        let (open, wanted) = match prepared.step.clone() {
            TunnelStep::Keep(_) | TunnelStep::Close(_) => return Ok(prepared),
            TunnelStep::Change(id, wanted) => (Some(self.tunnel(id)?), wanted),
            TunnelStep::Open(wanted) => (None, wanted),
        };
        prepared.tls = self.tls_for(open, &wanted)?;
        let profile = config.profile_by_id(&wanted.profile);
        if profile.is_some_and(|it| must_bind(open, &wanted, it)) {
            let same_port = closing
                .iter()
                .filter(|(at, _)| at.port() == wanted.spec.listen_port);
            let beside: Vec<_> = same_port.map(|(_, socket)| socket.clone()).collect();
            let bound = listener_of(&self.host, &wanted.spec, &beside);
            let is_new = open.is_none() && !self.replaces(&wanted, steps);
            match bound.map_err(|error| self.obstacle(&wanted.spec, &error)) {
                Ok(listener) => prepared.listener = Some(listener),
                // As at the start: the others do not wait for it, and it tries again.
                Err(reason) if is_new => prepared.obstacle = Some(reason),
                Err(reason) => return Err(RpcError::new(ErrorCode::ListenFailed, reason)),
            }
        }
        Ok(prepared)
    }

    /// Whether this new tunnel replaces one that closes. Without a listener for it, its clients would lose what they have.
    fn replaces(&self, wanted: &Configured, steps: &[TunnelStep]) -> bool {
        steps.iter().any(|step| match step {
            TunnelStep::Close(id) => {
                let closing = self.tunnels.get(id).and_then(OpenTunnel::configured);
                closing.is_some_and(|closing| closing.leads_as(wanted))
            }
            TunnelStep::Keep(_) | TunnelStep::Change(..) | TunnelStep::Open(_) => false,
        })
    }

    /// TLS for the next clients: what there is, unless its settings have changed.
    fn tls_for(
        &self,
        open: Option<&OpenTunnel>,
        wanted: &Configured,
    ) -> Result<Option<Arc<TunnelTls>>, RpcError> {
        match open.map(OpenTunnel::tunnel) {
            Some(tunnel) if tunnel.spec.kind == wanted.spec.kind => Ok(tunnel.tls.clone()),
            Some(_) | None => tls_of(&wanted.spec),
        }
    }

    /// Carries out prepared steps. The profiles have the new configuration already.
    pub(crate) async fn carry_out(&mut self, steps: Vec<PreparedStep>, profiles: &mut Profiles) {
        let config = profiles.config().clone();
        let mut closed = Vec::new();
        for PreparedStep {
            step,
            tls,
            listener,
            obstacle: _,
        } in steps
        {
            match step {
                TunnelStep::Keep(_) => {}
                TunnelStep::Close(id) => closed.extend(self.tunnels.remove(&id)),
                TunnelStep::Change(id, wanted) => {
                    if let Some(open) = self.tunnels.get_mut(&id)
                        && let Some(profile) = config.profile_by_id(&wanted.profile)
                    {
                        let connections = profiles.connections(profile);
                        change(open, wanted, tls, profile, connections);
                        renew(open, profile, listener);
                    }
                }
                TunnelStep::Open(wanted) => {
                    if let Some(profile) = config.profile_by_id(&wanted.profile) {
                        let connections = profiles.connections(profile);
                        self.open_prepared(wanted, profile, connections, tls, listener);
                    }
                }
            }
        }
        for open in closed {
            let id = open.id();
            open.close().await;
            info!(tunnel = id, "tunnel listener closed");
        }
    }

    /// Has a tunnel that a command opened use these connections for its next sessions.
    pub(crate) fn reconnect(&mut self, id: u64, profile: &Profile, connections: Arc<Connections>) {
        let Some(open) = self.tunnels.get_mut(&id) else {
            return;
        };
        let tunnel = open.tunnel();
        let to = Tunnel {
            profile_id: profile.id.clone(),
            connections,
            ..Tunnel::clone(&tunnel)
        };
        open.change(to, profile.id.clone(), ListenWhen::Startup);
    }
}

/// Whether a tunnel needs a new listener.
fn must_bind(open: Option<&OpenTunnel>, wanted: &Configured, profile: &Profile) -> bool {
    let listens = wanted.spec.listens == ListenSide::OwnHost
        && wanted.when == ListenWhen::Startup
        && unsupported(profile).is_none();
    // One that has failed for a reason that may pass is retried anyway.
    let has_none = |open: &OpenTunnel| match open.status().state {
        ListenerState::Listening => false,
        ListenerState::Waiting => true,
        ListenerState::Failed => !open.retried,
    };
    listens && open.is_none_or(has_none)
}

fn change(
    open: &mut OpenTunnel,
    wanted: Configured,
    tls: Option<Arc<TunnelTls>>,
    profile: &Profile,
    connections: Arc<Connections>,
) {
    open.origin = wanted.origin;
    let to = Tunnel {
        spec: wanted.spec,
        profile: Some(profile.id.clone()),
        profile_id: profile.id.clone(),
        tls,
        connections,
        ..Tunnel::clone(&open.tunnel())
    };
    open.change(to, wanted.profile, wanted.when);
}

/// Opens or closes the listener of a tunnel that has changed, if it must be. Those that follow the connection of their profile
/// do that themselves.
fn renew(open: &mut OpenTunnel, profile: &Profile, listener: Option<Listener>) {
    let unsupported = unsupported(profile);
    let was_retried = std::mem::replace(&mut open.retried, unsupported.is_none());
    match (unsupported, listener) {
        (Some(reason), _) => {
            open.stop_listening();
            open.fail(Cause::new(Reason::NotSupported, reason));
        }
        (None, Some(listener)) => open.accept_from(listener),
        (None, None) if !was_retried && open.follows_connection() => open.wait(NOT_CONNECTED),
        (None, None) => {}
    }
}
