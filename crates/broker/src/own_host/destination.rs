//! Connections from this host to the destination of a remote tunnel.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::client_socket::{notice_when_idle, reset_when_dropped};
use super::race::{NO_ADDRESS, first_open};

/// How long the connection may take, with the lookup of the name. As long as an SSH server may take to open a channel.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How many addresses of a name are tried: a name has a handful.
const MAX_ADDRESSES: usize = 16;

/// Connects to the first of these names that accepts a connection, and returns that name too. Until somebody says
/// otherwise, the end of the connection is a reset.
///
/// # Errors
/// Why the last attempt failed.
pub(crate) async fn connect_to(
    names: Vec<String>,
    port: u16,
) -> Result<(String, TcpStream), String> {
    let attempts = names.into_iter().map(|name| async move {
        let connected = timeout(CONNECT_TIMEOUT, connect_name(&name, port)).await;
        let tcp = connected.unwrap_or_else(|_| Err(format!("{name} did not answer")))?;
        Ok((name, tcp))
    });
    let (name, tcp) = first_open(attempts.collect(), NO_ADDRESS.to_owned()).await?;
    reset_when_dropped(&tcp);
    notice_when_idle(&tcp);
    let _ = tcp.set_nodelay(true);
    Ok((name, tcp))
}

async fn connect_name(name: &str, port: u16) -> Result<TcpStream, String> {
    let found = lookup_host((name, port)).await;
    let found = found.map_err(|error| format!("cannot look up {name}: {error}"))?;
    let connects = found.take(MAX_ADDRESSES).map(connect).collect();
    first_open(connects, NO_ADDRESS.to_owned()).await
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| format!("cannot connect to {address}: {error}"))
}
