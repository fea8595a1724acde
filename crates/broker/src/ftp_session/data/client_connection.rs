//! The client's connection to a data listener of the broker: how it is distinguished from others, and how long the broker
//! waits for it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use broker_ipc::Reason;
use ftp_proto::{Announced, DataEnd};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::advertised::outside_port;
use super::task::DataTask;
use crate::own_host::{
    ClientAddresses, ClientOwner, Host, Listener, Objection, reset_when_dropped,
};
use crate::refusal::Refusal;

/// How long a client that has ended its control connection may take to open its data connection. Hardly any does: the
/// client has gone, or its data connection ended before the broker looked at it.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may take to connect if it has asked for a transfer, and the broker refused a connection that was
/// already closed: most likely that one was its own, and it waits for a reply.
const CLOSED_PATIENCE: Duration = Duration::from_secs(2);

/// The reply to the client in this case.
const CLOSED_EARLY: &str = "the data connection was closed before the system could say who owned it; send the file again, and close only after the reply 150";

/// Connections at one listener whose client is being found out. Only proxies keep the broker waiting, for seconds at most.
const MAX_EXAMINED: usize = 16;

/// Listens for the client, and returns the address to announce.
///
/// # Errors
/// Why it cannot listen.
pub(super) async fn listen(
    task: &DataTask,
    announced: Announced,
) -> Result<(Listener, SocketAddr), Refusal> {
    let control = &task.control;
    let told = control.told_address(announced.host.is_some()).await?;
    let ip = control.local.ip();
    let listener = bind(task, ip, control.ftp.passive_ports.clone(), "passive-ports")?;
    // The end of a proxy's connection says nothing about the client's own socket.
    if matches!(control.owner, ClientOwner::User(_)) && !control.tunnel.spec.accept_proxy {
        control.tunnel.host.owners.hold_ends(&listener.socket());
    }
    let port = outside_port(listener.address().port(), control.ftp.advertise_port_offset);
    Ok((listener, SocketAddr::new(told, port)))
}

/// Binds a listener at an address, to a free port or to one of those that this setting names.
pub(super) fn bind(
    task: &DataTask,
    ip: IpAddr,
    ports: Option<RangeInclusive<u16>>,
    setting: &str,
) -> Result<Listener, Refusal> {
    let host = &task.control.tunnel.host;
    let bound = match ports {
        None => Listener::bind(host, SocketAddr::new(ip, 0), false)
            .map_err(|error| (Reason::Listen, error.to_string())),
        Some(range) => first_free(host, ip, range, task.entry.channel.id).map_err(|ports| {
            let full = format!("every port of {setting} {ports} is in use");
            (Reason::PortInUse, full)
        }),
    };
    bound.map_err(|(reason, why)| {
        let message = format!("no port for the data connection on {ip}: {why}");
        Refusal::because(reason, message)
    })
}

/// The first unused port of the range, with a different start for each channel.
///
/// # Errors
/// The range, if there is none.
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
        .ok_or_else(|| format!("{low}-{high}"))
}

/// Waits for the client's connection and drops others. Until it is joined to a channel, its end is a reset.
pub(super) async fn accept(task: &DataTask, listener: Listener) -> Result<TcpStream, DataEnd> {
    let mut refused = Refused::default();
    let closed = refused.closed.clone();
    let closed_early = async {
        closed.cancelled().await;
        task.signals.wanted.cancelled().await;
        sleep(CLOSED_PATIENCE).await;
    };
    tokio::select! {
        met = in_time(task, expected(task, &listener, &mut refused)) => met,
        () = closed_early => Err(DataEnd::Cut(CLOSED_EARLY.to_owned())),
    }
}

/// Waits for the client's connection as long as it may still come.
pub(super) async fn in_time<T>(
    task: &DataTask,
    connection: impl Future<Output = T>,
) -> Result<T, DataEnd> {
    let limit = task.control.ftp.data_timeout;
    let left = async {
        task.control.client_ended.cancelled().await;
        sleep(LEAVING_TIMEOUT).await;
    };
    // The server may have taken the silence for a complete file.
    tokio::select! {
        met = timeout(limit, connection) => met.map_err(|_| {
            let waited = limit.as_secs();
            DataEnd::Cut(format!(
                "the client did not open the data connection within {waited} seconds"
            ))
        }),
        () = left => Err(DataEnd::Cut("the client left without opening the data connection".to_owned())),
    }
}

/// Accepts connections until one is the client's. A proxy may take a moment to say whose a connection is, and the others
/// do not wait for it.
async fn expected(task: &DataTask, listener: &Listener, refused: &mut Refused) -> TcpStream {
    let mut examined = FuturesUnordered::new();
    loop {
        tokio::select! {
            (tcp, peer) = listener.accept(), if examined.len() < MAX_EXAMINED => {
                examined.push(examine(task, tcp, peer));
            }
            Some(verdict) = examined.next() => match verdict {
                Ok(tcp) => return tcp,
                Err(Some((peer, objection))) => refused.count(Some(&peer), objection),
                Err(None) => {}
            }
        }
    }
}

/// Returns the connection if it is the client's; otherwise who was refused and why, if that is worth a word.
async fn examine(
    task: &DataTask,
    mut tcp: TcpStream,
    peer: SocketAddr,
) -> Result<TcpStream, Option<(SocketAddr, Objection)>> {
    reset_when_dropped(&tcp);
    let tunnel = &task.control.tunnel;
    let addresses = match tunnel.client_of(&mut tcp, peer).await {
        Ok(Some(addresses)) => addresses,
        Ok(None) => return Err(None),
        Err(reason) => {
            debug!(%peer, %reason, "the client of a data connection is unknown");
            return Err(Some((peer, Objection::Unnamed)));
        }
    };
    let objection = objection(task, addresses);
    tunnel.host.owners.release_end(&SockRef::from(&tcp));
    objection.map_or(Ok(tcp), |objection| {
        Err(Some((addresses.client, objection)))
    })
}

/// Why a connection is not accepted as the client's; `None` if it is.
fn objection(task: &DataTask, addresses: ClientAddresses) -> Option<Objection> {
    let ClientAddresses { client, reached } = addresses;
    if client.ip() != task.control.peer.ip() {
        return Some(Objection::Stranger);
    }
    let owners = &task.control.tunnel.host.owners;
    let owner = |reached| owners.of(client, reached);
    task.control.owner.objection(Ok(reached), owner)
}

/// Connections that were refused at one listener. Only the first one and the number of the others are logged, so that
/// nobody can flood the log.
#[derive(Debug, Default)]
pub(super) struct Refused {
    any: bool,
    further: u64,
    /// Cancelled, as a signal, once one of them may have been the client's.
    closed: CancellationToken,
}

impl Refused {
    /// Counts a refused connection; its address, if it is known.
    pub(super) fn count(&mut self, peer: Option<&SocketAddr>, objection: Objection) {
        if objection == Objection::Closed {
            self.closed.cancel();
        }
        if std::mem::replace(&mut self.any, true) {
            self.further += 1;
        } else {
            let peer = peer.map_or_else(|| "unknown".to_owned(), SocketAddr::to_string);
            warn!(%peer, "data connection refused: {objection}");
        }
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        if self.further > 0 {
            warn!(
                further = self.further,
                "more data connections refused at the same port"
            );
        }
    }
}
