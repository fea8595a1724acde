//! A plain TCP tunnel's client: one connection, one channel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker_ssh::{SpliceEnd, Target, splice};
use tokio::net::TcpStream;
use tracing::{info, warn};

use crate::refusal::refuse;
use crate::registry::{add, read};
use crate::tunnel::Tunnel;

/// Carries one client's connection to the end.
pub(crate) async fn run(tunnel: Arc<Tunnel>, id: u64, client: TcpStream, peer: SocketAddr) {
    let guard = tunnel.register(id, peer);
    let stop = guard.entry.stop.clone();
    let _ = client.set_nodelay(true);
    let target = Target {
        host: tunnel.spec.dst_host.clone(),
        port: tunnel.spec.dst_port,
    };
    let pool = tunnel.connections.for_client();
    let opened = tokio::select! {
        opened = pool.open_data(&target, peer) => opened.map_err(|error| error.to_string()),
        () = stop.cancelled() => Err("the broker was stopped".to_owned()),
    };
    let channel = match opened {
        Ok(channel) => channel,
        Err(reason) => {
            warn!(%reason, "connection refused");
            refuse(client, &tunnel.spec.kind, &reason).await;
            return;
        }
    };
    let connection = &guard.entry.connection;
    connection.store(channel.info().connection, Ordering::Relaxed);
    let progress = &guard.entry.progress;
    match splice(client, channel, progress, stop).await {
        SpliceEnd::Complete => info!("connection closed"),
        SpliceEnd::ChannelCut(reason) => warn!(%reason, "connection cut"),
        SpliceEnd::TcpGone(reason) => info!(%reason, "connection given up by the client"),
    }
    add(&tunnel.totals.bytes_up, read(&progress.to_channel));
    add(&tunnel.totals.bytes_down, read(&progress.from_channel));
}
