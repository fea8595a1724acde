//! The client's data connection to the SSH server in passive mode, through a remote forward.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use broker_config::ListenAddress;
use broker_ssh::{Channel, RemoteForward};
use ftp_proto::{Announced, DataEnd};
use plain_text::host_port;

use super::advertised::outside_port;
use super::client_connection::{Refused, in_time};
use super::task::DataTask;
use crate::own_host::Objection;
use crate::refusal::Refusal;

/// Asks the SSH server to listen for the client, unless it already does for this session, and returns the address to
/// announce.
///
/// # Errors
/// Why it does not listen, or why there is no address to announce.
pub(super) async fn listen(
    task: &DataTask,
    announced: Announced,
) -> Result<(RemoteForward, SocketAddr), Refusal> {
    let control = &task.control;
    let told = control.told_address(announced.host.is_some()).await?;
    let bind = bind_address_for(control.tunnel.spec.listen_address, control.peer.ip());
    let ports = control.ftp.passive_ports.clone();
    let forward = control.forwards.open(&bind, ports).await;
    let forward = forward.map_err(|error| Refusal::from(&error))?;
    task.entry.channel.carried_by(forward.connection());
    task.entry
        .relabel(|label| label.target = host_port(&told.to_string(), forward.port()));
    let port = match control.is_on_ssh_server() {
        true => forward.port(),
        false => outside_port(forward.port(), control.ftp.advertise_port_offset),
    };
    Ok((forward, SocketAddr::new(told, port)))
}

/// Where to listen for this client. All addresses means all of the client's family: if a port is in use for one family,
/// sshd listens for the other and reports success.
fn bind_address_for(listen: ListenAddress, client: IpAddr) -> String {
    let address = match (listen, client.to_canonical()) {
        (ListenAddress::Address(ip), _) => ip,
        (ListenAddress::All, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (ListenAddress::All, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
    };
    address.to_string()
}

/// Waits for the client's connection and refuses others. The SSH server does not tell whose a connection is, so only its
/// address counts.
pub(super) async fn accept(
    task: &DataTask,
    mut forward: RemoteForward,
) -> Result<Channel, DataEnd> {
    let mut refused = Refused::default();
    let channel = in_time(task, expected(task, &mut forward, &mut refused)).await??;
    // It has served its one connection, and must accept no other.
    task.control.forwards.follow(forward);
    Ok(channel)
}

async fn expected(
    task: &DataTask,
    forward: &mut RemoteForward,
    refused: &mut Refused,
) -> Result<Channel, DataEnd> {
    loop {
        let incoming = forward.accept().await;
        let incoming = incoming.map_err(|cut| DataEnd::Cut(cut.to_string()))?;
        match incoming.originator.address() {
            Some(peer) if peer.ip() == task.control.peer.ip() => {
                return Ok(incoming.accept().await);
            }
            peer => {
                incoming.reject().await;
                refused.count(peer.as_ref(), Objection::Stranger);
            }
        }
    }
}
