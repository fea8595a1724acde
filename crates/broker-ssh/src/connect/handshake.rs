//! The SSH handshake: the offered algorithms, and what the server did wrong if it fails

use std::sync::Arc;
use std::time::Duration;

use broker_settings::Compression;
use plain_text::{named_by_greeting, printable_start};
use russh::client;
use russh::keys::Algorithm;
use russh::{Limits, Preferred, SshId};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};

use super::algorithms::{NoneSupported, preferred};
use super::error::{HandshakeError, HandshakeFault, OpenError};
use super::handler::{ConnectionHandler, HandlerError, SshHandle};
use crate::host_key::KnownKeys;
use crate::net::lock::lock;
use crate::net::stream::SeverableStream;
use crate::net::window::{self, WindowGauge};
use crate::route::Transport;
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// The largest packet that russh accepts; fewer, larger packets cost less.
const MAX_PACKET: u32 = 65_535;

/// Packets that may wait between the session and a channel's reader, 2 MiB at most.
const CHANNEL_QUEUE: usize = 32;

/// Bytes per read from the socket. russh reads a packet's length and its rest separately, which would cost two system
/// calls per packet, and the kernel would acknowledge each short read at once. Control connections need less.
const DATA_READ: usize = 256 << 10;
const CONTROL_READ: usize = 32 << 10;

/// The most bytes under one key that a profile can set (RFC 4253 section 9).
const MAX_REKEY_BYTES: u64 = 1 << 30;

/// Bytes under one key if only the server starts key exchanges. No packet is shorter than four bytes, so the 32-bit
/// packet numbers do not repeat before that.
const UNASKED_BYTES: u64 = 16 << 30;

/// The fewest bytes under one key: with less, the two sides would do nothing but exchange keys.
const MIN_REKEY_BYTES: u64 = 64 << 10;

/// How much of a peer's non-SSH data a message shows: a greeting fits.
const MAX_SENT: usize = 160;

/// How much of a server's text a message shows: the longest lists of algorithms have a few hundred characters.
const MAX_SHOWN: usize = 1024;

/// Exchanges keys over the transport.
pub(super) async fn run<S>(
    mut config: client::Config,
    transport: Transport<S>,
    mut handler: ConnectionHandler,
    state: &ConnectionState,
) -> Result<SshHandle, OpenError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limit = transport.limit;
    config.window_size = match state.kind {
        ConnectionKind::Control => window::CONTROL,
        ConnectionKind::Data => data_window(state, transport.round_trip, &mut handler).await,
    };
    state.window.get_or_init(|| config.window_size);
    let (severed, counters) = (state.severed.clone(), Arc::clone(&state.wire));
    let stream = SeverableStream::new(transport.stream, severed, counters);
    let at_once = match state.kind {
        ConnectionKind::Control => CONTROL_READ,
        ConnectionKind::Data => DATA_READ,
    };
    let stream = BufReader::with_capacity(at_once, stream);
    let handshake = limit.run(client::connect_stream(Arc::new(config), stream, handler));
    match (handshake.await, not_ssh(state)) {
        (Some(Ok(handle)), _) => Ok(handle),
        (_, Some(reason)) => Err(failed(state, reason).into()),
        (Some(Err(error)), None) => Err(handshake_error(state, error)),
        (None, None) => Err(too_late(state, limit.whole).into()),
    }
}

/// How much the server may send ahead on a connection whose TCP handshake took this long.
async fn data_window(
    state: &ConnectionState,
    handshake: Duration,
    handler: &mut ConnectionHandler,
) -> u32 {
    let known = state.facts.round_trip.known().await;
    let round_trip = known.unwrap_or(handshake);
    let seen = state.facts.window();
    let window = seen.unwrap_or_else(|| window::unseen(round_trip));
    tracing::debug!(
        connection = state.id,
        ?round_trip,
        window,
        seen = seen.is_some(),
        "chose the window for data"
    );
    if !state.is_gateway {
        handler.gauge(WindowGauge::new(window, round_trip));
    }
    window
}

/// The configuration for a server with these known host keys.
///
/// # Errors
/// `Unsupported` if the profile allows nothing that is supported.
pub(super) fn config(
    spec: &ConnectSpec,
    known: &KnownKeys,
) -> Result<client::Config, HandshakeError> {
    let preferred = offer(spec, known)?;
    Ok(client::Config {
        client_id: SshId::Standard(
            concat!("SSH-2.0-ssh_broker_", env!("CARGO_PKG_VERSION")).into(),
        ),
        limits: limits(spec.settings.rekey_bytes),
        maximum_packet_size: MAX_PACKET,
        channel_buffer_size: CHANNEL_QUEUE,
        preferred,
        nodelay: true,
        ..client::Config::default()
    })
}

fn offer(spec: &ConnectSpec, known: &KnownKeys) -> Result<Preferred, HandshakeError> {
    let compress = spec.settings.compression != Compression::None;
    let offer = preferred(&spec.settings.algorithms, compress, known);
    offer.map_err(
        |NoneSupported { kind, names }| HandshakeError::Unsupported {
            server: spec.server(),
            kind,
            names,
        },
    )
}

/// Host key algorithms that the server may use, in order of preference.
///
/// # Errors
/// `Unsupported` if there are none.
pub(super) fn host_keys(spec: &ConnectSpec) -> Result<Vec<Algorithm>, HandshakeError> {
    offer(spec, &KnownKeys::default()).map(|offer| offer.key.into_owned())
}

fn limits(rekey_bytes: Option<u64>) -> Limits {
    let usual = Limits::default().rekey_time_limit;
    let (bytes, time) = match rekey_bytes {
        Some(bytes) => (bytes.clamp(MIN_REKEY_BYTES, MAX_REKEY_BYTES), usual),
        None => (UNASKED_BYTES, Duration::MAX),
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        rekey_write_limit: bytes,
        rekey_read_limit: bytes,
        rekey_time_limit: time,
    }
}

/// What a server sent instead of a version; `None`: it sent a version, or nothing.
fn not_ssh(state: &ConnectionState) -> Option<HandshakeFault> {
    let sent = lock(&state.wire.before_version).clone();
    let no_version = state.wire.identification.get().is_none() && !sent.is_empty();
    no_version.then(|| HandshakeFault::NotSsh {
        named: named_by_greeting(&sent),
        sent: printable_start(first_line(&sent), MAX_SENT),
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The handshake is not complete after this long.
fn too_late(state: &ConnectionState, after: Duration) -> HandshakeError {
    let server = state.server.clone();
    match state.wire.identification.get() {
        Some(version) => HandshakeError::Late {
            server,
            version: printable_start(version, MAX_SENT),
            after,
        },
        None => HandshakeError::Silent { server, after },
    }
}

fn failed(state: &ConnectionState, reason: HandshakeFault) -> HandshakeError {
    HandshakeError::Failed {
        server: state.server.clone(),
        reason,
    }
}

fn handshake_error(state: &ConnectionState, error: HandlerError) -> OpenError {
    use russh::Error::{Disconnect, HUP, IO, NoCommonAlgo, PacketSize, Version};
    let reason = match error {
        HandlerError::HostKey(error) => return error.into(),
        HandlerError::Ssh(NoCommonAlgo { kind, ours, theirs }) => {
            return HandshakeError::NoCommonAlgorithm {
                server: state.server.clone(),
                kind: format!("{kind:?} algorithm").to_lowercase(),
                ours: ours.join(", "),
                theirs: printable_start(&theirs.join(", "), MAX_SHOWN),
            }
            .into();
        }
        HandlerError::KeyType(agreed, shown) => HandshakeFault::KeyType(agreed, shown),
        HandlerError::Ssh(Disconnect | HUP) => HandshakeFault::Ended,
        HandlerError::Ssh(Version) => HandshakeFault::NoVersion,
        HandlerError::Ssh(PacketSize(size)) => HandshakeFault::PacketSize(size),
        HandlerError::Ssh(IO(error)) => HandshakeFault::BrokeOff(error.to_string()),
        HandlerError::Ssh(other) => HandshakeFault::Library(other.to_string()),
    };
    failed(state, reason).into()
}
