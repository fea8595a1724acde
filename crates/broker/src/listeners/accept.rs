//! Accepts the clients of a tunnel, and starts a session for each permitted one.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::TunnelKind;
use ipnet::IpNet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span};

use crate::client::Client;
use crate::own_host::{ClientAddresses, Listener};
use crate::refusal::{FirstWord, Refusal};
use crate::tunnel::{Tunnel, is_in};
use crate::{ftp_session, socks_session, tcp_session};

/// Accepts clients until the tunnel is closed or the daemon stops. Existing sessions continue.
pub(super) async fn accept(
    serving: watch::Receiver<Arc<Tunnel>>,
    listener: Listener,
    closed: CancellationToken,
) {
    let leave = serving.borrow().shutdown.leave.clone();
    loop {
        let (client, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed.cancelled() => return,
            () = leave.cancelled() => return,
        };
        let tunnel = serving.borrow().clone();
        start_session(&tunnel, Client::OwnHost(client), peer);
    }
}

/// Serves a client, or tells it why not.
pub(super) fn start_session(tunnel: &Arc<Tunnel>, client: Client, peer: SocketAddr) {
    let tunnel = tunnel.clone();
    let shutdown = tunnel.shutdown.clone();
    let working = shutdown.working();
    shutdown.tasks.spawn(async move {
        let _working = working;
        serve(tunnel, client, peer).await;
    });
}

/// Serves a connection to its end, if it is a client's that may use the tunnel.
async fn serve(tunnel: Arc<Tunnel>, mut client: Client, peer: SocketAddr) {
    let id = tunnel.registry.new_id();
    let first_word = FirstWord::of(&tunnel.spec.kind);
    let span = |client| info_span!("session", id, tunnel = tunnel.id, client = %client);
    let met = meet(&tunnel, &mut client, peer)
        .instrument(span(peer))
        .await;
    let addresses = match met {
        Ok(Some(addresses)) => addresses,
        Ok(None) => return,
        Err(refusal) => {
            tunnel.refused(&refusal);
            let refused = client.refuse(first_word, &refusal);
            return refused.instrument(span(peer)).await;
        }
    };
    let span = span(addresses.client);
    let session = async {
        debug!(%peer, "client connected");
        let target = tunnel.destination();
        match (tunnel.spec.kind.clone(), client) {
            (TunnelKind::Ftp(_), client) => {
                ftp_session::run(tunnel, id, client, addresses, target, first_word).await;
            }
            (TunnelKind::Tcp, client) => {
                tcp_session::run(tunnel, id, client, addresses, target, first_word).await;
            }
            (TunnelKind::Socks(options), Client::OwnHost(client)) => {
                socks_session::run(tunnel, &options, id, client, addresses).await;
            }
            // The configuration allows no such tunnel.
            (TunnelKind::Socks(_), Client::SshServer(_)) => {}
        }
    };
    session.instrument(span).await;
}

/// The addresses of a client that may use the tunnel. `None` if nobody wants to use it. `Err` is the reason for the
/// client.
async fn meet(
    tunnel: &Tunnel,
    client: &mut Client,
    peer: SocketAddr,
) -> Result<Option<ClientAddresses>, Refusal> {
    let met = async {
        if !tunnel.spec.accept_proxy {
            admit_peer(tunnel, client, peer).map_err(Refusal::forbidden)?;
        }
        let named = match client {
            Client::OwnHost(tcp) => tunnel
                .client_of(tcp, peer)
                .await
                .map_err(Refusal::forbidden)?,
            Client::SshServer(far) => Some(far.addresses(tunnel.spec.listen_address, peer)),
        };
        let Some(addresses) = named else {
            debug!("a proxy has checked whether the tunnel listens");
            return Ok(None);
        };
        admit_client(tunnel, addresses.client)?;
        Ok(Some(addresses))
    };
    let met: Result<_, Refusal> = met.await;
    met.inspect_err(|reason| info!(%reason, "client refused"))
}

/// Whether this host may connect; `Err` is the reason for the client.
fn admit_peer(tunnel: &Tunnel, client: &Client, peer: SocketAddr) -> Result<(), String> {
    let is_local = client.is_local(peer.ip());
    let allowed = &tunnel.spec.allow_from;
    if !is_local && !tunnel.spec.allow_relay {
        return Err(
            "this tunnel serves clients of the host that listens only (allow-relay is off)".into(),
        );
    }
    if is_local || allowed.is_empty() {
        return Ok(());
    }
    admit_from(allowed, peer)
}

/// Whether this client may use the tunnel; `Err` is the reason for the client.
fn admit_client(tunnel: &Tunnel, client: SocketAddr) -> Result<(), Refusal> {
    let allowed = &tunnel.spec.allow_clients;
    if tunnel.spec.accept_proxy && !allowed.is_empty() {
        admit_from(allowed, client).map_err(Refusal::forbidden)?;
    }
    match tunnel.spec.kind {
        // Not each connection is a session: that depends on what the client asks for.
        TunnelKind::Socks(_) => Ok(()),
        TunnelKind::Ftp(_) | TunnelKind::Tcp => tunnel.has_room(),
    }
}

fn admit_from(networks: &[IpNet], client: SocketAddr) -> Result<(), String> {
    let ip = client.ip();
    if is_in(networks, ip) {
        return Ok(());
    }
    Err(format!("{ip} is not among the networks this tunnel serves"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each session has this much for as long as its client is connected, and most are idle. It leaves some room for
    /// growth, but none for a second copy of the session or for a buffer.
    const LARGEST_TASK: usize = 10 * 1024;

    /// The size of the future that a function of a session's task returns.
    fn size_of_future<F>(_: fn(Arc<Tunnel>, Client, SocketAddr) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_session_stays_small() {
        let size = size_of_future(serve);
        assert!(
            size <= LARGEST_TASK,
            "the task of a session takes {size} bytes"
        );
    }
}
