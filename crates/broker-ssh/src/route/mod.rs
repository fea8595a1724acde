//! The way to an SSH server: straight over TCP, through a proxy, or through the SSH connection to a gateway
//!
//! Whatever the way, what comes of it is a byte stream to the server, and the time that is left for the handshake on it.

mod gateway;
mod http;
mod limit;
mod proxy;
mod race;
mod resolve;
mod rules;
mod socks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;

use crate::connect::keepalive;
use crate::error::OpenError;
use crate::net::quick_ack::QuickAck;
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use gateway::GatewayStream;
pub(crate) use limit::TimeLimit;

/// What carries an SSH connection.
pub(crate) struct Transport {
    pub(crate) stream: Either<QuickAck, GatewayStream>,
    /// The server's address, unless only a proxy or a gateway knows it.
    pub(crate) peer: Option<SocketAddr>,
    /// How long the server, or what leads to it, took to answer at first: about a round trip, longer through a proxy or
    /// gateway, which have to reach the server meanwhile.
    pub(crate) round_trip: Duration,
    /// What is left of the time to connect.
    pub(crate) limit: TimeLimit,
}

/// Opens the way to a server, and notes on the state which one it is. Gateways on it are dialled each within a time of its
/// own.
///
/// # Errors
/// Why there is no way; a proxy or gateway that is at fault is named.
pub(crate) async fn open(
    spec: &ConnectSpec,
    state: &ConnectionState,
    tracker: &TaskTracker,
) -> Result<Transport, OpenError> {
    if let Some(gateway) = &spec.gateway {
        return gateway::open(spec, Arc::clone(gateway), state, tracker).await;
    }
    let limit = TimeLimit::starts_now(spec.settings.connect_timeout);
    match rules::choose(spec, limit).await {
        None => straight(spec, limit).await,
        Some(proxy) => {
            state.note_route(proxy::name(proxy));
            let began = Instant::now();
            let tcp = proxy::connect(proxy, spec, limit).await?;
            Ok(over_tcp(spec, tcp, None, began.elapsed(), limit))
        }
    }
}

async fn straight(spec: &ConnectSpec, limit: TimeLimit) -> Result<Transport, OpenError> {
    let failed = |reason: String| OpenError::Connect {
        server: spec.server(),
        reason,
    };
    let found =
        resolve::addresses(&spec.host, spec.port, spec.settings.address_family, limit).await;
    let addresses = found.map_err(|reason| OpenError::Resolve {
        host: spec.host.clone(),
        reason,
    })?;
    let (tcp, round_trip) = race::connect(addresses, limit).await.map_err(failed)?;
    let peer = tcp.peer_addr().map_err(|error| failed(error.to_string()))?;
    Ok(over_tcp(spec, tcp, Some(peer), round_trip, limit))
}

fn over_tcp(
    spec: &ConnectSpec,
    tcp: TcpStream,
    peer: Option<SocketAddr>,
    round_trip: Duration,
    limit: TimeLimit,
) -> Transport {
    keepalive::bound_silence(&tcp, spec.settings.keepalive_interval);
    Transport {
        stream: Either::Left(QuickAck(tcp)),
        peer,
        round_trip,
        limit,
    }
}
