//! The route to an SSH server: direct, through a proxy, or through a command
//!
//! The result is a byte stream to the server, and the time that is left for the handshake. A gateway is itself an SSH
//! connection, so `dial` handles it.

mod command;
mod error;
mod http;
mod limit;
mod proxy;
mod race;
mod resolve;
mod rules;
mod socks;
mod stderr;

use std::net::SocketAddr;
use std::time::Duration;

use broker_settings::ProxyRoute;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::either::Either;

use crate::net::keepalive;
use crate::net::quick_ack::QuickAck;
use crate::shell::command_name;
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use command::CommandStream;
pub use error::{FailedAttempt, ProxyFault, ResolveError, RouteError, Unreachable};
pub(crate) use limit::TimeLimit;
use race::Connected;

/// The byte stream under an SSH connection.
pub(crate) struct Transport<S> {
    pub(crate) stream: S,
    /// The server's address, unless only a proxy or a gateway knows it.
    pub(crate) peer: Option<SocketAddr>,
    /// How long the server, proxy or gateway took for its first answer: about a round trip, or longer through a proxy or
    /// gateway, which have to reach the server first.
    pub(crate) round_trip: Duration,
    /// What is left of the connect timeout.
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

/// A TCP connection, or the standard input and output of a command.
pub(crate) type RouteStream = Either<QuickAck, CommandStream>;

/// Opens the route to a server, and records in the state which proxy or command it uses.
///
/// # Errors
/// Why there is no route; if a proxy or command is the cause, the error names it.
pub(crate) async fn open(
    spec: &ConnectSpec,
    state: &ConnectionState,
) -> Result<Transport<RouteStream>, RouteError> {
    let limit = TimeLimit::starts_now(spec.settings.connect_timeout);
    let began = Instant::now();
    match rules::choose(spec, limit).await {
        ProxyRoute::Direct => Ok(direct(spec, limit).await?.map(Either::Left)),
        ProxyRoute::Proxy(proxy) => {
            state.note_route(proxy::name(proxy));
            let tcp = proxy::connect(proxy, spec, limit).await?;
            let transport = over_tcp(spec, tcp, None, began.elapsed(), limit);
            Ok(transport.map(Either::Left))
        }
        ProxyRoute::Command(command) => {
            state.note_route(command_name(command));
            let stream = command::connect(command, spec, limit).await?;
            Ok(Transport {
                stream: Either::Right(stream),
                peer: None,
                round_trip: began.elapsed(),
                limit,
            })
        }
    }
}

/// Where a connection attempt begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstHop {
    /// At one of the server's own addresses.
    Direct(Vec<SocketAddr>),
    /// At this proxy, or with this command.
    Through(String),
}

/// Where a connection attempt to this server begins. Looks the server's name up unless that is left to a proxy.
///
/// # Errors
/// The name has no address that may be used.
pub async fn first_hop(spec: &ConnectSpec) -> Result<FirstHop, RouteError> {
    let limit = TimeLimit::starts_now(spec.settings.connect_timeout);
    match rules::choose(spec, limit).await {
        ProxyRoute::Direct => look_up(spec, limit).await.map(FirstHop::Direct),
        ProxyRoute::Proxy(proxy) => Ok(FirstHop::Through(proxy::name(proxy))),
        ProxyRoute::Command(command) => Ok(FirstHop::Through(command_name(command))),
    }
}

/// Connects to each of the addresses, or to the first of many, and closes. Returns how long each took, or why it failed.
pub async fn try_each(
    spec: &ConnectSpec,
    addresses: Vec<SocketAddr>,
) -> Vec<(SocketAddr, Result<Duration, FailedAttempt>)> {
    let limit = TimeLimit::starts_now(spec.settings.connect_timeout);
    race::each(addresses, limit).await
}

async fn look_up(spec: &ConnectSpec, limit: TimeLimit) -> Result<Vec<SocketAddr>, RouteError> {
    let family = spec.settings.address_family;
    let found = resolve::addresses(&spec.host, spec.port, family, limit).await;
    found.map_err(|reason| RouteError::Resolve {
        host: spec.host.clone(),
        reason,
    })
}

async fn direct(spec: &ConnectSpec, limit: TimeLimit) -> Result<Transport<QuickAck>, RouteError> {
    let connected = race::connect(look_up(spec, limit).await?, limit).await;
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
