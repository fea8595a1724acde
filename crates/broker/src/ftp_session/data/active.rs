//! Active mode: the SSH server listens for the FTP server, and the connection leads to the port that the client
//! announced.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use broker_ssh::{ForwardedConnection, RemoteForward};
use ftp_proto::{Announced, DataEnd};
use plain_text::host_port;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::destination;
use super::task::DataTask;
use super::transfer;
use crate::ftp_session::client_owner::Objection;
use crate::own_host::{notice_when_idle, reset_when_dropped};

/// How long the client's own port may take to answer in active mode. The client is nearby or behind a relay; one that
/// does not listen refuses at once.
const CLIENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the FTP server may take to connect in active mode once the client has asked for a transfer: a server that
/// first has to fetch the file from tape may take minutes.
const SERVER_PATIENCE: Duration = Duration::from_secs(600);

/// Makes the SSH server listen, and carries the FTP server's data connection to its end.
pub(super) async fn run(task: &DataTask, announced: Announced) -> DataEnd {
    let ip = announced.host.unwrap_or(task.control.peer.ip());
    let client = SocketAddr::new(ip, announced.port);
    match forward(task).await {
        Ok(forward) => meet(task, forward, client).await,
        Err(reason) => {
            task.offer(Err(reason)).await;
            DataEnd::Unused
        }
    }
}

async fn forward(task: &DataTask) -> Result<RemoteForward, String> {
    let bind = forward_address(task)?;
    let ports = task.control.ftp.active_ports.clone();
    let forward = tokio::select! {
        forward = task.control.forwards.open(&bind, ports) => forward.map_err(|e| e.to_string())?,
        () = task.signals.withdraw.cancelled() => return Err("the session ended".to_owned()),
    };
    task.entry.channel.carried_by(forward.connection());
    task.entry
        .relabel(|label| label.target = host_port(&bind, forward.port()));
    Ok(forward)
}

/// The address at which the FTP server can reach the SSH server's host.
fn forward_address(task: &DataTask) -> Result<String, String> {
    if let Some(address) = task.control.ftp.active_address {
        return Ok(address.to_string());
    }
    if task.control.server.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::from(Ipv4Addr::LOCALHOST).to_string());
    }
    if destination::is_loopback(&task.control.server) {
        return Ok(task.control.server.clone());
    }
    Err("the FTP server is not on the SSH server's own host: set active-address for this tunnel, or use passive mode".to_owned())
}

async fn meet(task: &DataTask, mut forward: RemoteForward, client: SocketAddr) -> DataEnd {
    let ip = match forward.bind_address().parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => return DataEnd::Unused,
    };
    let address = SocketAddr::new(ip, forward.port());
    task.offer(Ok(address)).await;
    let incoming = tokio::select! {
        incoming = forward.accept() => incoming,
        () = task.signals.withdraw.cancelled() => {
            forward.cancel().await;
            return DataEnd::Unused;
        }
        end = nobody_came(task) => {
            forward.cancel().await;
            return end;
        }
        () = task.entry.channel.stop.cancelled() => return DataEnd::Cut(task.stop_reason()),
    };
    match incoming {
        Ok(incoming) => carry(task, forward, incoming, client).await,
        Err(cut) => DataEnd::Cut(cut.to_string()),
    }
}

/// Returns when a forward has waited too long for the FTP server: an unused forward must not hold a port and a place.
async fn nobody_came(task: &DataTask) -> DataEnd {
    let idle = task.control.ftp.data_timeout;
    let wanted = timeout(idle, task.signals.wanted.cancelled()).await;
    if wanted.is_err() {
        debug!(
            ?idle,
            "active data connection given up: the client asked for no transfer"
        );
        return DataEnd::Unused;
    }
    sleep(SERVER_PATIENCE).await;
    let waited = SERVER_PATIENCE.as_secs();
    DataEnd::Cut(format!(
        "the FTP server did not open the data connection within {waited} seconds"
    ))
}

/// Connects to the client's port before the broker accepts the server's connection, so the server sees a failure if the
/// client refuses.
async fn carry(
    task: &DataTask,
    forward: RemoteForward,
    incoming: ForwardedConnection,
    to: SocketAddr,
) -> DataEnd {
    let connected = tokio::select! {
        connected = connect_client(task, to) => connected,
        () = task.entry.channel.stop.cancelled() => Err(task.stop_reason()),
    };
    let tcp = match connected {
        Ok(tcp) => tcp,
        Err(reason) => {
            incoming.reject().await;
            forward.cancel().await;
            return DataEnd::ClientGone(reason);
        }
    };
    let channel = incoming.accept().await;
    task.opened(&channel).await;
    // The forward has served its one connection, and must accept no other.
    task.control.forwards.follow(forward);
    let end = transfer::run(task, tcp, channel).await;
    if end != DataEnd::Complete {
        // The rest of this transfer would come before the next one's data on the same connection.
        task.control.forwards.discard();
    }
    end
}

/// Connects to the port that the client announced if it is the client's own, and not another user's or the daemon's: this
/// process connects with its own rights, which the client may lack.
async fn connect_client(task: &DataTask, client: SocketAddr) -> Result<TcpStream, String> {
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

/// Connects from the address that the client knows: some clients check where data comes from. Until the connection is
/// joined to a channel, its end is a reset.
async fn reach_client(task: &DataTask, client: SocketAddr) -> Result<TcpStream, String> {
    let connect = async {
        let socket = match client {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        let _ = socket.bind(SocketAddr::new(task.control.local.ip(), 0));
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
