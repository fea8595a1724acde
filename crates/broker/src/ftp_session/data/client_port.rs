//! The connection to the port that the client announced in active mode.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tracing::warn;

use super::task::DataTask;
use crate::own_host::{Objection, notice_when_idle, reset_when_dropped};

/// How long the client's own port may take to answer in active mode. The client is nearby or behind a relay; one that
/// does not listen refuses at once.
const CLIENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to the port that the client announced if it is the client's own, and not another user's or the daemon's: this
/// process connects with its own rights, which the client may lack.
pub(super) async fn connect(task: &DataTask, client: SocketAddr) -> Result<TcpStream, String> {
    let host = &task.control.tunnel.host;
    let named = if host.listens_at(client) {
        Err(Objection::Stranger)
    } else {
        let tcp = reach_client(task, client).await?;
        // The socket that listens on this port must be the client's.
        let owner = |local| host.owners.of_target(client, local);
        let objection = task.control.owner.objection(tcp.local_addr(), owner);
        objection.map_or(Ok(tcp), Err)
    };
    named.map_err(|objection| {
        warn!(port = %client, "active data connection refused: {objection}");
        format!("the broker did not use the client's port {client}: {objection}")
    })
}

/// Connects from the address that the client knows, if this host has it: some clients check where data comes from. Behind a
/// proxy, the address at which the control connection arrived may lead to the proxy alone. Until the connection is joined
/// to a channel, its end is a reset.
async fn reach_client(task: &DataTask, client: SocketAddr) -> Result<TcpStream, String> {
    let connect = async {
        let socket = match client {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        let _ = socket.bind(SocketAddr::new(task.control.reached, 0));
        socket.connect(client).await
    };
    match timeout(CLIENT_CONNECT_TIMEOUT, connect).await {
        Ok(Ok(tcp)) => {
            reset_when_dropped(&tcp);
            notice_when_idle(&tcp);
            Ok(tcp)
        }
        Ok(Err(error)) => Err(format!("the client's port {client} refused: {error}")),
        Err(_) => Err(format!("the client's port {client} did not answer")),
    }
}
