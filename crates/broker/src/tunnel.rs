//! A tunnel: a local listener, and what every client that connects to it needs.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::{FtpOptions, LocalKind, LocalTunnel};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span};

use crate::ftp_session;
use crate::own_host::{Host, Listener, canonical};
use crate::profiles::Connections;
use crate::refusal::refuse;
use crate::registry::{
    Registration, SessionEntry, SessionRegistry, SessionTunnel, TunnelTotals, add,
};
use crate::shutdown::Shutdown;
use crate::tcp_session;

/// Sessions that may wait for the server's greeting at once. Clients that come in a burst would else reach the FTP
/// server in the same instant, and many a server's accept queue holds 32; what overflows it never gets a greeting.
pub(crate) const GREETINGS_AWAITED: usize = 16;

/// What the sessions of one tunnel share.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// Number of the tunnel.
    pub(crate) id: u64,
    /// What to listen on and where to lead.
    pub(crate) spec: LocalTunnel,
    /// The host that clients connect on.
    pub(crate) host: Arc<Host>,
    /// The SSH connections to use.
    pub(crate) connections: Arc<Connections>,
    /// All sessions of the daemon.
    pub(crate) registry: Arc<SessionRegistry>,
    /// Totals of this tunnel.
    pub(crate) totals: Arc<TunnelTotals>,
    /// Where tasks are spawned.
    pub(crate) tracker: TaskTracker,
    /// When to end.
    pub(crate) shutdown: Shutdown,
    /// Room for sessions that wait for the server's greeting, see [`GREETINGS_AWAITED`].
    pub(crate) greetings: Arc<Semaphore>,
}

impl Tunnel {
    /// The FTP options; those of a plain tunnel are never asked for.
    pub(crate) fn ftp(&self) -> FtpOptions {
        match &self.spec.kind {
            LocalKind::Ftp(options) => options.clone(),
            LocalKind::Tcp | LocalKind::Socks => FtpOptions::default(),
        }
    }

    /// `host:port` of the destination as the SSH server is asked to reach it.
    pub(crate) fn destination(&self) -> String {
        host_port(&self.spec.dst_host, self.spec.dst_port)
    }

    /// Has a client's session shown until the returned guard is dropped.
    pub(crate) fn register(&self, id: u64, client: SocketAddr) -> Registration {
        let tunnel = SessionTunnel {
            id: self.id,
            is_ftp: matches!(self.spec.kind, LocalKind::Ftp(_)),
            destination: self.destination(),
        };
        let stop = self.shutdown.kill.child_token();
        let session = SessionEntry::new(id, tunnel, client, stop);
        self.registry.enter(session)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.registry.remove_tunnel(self.id);
    }
}

/// Writes a host and a port so that an IPv6 address stays readable.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Accepts clients until the tunnel is closed or the daemon stops. Clients already served go on.
pub(crate) async fn run(tunnel: Arc<Tunnel>, listener: Listener, closed: CancellationToken) {
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
    let tracker = tunnel.tracker.clone();
    let working = tunnel.shutdown.working();
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
            LocalKind::Ftp(_) => ftp_session::run(tunnel, id, client, peer).await,
            LocalKind::Tcp | LocalKind::Socks => tcp_session::run(tunnel, id, client, peer).await,
        }
    };
    tracker.spawn(task.instrument(span));
}

/// Whether this client may use the tunnel; `Err` is what to tell it.
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
