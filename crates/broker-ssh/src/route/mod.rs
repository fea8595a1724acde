//! The way to an SSH server over TCP: direct, or through a proxy
//!
//! What comes of it is a byte stream to the server, and the time that is left for the handshake on it. A gateway is an SSH
//! connection itself, so whoever dials knows of it.

mod error;
mod http;
mod limit;
mod proxy;
mod race;
mod resolve;
mod rules;
mod socks;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::net::keepalive;
use crate::net::quick_ack::QuickAck;
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
pub use error::{FailedAttempt, ProxyFault, ResolveError, RouteError, Unreachable};
pub(crate) use limit::TimeLimit;
use race::Connected;

/// What carries an SSH connection.
pub(crate) struct Transport<S> {
    pub(crate) stream: S,
    /// The server's address, unless only a proxy or a gateway knows it.
    pub(crate) peer: Option<SocketAddr>,
    /// How long the server, or what leads to it, took to answer at first: about a round trip, longer through a proxy or
    /// gateway, which have to reach the server meanwhile.
    pub(crate) round_trip: Duration,
    /// What is left of the time to connect.
    pub(crate) limit: TimeLimit,
}

impl<S> Transport<S> {
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Transport<T> {
        let Self {
            stream,
            peer,
            round_trip,
            limit,
        } = self;
        Transport {
            stream: change(stream),
            peer,
            round_trip,
            limit,
        }
    }
}

/// Opens the way to a server, and notes in the state which proxy is on it.
///
/// # Errors
/// Why there is no way; a proxy that is at fault is named.
pub(crate) async fn open(
    spec: &ConnectSpec,
    state: &ConnectionState,
) -> Result<Transport<QuickAck>, RouteError> {
    let limit = TimeLimit::starts_now(spec.settings.connect_timeout);
    match rules::choose(spec, limit).await {
        None => direct(spec, limit).await,
        Some(proxy) => {
            state.note_route(proxy::name(proxy));
            let began = Instant::now();
            let tcp = proxy::connect(proxy, spec, limit).await?;
            Ok(over_tcp(spec, tcp, None, began.elapsed(), limit))
        }
    }
}

async fn direct(spec: &ConnectSpec, limit: TimeLimit) -> Result<Transport<QuickAck>, RouteError> {
    let family = spec.settings.address_family;
    let found = resolve::addresses(&spec.host, spec.port, family, limit).await;
    let addresses = found.map_err(|reason| RouteError::Resolve {
        host: spec.host.clone(),
        reason,
    })?;
    let connected = race::connect(addresses, limit).await;
    let Connected { tcp, peer, took } = connected.map_err(|reason| RouteError::Connect {
        server: spec.server(),
        reason,
    })?;
    Ok(over_tcp(spec, tcp, Some(peer), took, limit))
}

fn over_tcp(
    spec: &ConnectSpec,
    tcp: TcpStream,
    peer: Option<SocketAddr>,
    round_trip: Duration,
    limit: TimeLimit,
) -> Transport<QuickAck> {
    keepalive::bound_silence(&tcp, spec.settings.keepalive_interval);
    Transport {
        stream: QuickAck(tcp),
        peer,
        round_trip,
        limit,
    }
}
