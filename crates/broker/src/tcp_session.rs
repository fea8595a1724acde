//! A client whose bytes pass unchanged: one TCP connection, one channel. Either of them can be the client's.

use std::sync::Arc;

use broker_ipc::Reason;
use broker_ssh::{Channel, Pool, SpliceEnd, Target, splice};
use tokio::net::TcpStream;
use tracing::{info, warn};

use crate::client::Client;
use crate::own_host::{ClientAddresses, connect_to};
use crate::refusal::{FirstWord, Refusal};
use crate::registry::{Part, SessionEntry};
use crate::tunnel::{Tunnel, dial_names};

/// Carries one client's connection to its end.
pub(crate) async fn run(
    tunnel: Arc<Tunnel>,
    id: u64,
    client: Client,
    addresses: ClientAddresses,
    target: Target,
    first_word: FirstWord,
) {
    let guard = tunnel.register(id, addresses.client, &target, false);
    let stop = guard.entry.channel.stop.clone();
    let pool = tunnel.connections.for_client();
    let met = meet(&pool, client, addresses, &target, &guard.entry).await;
    let (mut tcp, channel) = match met {
        Ok(met) => met,
        Err((client, reason)) => {
            reason.log("connection refused");
            tunnel.refused(&reason);
            client.refuse(first_word, &reason).await;
            return;
        }
    };
    tunnel.works(Part::Data);
    let entry = &guard.entry.channel;
    entry.carried_by(channel.info().connection);
    if let Err(error) = first_word.grant(&mut tcp).await {
        info!(%error, "connection given up by the client");
        return;
    }
    match splice(tcp, channel, &entry.progress, stop.clone()).await {
        SpliceEnd::Complete => info!("connection closed"),
        SpliceEnd::ChannelCut(reason) | SpliceEnd::ClosedEarly(reason) => {
            warn!(%reason, "connection cut");
            let why = match stop.is_cancelled() {
                true => Reason::Stopping,
                false => Reason::Lost,
            };
            tunnel.totals.cuts.count(why);
        }
        SpliceEnd::TcpGone(reason) => info!(%reason, "TCP connection failed"),
    }
    let traffic = entry.traffic();
    drop(guard);
    tunnel.totals.add_traffic(traffic);
}

/// Connects to the destination before it accepts the client, so that the client sees a refusal as one.
async fn meet(
    pool: &Pool,
    client: Client,
    addresses: ClientAddresses,
    target: &Target,
    session: &SessionEntry,
) -> Result<(TcpStream, Channel), (Client, Refusal)> {
    match client {
        Client::OwnHost(tcp) => {
            let _ = tcp.set_nodelay(true);
            let open = async {
                let opened = pool.open_data(target, addresses.client).await;
                opened.map_err(|error| Refusal::from(&error))
            };
            match unless_stopped(session, open).await {
                Ok(channel) => Ok((tcp, channel)),
                Err(reason) => Err((Client::OwnHost(tcp), reason)),
            }
        }
        Client::SshServer(far) => {
            let connect = async {
                let connected = connect_to(dial_names(&target.host), target.port).await;
                connected.map_err(|reason| Refusal::because(Reason::FtpUnreachable, reason))
            };
            match unless_stopped(session, connect).await {
                Ok((_, tcp)) => Ok((tcp, far.connection.accept().await)),
                Err(reason) => Err((Client::SshServer(far), reason)),
            }
        }
    }
}

async fn unless_stopped<T>(
    session: &SessionEntry,
    connecting: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let connected = session.channel.stop.run_until_cancelled(connecting).await;
    connected.unwrap_or_else(|| Err(Refusal::because(Reason::Stopping, session.stop_reason())))
}
