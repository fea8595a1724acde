//! The listener of a tunnel: it serves clients for as long as it exists

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::listener::ForwardListener;
use super::open::listen;
use super::{ForwardedConnection, ListenRequest};
use crate::connect::{Arrival, ChannelError, OpenError};
use crate::pool::{Lease, Pool};
use crate::state::CutReason;
use crate::state::info::ConnectionKind;

/// Clients that wait to be accepted. The broker takes each within microseconds, so only a burst fills this; a server's
/// own queue has as many.
const MAX_CLIENTS: usize = 128;

/// A listener on the SSH server for the clients of a tunnel. It keeps its connection open and has a place on it, so that
/// no channel is alone there: a channel that nobody reads must not keep further clients from being heard. Dropping it
/// makes the server stop listening; accepted channels continue.
pub struct TunnelForward {
    listener: ForwardListener,
    lease: Lease,
}

impl Pool {
    /// Makes the server listen on `bind` for FTP control connections, on the control connection. A port of 0 lets the
    /// server choose. The caller must read the accepted channels, since their backlog is bounded.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn listen_control(&self, bind: &str, port: u16) -> Result<TunnelForward, OpenError> {
        listen_for_clients(self, ConnectionKind::Control, bind, port).await
    }

    /// Makes the server listen on `bind` for connections of any kind, on a data connection. All of them share that
    /// connection: the SSH server opens their channels on the connection that asked for the listener.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn listen_data(&self, bind: &str, port: u16) -> Result<TunnelForward, OpenError> {
        listen_for_clients(self, ConnectionKind::Data, bind, port).await
    }
}

async fn listen_for_clients(
    pool: &Pool,
    kind: ConnectionKind,
    bind: &str,
    port: u16,
) -> Result<TunnelForward, OpenError> {
    let request = ListenRequest {
        bind: bind.to_owned(),
        ports: (port != 0).then_some(port..=port),
    };
    listen(pool, kind, request, TunnelForward::start).await
}

impl TunnelForward {
    async fn start(request: ListenRequest, lease: Lease) -> Result<Self, ChannelError> {
        let connection = Arc::clone(lease.connection());
        let listener = ForwardListener::open_alone(request, connection, MAX_CLIENTS).await?;
        Ok(Self { listener, lease })
    }

    /// The port on which the server listens.
    pub fn port(&self) -> u16 {
        self.listener.port
    }

    /// Number of the connection that carries it.
    pub fn connection(&self) -> u64 {
        self.lease.state().id
    }

    /// The address at which the broker reached the SSH server; `None` if a proxy or gateway is between them.
    pub fn server_address(&self) -> Option<IpAddr> {
        let state = self.lease.state();
        let direct = state.route().is_none();
        let peer = state.negotiated.get().and_then(|it| it.peer);
        peer.filter(|_| direct).map(|peer| peer.ip())
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// The reason, if the SSH connection ends in the meantime.
    pub async fn accept(&mut self) -> Result<ForwardedConnection, CutReason> {
        let Arrival {
            channel,
            reply,
            originator,
        } = self.listener.arrival().await?;
        Ok(ForwardedConnection {
            originator,
            channel,
            reply,
            lease: Arc::new(self.lease.another()),
        })
    }

    /// Makes the server stop listening, and waits until it has.
    pub async fn cancel(self) {
        self.listener.stop().await;
    }
}

impl fmt::Debug for TunnelForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelForward")
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}
