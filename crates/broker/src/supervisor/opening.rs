//! The tunnels that clients open: each waits for its profile to connect, before its client gets a reply.

use std::sync::Arc;

use broker_ipc::methods::OpenTunnelListener;
use broker_ipc::types::TunnelListener;
use broker_ipc::{ErrorCode, ReplySender, RpcError};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::requested::Lifetime;
use super::{Supervisor, target};
use crate::profiles::Connections;
use crate::reasons::connect_failed;
use crate::snapshots;

/// A tunnel that waits for its profile to connect, and for its listener: its number, the outcome, and where the reply
/// goes. There are at most as many as there are tunnels.
pub(super) type Opening =
    BoxFuture<'static, (u64, Result<(), RpcError>, ReplySender<OpenTunnelListener>)>;

impl Supervisor {
    /// Opens the tunnels that clients had opened in the process before this one.
    pub fn reopen(&mut self, tunnels: Vec<OpenTunnelListener>) {
        for asked in tunnels {
            let lifetime = Lifetime::of_inherited(&asked);
            if let Err(error) = self.listen(&asked, lifetime) {
                warn!(port = asked.listen_port, "tunnel not opened again: {error}");
            }
        }
    }

    /// The tunnels that clients have opened and not closed.
    pub(super) fn requested_tunnels(&self) -> Vec<OpenTunnelListener> {
        let requested = self.requested.iter();
        let open = requested.filter(|(id, _)| self.listeners.tunnel(*id).is_ok());
        open.map(|(_, asked)| asked.clone()).collect()
    }

    /// Opens a tunnel for a person who waits: connecting now reports a wrong name or key immediately. A client that comes
    /// back after a takeover gets its tunnel, which is open already.
    pub(super) fn open(
        &mut self,
        asked: &OpenTunnelListener,
        gone: CancellationToken,
        reply: ReplySender<OpenTunnelListener>,
    ) {
        if let Some(id) = self.requested.claim(asked, &gone) {
            return reply.send(self.listener(id));
        }
        match self.listen(asked, Lifetime::of(asked, gone)) {
            Ok((id, connections)) => {
                let listens = self.listeners.opened(id);
                self.opening.push(Box::pin(async move {
                    let connected = connections.shared().connect().await;
                    let opened = match connected.map_err(|error| connect_failed(&error)) {
                        Ok(()) => listens.await,
                        Err(error) => Err(error),
                    };
                    (id, opened, reply)
                }));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    fn listen(
        &mut self,
        asked: &OpenTunnelListener,
        lifetime: Lifetime,
    ) -> Result<(u64, Arc<Connections>), RpcError> {
        if self.shutdown.drain.is_cancelled() {
            let message = "the broker is stopping and opens no more tunnels";
            return Err(RpcError::new(ErrorCode::ShuttingDown, message));
        }
        let spec = target::tunnel_spec(asked)?;
        let profile = target::profile(self.profiles.config(), &asked.target)?;
        let connections = self.profiles.connections(&profile);
        let id = self
            .listeners
            .open_requested(&profile, connections.clone(), spec)?;
        let listen_port = self.listeners.tunnel(id)?.status().port;
        let listeners = &self.listeners;
        self.requested.retain(|id| listeners.tunnel(id).is_ok());
        let asked = OpenTunnelListener {
            listen_port,
            ..asked.clone()
        };
        self.requested.insert(id, asked, lifetime);
        Ok((id, connections))
    }

    /// The reply to a request for a tunnel. The listener of a tunnel that cannot work is closed again.
    pub(super) async fn opened(
        &mut self,
        id: u64,
        opened: Result<(), RpcError>,
    ) -> Result<TunnelListener, RpcError> {
        if let Err(error) = opened {
            // Somebody else may have closed it in the meantime.
            let _ = self.listeners.close(id).await;
            return Err(error);
        }
        self.listener(id)
    }

    pub(super) fn listener(&self, id: u64) -> Result<TunnelListener, RpcError> {
        let open = self.listeners.tunnel(id)?;
        Ok(snapshots::listener(open, &self.profiles, &self.registry))
    }

    /// Closes the listener of a tunnel whose client has left.
    pub(super) async fn close_bound(&mut self, id: u64) {
        if self.listeners.close(id).await.is_ok() {
            info!(
                tunnel = id,
                "the client that had opened the tunnel has left"
            );
        }
    }
}
