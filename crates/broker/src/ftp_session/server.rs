//! Connecting to the FTP server: through a channel, or directly if its client comes through SSH.

use std::net::SocketAddr;

use broker_config::ListenSide;
use broker_ipc::Reason;
use broker_ssh::{Channel, ChannelError, OpenError, Pool, Target};
use plain_text::canonical;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::control_end::ControlEnd;
use crate::own_host::connect_to;
use crate::refusal::Refusal;
use crate::tunnel::{Tunnel, dial_names};

/// The open control connection, and how it was opened.
pub(super) struct Server {
    pub(super) end: ControlEnd,
    /// The host string that worked.
    pub(super) host: String,
    /// The SSH connection that carries it, if one does.
    pub(super) carried_by: Option<u64>,
    /// Both ends of a direct connection.
    pub(super) direct: Option<DirectConnection>,
    /// Held until the greeting comes.
    pub(super) awaits_greeting: OwnedSemaphorePermit,
}

/// The addresses of a connection from this host to the FTP server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectConnection {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// Opens the control connection to the tunnel's destination.
///
/// # Errors
/// What to tell the client.
pub(super) async fn open(
    tunnel: &Tunnel,
    target: &Target,
    pool: &Pool,
    peer: SocketAddr,
) -> Result<Server, Refusal> {
    let permit = tunnel.greetings.clone().acquire_owned().await;
    let permit = permit.map_err(|closed| Refusal::because(Reason::Stopping, closed))?;
    match tunnel.spec.listens {
        ListenSide::OwnHost => open_channel(target, pool, peer, permit).await,
        ListenSide::SshServer => {
            let connected = connect(target, permit).await;
            connected.map_err(|reason| Refusal::because(Reason::FtpUnreachable, reason))
        }
    }
}

/// Opens the control connection through SSH.
async fn open_channel(
    target: &Target,
    pool: &Pool,
    peer: SocketAddr,
    awaits_greeting: OwnedSemaphorePermit,
) -> Result<Server, Refusal> {
    let opened = open_by_name(pool, target, peer).await;
    let (channel, host) = opened.map_err(|error| Refusal::from(&error))?;
    Ok(Server {
        carried_by: Some(channel.info().connection),
        end: ControlEnd::channel(channel),
        host,
        direct: None,
        awaits_greeting,
    })
}

/// Opens a channel to the first name of the target that the SSH server permits, and returns that name too.
///
/// # Errors
/// Why the first name does not work, or why there is no connection to the SSH server.
pub(crate) async fn open_by_name(
    pool: &Pool,
    target: &Target,
    peer: SocketAddr,
) -> Result<(Channel, String), OpenError> {
    let mut refusal = None;
    let mut any_prohibited = false;
    for host in dial_names(&target.host) {
        if host == "localhost" && !any_prohibited {
            continue;
        }
        let target = Target {
            host: host.clone(),
            port: target.port,
        };
        match pool.open_control(&target, peer).await {
            Ok(channel) => return Ok((channel, host)),
            // Another name is tried only if the far end refused the previous one.
            Err(OpenError::Channel(error @ ChannelError::Refused { .. })) => {
                any_prohibited |= error.is_prohibited();
                refusal.get_or_insert(OpenError::Channel(error));
            }
            Err(error) => return Err(error),
        }
    }
    Err(refusal.unwrap_or(OpenError::Internal))
}

async fn connect(target: &Target, awaits_greeting: OwnedSemaphorePermit) -> Result<Server, String> {
    let names = dial_names(&target.host);
    let refused = |reason| {
        format!("the FTP server {target} is not available: {reason}; check that it runs there")
    };
    let (host, tcp) = connect_to(names, target.port).await.map_err(refused)?;
    let direct = addresses(&tcp).ok_or_else(|| refused("it closed the connection".to_owned()))?;
    Ok(Server {
        end: ControlEnd::tcp(tcp),
        host,
        carried_by: None,
        direct: Some(direct),
        awaits_greeting,
    })
}

fn addresses(tcp: &TcpStream) -> Option<DirectConnection> {
    let local = tcp.local_addr().map(canonical).ok()?;
    let peer = tcp.peer_addr().map(canonical).ok()?;
    Some(DirectConnection { local, peer })
}
