//! Accepts the clients of a tunnel, and starts a session for each permitted one.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::TunnelKind;
use plain_text::canonical;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span};

use crate::own_host::Listener;
use crate::refusal::refuse;
use crate::registry::add;
use crate::tunnel::Tunnel;
use crate::{ftp_session, tcp_session};

/// Accepts clients until the tunnel is closed or the daemon stops. Existing sessions continue.
pub(super) async fn accept(tunnel: Arc<Tunnel>, listener: Listener, closed: CancellationToken) {
    loop {
        let (client, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed.cancelled() => return,
            () = tunnel.shutdown.drain.cancelled() => return,
        };
        start_session(&tunnel, client, peer);
    }
}

fn start_session(tunnel: &Arc<Tunnel>, client: TcpStream, peer: SocketAddr) {
    let id = tunnel.registry.new_id();
    let span = info_span!("session", id, tunnel = tunnel.id, client = %peer);
    let tunnel = tunnel.clone();
    let shutdown = tunnel.shutdown.clone();
    let working = shutdown.working();
    let task = async move {
        let _working = working;
        if let Err(reason) = admit(&tunnel, &client, peer) {
            info!(%reason, "client refused");
            refuse(client, &tunnel.spec.kind, &reason).await;
            return;
        }
        add(&tunnel.totals.sessions, 1);
        debug!("client connected");
        match tunnel.spec.kind {
            TunnelKind::Ftp(_) => ftp_session::run(tunnel, id, client, peer).await,
            TunnelKind::Tcp => tcp_session::run(tunnel, id, client, peer).await,
        }
    };
    shutdown.tasks.spawn(task.instrument(span));
}

/// Whether this client may use the tunnel; `Err` is the reason for the client.
fn admit(tunnel: &Tunnel, client: &TcpStream, peer: SocketAddr) -> Result<(), String> {
    let local = client.local_addr().map(canonical).map(|a| a.ip());
    let is_local = peer.ip().is_loopback() || local.is_ok_and(|ip| ip == peer.ip());
    let allowed = &tunnel.spec.allow_from;
    if !is_local && !tunnel.spec.allow_relay {
        return Err("this tunnel serves clients of its own host only (allow-relay is off)".into());
    }
    if !is_local && !allowed.is_empty() && !allowed.iter().any(|net| net.contains(&peer.ip())) {
        return Err(format!(
            "{} is not among the networks this tunnel serves",
            peer.ip()
        ));
    }
    let limit = tunnel.ftp().max_sessions;
    if tunnel.registry.sessions_of(tunnel.id).len() >= limit {
        return Err(format!(
            "this tunnel already serves {limit} sessions, its limit; try again later"
        ));
    }
    Ok(())
}
