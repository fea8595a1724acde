//! Making one SSH connection: resolve, connect, exchange keys, verify, authenticate

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::client;
use russh::{Limits, SshId};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::algorithms::preferred;
use crate::auth::authenticate;
use crate::error::OpenError;
use crate::handler::{HandlerError, LinkHandler};
use crate::hostkey::Trust;
use crate::link::Link;
use crate::loopback::unpaced;
use crate::quick_ack::QuickAck;
use crate::snapshot::ConnectionKind;
use crate::spec::{AddressFamily, ConnectSpec};
use crate::stream::SeverableStream;
use crate::workers;

/// Bound on resolving, connecting and the key exchange where the profile sets none. The time in which a person is asked
/// counts for neither bound.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound on authentication: longer, since servers delay it on purpose and look names up meanwhile.
const AUTH_TIMEOUT: Duration = Duration::from_secs(30);

/// Interval of keepalives where the profile sets none, and how many may go unanswered.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_MAX: usize = 3;

/// Window of a data channel: what is in flight on the longest fat link worth filling (1 Gbit/s at 500 ms). It costs no
/// memory, since TCP holds the data.
const DATA_WINDOW: u32 = 64 << 20;

/// Window of a control channel: lines only, so small.
const CONTROL_WINDOW: u32 = 2 << 20;

/// The largest packet russh takes; fewer, larger packets cost less.
const MAX_PACKET: u32 = 65_535;

/// Packets waiting between the session and a channel's reader, 2 MiB at most.
const CHANNEL_QUEUE: usize = 32;

/// Bytes read from the socket at once. russh reads a packet's length and its rest one by one, which would be two system
/// calls a packet, and the short ones would each be acknowledged at once as if they were all that came.
const READ_BUFFER: usize = 256 << 10;

/// Most bytes under one key that russh allows (RFC 4253 section 9).
const MAX_REKEY_BYTES: u64 = 1 << 30;

/// Fewest bytes under one key: less would only exchange keys.
const MIN_REKEY_BYTES: u64 = 64 << 10;

/// An authenticated SSH session. Opens and forwards need only a shared reference.
pub(crate) type Session = client::Handle<LinkHandler>;

/// The runtime that a new connection runs on: one place to choose it. Control channels are many and quiet; they stay
/// with their FTP sessions, on the caller's own.
pub(crate) fn runtime(kind: ConnectionKind) -> Handle {
    match kind {
        ConnectionKind::Control => Handle::current(),
        ConnectionKind::Data => workers::next(),
    }
}

/// Dials the server and authenticates.
pub(crate) async fn dial(
    spec: Arc<ConnectSpec>,
    link: Arc<Link>,
    tracker: TaskTracker,
) -> Result<Session, OpenError> {
    let bound = spec.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let mut session = link
        .asking
        .within(bound, connect(&spec, &link, &tracker))
        .await
        .unwrap_or_else(|| {
            Err(timed_out(
                format!("connecting to SSH server {}", spec.server()),
                bound,
            ))
        })?;
    link.asking
        .within(AUTH_TIMEOUT, authenticate(&mut session, &spec, &link))
        .await
        .unwrap_or_else(|| {
            Err(timed_out(
                format!("authentication at {}", spec.server()),
                AUTH_TIMEOUT,
            ))
        })?;
    Ok(session)
}

fn timed_out(what: String, after: Duration) -> OpenError {
    OpenError::Timeout { what, after }
}

async fn connect(
    spec: &ConnectSpec,
    link: &Arc<Link>,
    tracker: &TaskTracker,
) -> Result<Session, OpenError> {
    let trust = Trust::load(spec).await?;
    let config = Arc::new(config(spec, link.kind, &trust)?);
    let tcp = connect_tcp(spec).await?;
    let peer = tcp
        .peer_addr()
        .map_err(|error| connect_error(spec, error.to_string()))?;
    let stream = SeverableStream::new(QuickAck(tcp), link.severed.clone(), Arc::clone(&link.wire));
    let stream = BufReader::with_capacity(READ_BUFFER, stream);
    let handler = LinkHandler::new(Arc::clone(link), trust, peer, tracker.token());
    client::connect_stream(config, stream, handler)
        .await
        .map_err(|error| handshake_error(spec, error))
}

fn config(
    spec: &ConnectSpec,
    kind: ConnectionKind,
    trust: &Trust,
) -> Result<client::Config, OpenError> {
    let preferred = preferred(&spec.algorithms, spec.compression, &trust.algorithms()).map_err(
        |(kind, names)| {
            let reason =
                format!("none of the {kind} algorithms in the profile is supported: {names}");
            OpenError::Handshake {
                server: spec.server(),
                reason,
            }
        },
    )?;
    Ok(client::Config {
        client_id: SshId::Standard(
            concat!("SSH-2.0-ssh_broker_", env!("CARGO_PKG_VERSION")).into(),
        ),
        limits: limits(spec.rekey_bytes),
        window_size: match kind {
            ConnectionKind::Control => CONTROL_WINDOW,
            ConnectionKind::Data => DATA_WINDOW,
        },
        maximum_packet_size: MAX_PACKET,
        channel_buffer_size: CHANNEL_QUEUE,
        preferred,
        keepalive_interval: Some(spec.keepalive.unwrap_or(KEEPALIVE)),
        keepalive_max: KEEPALIVE_MAX,
        nodelay: true,
        ..client::Config::default()
    })
}

fn limits(rekey_bytes: Option<u64>) -> Limits {
    let bytes = rekey_bytes
        .unwrap_or(MAX_REKEY_BYTES)
        .clamp(MIN_REKEY_BYTES, MAX_REKEY_BYTES);
    let bytes = usize::try_from(bytes).unwrap_or(1 << 30);
    Limits::new(bytes, bytes, Limits::default().rekey_time_limit)
}

/// Tries the server's addresses in turn.
async fn connect_tcp(spec: &ConnectSpec) -> Result<TcpStream, OpenError> {
    let addresses = resolve(spec).await?;
    let bound = spec.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let mut failures = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        // A dead address must leave time for those after it.
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + bound / left, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                return prepare(tcp).map_err(|error| connect_error(spec, error.to_string()));
            }
            Ok(Err(error)) => failures.push(format!("{} at {address}", plain(&error))),
            Err(_) => failures.push(format!("no answer from {address}")),
        }
    }
    Err(connect_error(spec, failures.join(", ")))
}

fn prepare(tcp: TcpStream) -> std::io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    unpaced(&tcp);
    Ok(tcp)
}

async fn resolve(spec: &ConnectSpec) -> Result<Vec<SocketAddr>, OpenError> {
    let failed = |reason: String| OpenError::Resolve {
        host: spec.host.clone(),
        reason,
    };
    let found = tokio::net::lookup_host((spec.host.as_str(), spec.port))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let usable: Vec<_> = found
        .filter(|address| allowed(spec.family, address))
        .collect();
    if usable.is_empty() {
        Err(failed(
            "it has none of the address family that is allowed".into(),
        ))
    } else {
        Ok(usable)
    }
}

fn allowed(family: AddressFamily, address: &SocketAddr) -> bool {
    match family {
        AddressFamily::Any => true,
        AddressFamily::Inet => address.is_ipv4(),
        AddressFamily::Inet6 => address.is_ipv6(),
    }
}

fn connect_error(spec: &ConnectSpec, reason: String) -> OpenError {
    OpenError::Connect {
        server: spec.server(),
        reason,
    }
}

/// The usual reasons in plain words, with what they mean for a server.
fn plain(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    const WORDS: [(std::io::ErrorKind, &str); 3] = [
        (
            ConnectionRefused,
            "connection refused (is the SSH server running?)",
        ),
        (HostUnreachable, "host unreachable"),
        (NetworkUnreachable, "network unreachable"),
    ];
    let known = WORDS.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
}

fn handshake_error(spec: &ConnectSpec, error: HandlerError) -> OpenError {
    let server = spec.server();
    match error {
        HandlerError::Refused(refused) => refused,
        HandlerError::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => {
            OpenError::NoCommonAlgorithm {
                server,
                kind: format!("{kind:?} algorithm").to_lowercase(),
                ours: ours.join(", "),
                theirs: theirs.join(", "),
            }
        }
        HandlerError::Ssh(russh::Error::Disconnect | russh::Error::HUP) => OpenError::Handshake {
            server,
            reason: "the server ended the connection (is it an SSH server?)".into(),
        },
        HandlerError::Ssh(other) => OpenError::Handshake {
            server,
            reason: other.to_string(),
        },
    }
}
