//! A client whose bytes pass unchanged: one connection, one channel.

use std::sync::Arc;

use broker_ssh::{SpliceEnd, Target, splice};
use tokio::net::TcpStream;
use tracing::{info, warn};

use crate::own_host::ClientAddresses;
use crate::refusal::{FirstWord, Refusal};
use crate::tunnel::Tunnel;

/// Carries one client's connection to its end.
pub(crate) async fn run(
    tunnel: Arc<Tunnel>,
    id: u64,
    mut client: TcpStream,
    addresses: ClientAddresses,
    target: Target,
    first_word: FirstWord,
) {
    let peer = addresses.client;
    let guard = tunnel.register(id, peer, &target, false);
    let stop = guard.entry.channel.stop.clone();
    let _ = client.set_nodelay(true);
    let pool = tunnel.connections.for_client();
    let opened = tokio::select! {
        opened = pool.open_data(&target, peer) => opened.map_err(|error| Refusal::from(&error)),
        () = stop.cancelled() => Err("the broker was stopped".into()),
    };
    let channel = match opened {
        Ok(channel) => channel,
        Err(reason) => {
            warn!(%reason, "connection refused");
            first_word.refuse(client, &reason).await;
            return;
        }
    };
    let entry = &guard.entry.channel;
    entry.carried_by(channel.info().connection);
    if let Err(error) = first_word.grant(&mut client).await {
        info!(%error, "connection given up by the client");
        return;
    }
    match splice(client, channel, &entry.progress, stop).await {
        SpliceEnd::Complete => info!("connection closed"),
        SpliceEnd::ChannelCut(reason) => warn!(%reason, "connection cut"),
        SpliceEnd::TcpGone(reason) => info!(%reason, "connection given up by the client"),
    }
    tunnel.totals.add_traffic(entry.traffic());
}
