//! A plain TCP tunnel's client: one connection, one channel.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_ssh::{SpliceEnd, Target, splice};
use tokio::net::TcpStream;
use tracing::{info, warn};

use crate::refusal::refuse;
use crate::tunnel::Tunnel;

/// Carries one client's connection to its end.
pub(crate) async fn run(tunnel: Arc<Tunnel>, id: u64, client: TcpStream, peer: SocketAddr) {
    let guard = tunnel.register(id, peer);
    let stop = guard.entry.channel.stop.clone();
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
    let entry = &guard.entry.channel;
    entry.carried_by(channel.info().connection);
    match splice(client, channel, &entry.progress, stop).await {
        SpliceEnd::Complete => info!("connection closed"),
        SpliceEnd::ChannelCut(reason) => warn!(%reason, "connection cut"),
        SpliceEnd::TcpGone(reason) => info!(%reason, "connection given up by the client"),
    }
    tunnel.totals.add_traffic(entry.traffic());
}
