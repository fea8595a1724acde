//! Keeps the SSH server listening for a remote tunnel: asks for it, and asks again after each loss and refusal.

use std::sync::Arc;
use std::time::Duration;

use broker_config::{ListenSide, ListenWhen, TunnelKind};
use broker_ssh::{CutReason, OpenError, Pool, TunnelForward};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::accept::start_session;
use super::status::StatusCell;
use crate::client::{Client, FarClient, bind_address};
use crate::profiles::{retry_pause, while_connected};
use crate::reasons;
use crate::registry::Cause;
use crate::tunnel::Tunnel;

/// When to ask again a server that refused to listen. The port may be that of a lost connection which the server has not
/// missed yet.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// Keeps the server listening until dropped. Sessions continue then.
pub(super) async fn keep_listening(
    serving: watch::Receiver<Arc<Tunnel>>,
    status: StatusCell,
    when: ListenWhen,
) {
    let tunnel = serving.borrow().clone();
    debug_assert_eq!(tunnel.spec.listens, ListenSide::SshServer);
    let mut pool = tunnel.connections.shared().clone();
    let _kept = pool.keep_control();
    loop {
        if when == ListenWhen::Connected {
            while_connected(&mut pool, false).await;
        }
        match listen(&tunnel, &pool).await {
            Ok(mut forward) => {
                report_listening(&tunnel, &status, forward.port());
                let reason = serve(&serving, &mut forward).await;
                warn!(tunnel = tunnel.id, %reason, "the SSH server no longer listens for the tunnel; the broker asks again");
                status.waiting(format!("{reason}; the broker asks again"));
            }
            Err(error) => {
                let pause = pause_after(&pool, &error);
                report_failure(&tunnel, &status, &error, pause);
                match pause {
                    Some(pause) => sleep(pause).await,
                    None => while_connected(&mut pool, false).await,
                }
            }
        }
    }
}

/// Connects, and asks the server to listen.
async fn listen(tunnel: &Tunnel, pool: &Pool) -> Result<TunnelForward, OpenError> {
    pool.connect().await?;
    let spec = &tunnel.spec;
    let bind = bind_address(spec.listen_address);
    match spec.kind {
        TunnelKind::Ftp(_) => pool.listen_control(&bind, spec.listen_port).await,
        // The configuration allows no remote SOCKS tunnel.
        TunnelKind::Tcp | TunnelKind::Socks(_) => pool.listen_data(&bind, spec.listen_port).await,
    }
}

/// Serves the clients that come until the listener ends.
async fn serve(serving: &watch::Receiver<Arc<Tunnel>>, forward: &mut TunnelForward) -> CutReason {
    loop {
        let connection = match forward.accept().await {
            Ok(connection) => connection,
            Err(reason) => return reason,
        };
        let tunnel = serving.borrow().clone();
        let Some(peer) = connection.originator.address() else {
            warn!(tunnel = tunnel.id, originator = ?connection.originator, "client refused: the SSH server did not tell its address");
            continue;
        };
        let server = forward.server_address();
        start_session(
            &tunnel,
            Client::SshServer(FarClient { connection, server }),
            peer,
        );
    }
}

fn report_listening(tunnel: &Tunnel, status: &StatusCell, port: u16) {
    info!(
        tunnel = tunnel.id,
        listen = %format!("{}:{port}", tunnel.spec.listen_address),
        to = %tunnel.leads_to(),
        "the SSH server listens for the tunnel"
    );
    status.listening(port);
}

/// Logs each failure once, however often it repeats.
fn report_failure(
    tunnel: &Tunnel,
    status: &StatusCell,
    error: &OpenError,
    pause: Option<Duration>,
) {
    // The status says itself when the next try is.
    let (reason, repeats) = if let OpenError::BackingOff { reason, .. } = error {
        (reason.to_string(), true)
    } else {
        (error.to_string(), false)
    };
    if !repeats && status.get().reason.as_ref() != Some(&reason) {
        warn!(tunnel = tunnel.id, %error, "the SSH server does not listen for the tunnel; the broker asks again");
    }
    let cause = Cause::new(reasons::of_open(error), reason);
    status.failed(cause, pause.map(|pause| Instant::now() + pause));
}

/// When another attempt makes sense. `None`: once the pool is connected.
fn pause_after(pool: &Pool, error: &OpenError) -> Option<Duration> {
    if error.may_pass() {
        Some(retry_pause(pool))
    } else {
        pool.snapshot().is_connected().then_some(REFUSED_PAUSE)
    }
}
