//! Passive mode: the broker announces a port to the client that leads to the port that the server announced.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use broker_config::DataOpen;
use broker_ssh::{Channel, Target};
use ftp_proto::{Announced, DataEnd};
use plain_text::host_port;
use tokio::net::TcpStream;
use tracing::debug;

use super::accept::accept;
use super::destination;
use super::task::DataTask;
use super::transfer;
use crate::ftp_session::client_owner::ClientOwner;
use crate::own_host::{Host, Listener};

/// Announces a port to the client, and carries its data connection to the end.
pub(super) async fn run(task: &DataTask, announced: Announced, open_first: bool) -> DataEnd {
    let met = tokio::select! {
        met = meet(task, announced, open_first) => met,
        () = task.signals.withdraw.cancelled() => Err(DataEnd::Unused),
        () = task.entry.channel.stop.cancelled() => {
            // The session may still wait for the announcement; one that does not ignores this.
            task.offer(Err(task.stop_reason())).await;
            Err(DataEnd::Cut(task.stop_reason()))
        }
    };
    match met {
        Ok((tcp, channel)) => transfer::run(task, tcp, channel).await,
        Err(end) => end,
    }
}

/// Both ends of a passive data connection, once they are connected.
async fn meet(
    task: &DataTask,
    announced: Announced,
    open_first: bool,
) -> Result<(TcpStream, Channel), DataEnd> {
    let refused = |reason| async {
        task.offer(Err(reason)).await;
        DataEnd::Unused
    };
    let channel = match open_first {
        true => Some(match open(task, announced).await {
            Ok(channel) => channel,
            Err(reason) => return Err(refused(reason).await),
        }),
        false => None,
    };
    // Not before the port is announced: until then only others can connect.
    let (listener, address) = match listen(task) {
        Ok(bound) => bound,
        Err(reason) => return Err(refused(reason).await),
    };
    task.offer(Ok(address)).await;
    let channel = async {
        match channel {
            Some(channel) => Ok(channel),
            None => open(task, announced).await.map_err(DataEnd::Cut),
        }
    };
    // A failure drops the listener and its connections: the client's connection is reset or refused.
    if task.control.ftp.data_open == DataOpen::Lazy {
        return Ok((accept(task, listener).await?, channel.await?));
    }
    tokio::try_join!(accept(task, listener), channel)
}

fn listen(task: &DataTask) -> Result<(Listener, SocketAddr), String> {
    let control = &task.control;
    let (ip, host) = (control.local.ip(), &control.tunnel.host);
    let bound = match &control.ftp.passive_ports {
        None => Listener::bind(host, SocketAddr::new(ip, 0), false).map_err(|e| e.to_string()),
        Some(range) => first_free(host, ip, range.clone(), task.entry.channel.id),
    };
    let listener =
        bound.map_err(|why| format!("no port for the data connection on {ip}: {why}"))?;
    if matches!(control.owner, ClientOwner::User(_)) {
        host.owners.hold_ends(&listener.socket());
    }
    let told = control.ftp.advertise_address.unwrap_or(ip);
    let address = SocketAddr::new(told, listener.address().port());
    Ok((listener, address))
}

/// Opens the channel to the FTP server's port, at the host that worked before in this session or at each candidate.
async fn open(task: &DataTask, announced: Announced) -> Result<Channel, String> {
    let control = &task.control;
    let rule = control.ftp.data_address;
    let hosts = destination::candidates(rule, &control.server, announced.host);
    let data_host = (hosts.len() > 1).then_some(&control.data_host);
    let known = data_host.and_then(|choice| choice.known(&hosts));
    let (host, channel) = match known {
        Some(host) => match dial(task, host, announced.port).await {
            Ok(opened) => opened,
            Err(_) => race(task, hosts, announced.port).await?,
        },
        None => race(task, hosts, announced.port).await?,
    };
    if let Some(choice) = data_host {
        choice.worked(&host);
    }
    task.entry
        .relabel(|label| label.target = host_port(&host, announced.port));
    task.opened(&channel).await;
    Ok(channel)
}

/// Tries the hosts in parallel, each a moment after the previous one. The first channel that opens is used; later ones
/// are closed.
async fn race(task: &DataTask, hosts: Vec<String>, port: u16) -> Result<(String, Channel), String> {
    let dials = hosts.into_iter().map(|host| dial(task, host, port));
    destination::first_open(dials.collect()).await
}

async fn dial(task: &DataTask, host: String, port: u16) -> Result<(String, Channel), String> {
    task.entry
        .relabel(|label| label.target = host_port(&host, port));
    let target = Target {
        host: host.clone(),
        port,
    };
    let control = &task.control;
    match control.pool.open_data(&target, control.peer).await {
        Ok(channel) => Ok((host, channel)),
        Err(error) => {
            debug!(%host, port, %error, "data channel not opened");
            Err(error.to_string())
        }
    }
}

/// The first unused port of the range, with a different start for each channel.
fn first_free(
    host: &Arc<Host>,
    ip: IpAddr,
    range: RangeInclusive<u16>,
    id: u64,
) -> Result<Listener, String> {
    let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
    let count = high.saturating_sub(low) + 1;
    (0..count)
        .filter_map(|i| u16::try_from(low + (id + i) % count).ok())
        .find_map(|port| Listener::bind(host, SocketAddr::new(ip, port), false).ok())
        .ok_or_else(|| format!("every port of passive-ports {low}-{high} is in use"))
}
