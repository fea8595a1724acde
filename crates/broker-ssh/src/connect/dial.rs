//! Making one SSH connection: find a way to the server, exchange keys, verify, authenticate

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker_settings::Compression;
use futures::future::BoxFuture;
use russh::client;
use russh::keys::{Algorithm, PublicKey};
use russh::{Limits, Preferred, SshId};
use tokio::io::BufReader;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::auth::authenticate;
use crate::connect::algorithms::{KnownKeys, preferred};
use crate::connect::handler::{ConnectionHandler, HandlerError, Judge};
use crate::error::OpenError;
use crate::host_key::Trust;
use crate::net::lock::lock;
use crate::net::stream::SeverableStream;
use crate::net::text::printable;
use crate::net::window;
use crate::net::workers;
use crate::route::{self, Transport};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use crate::state::snapshot::ConnectionKind;

/// Bound on authentication, not counting the time in which a person is asked. It is longer than that on connecting, since
/// servers delay it on purpose and look names up meanwhile.
const AUTH_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest packet russh takes; fewer, larger packets cost less.
const MAX_PACKET: u32 = 65_535;

/// Packets waiting between the session and a channel's reader, 2 MiB at most.
const CHANNEL_QUEUE: usize = 32;

/// Bytes read from the socket at once. russh reads a packet's length and its rest one by one, which would be two system
/// calls a packet, and the short ones would each be acknowledged at once as if they were all that came. Lines need less.
const DATA_READ: usize = 256 << 10;
const CONTROL_READ: usize = 32 << 10;

/// Most bytes under one key that a profile can have (RFC 4253 section 9).
const MAX_REKEY_BYTES: u64 = 1 << 30;

/// Bytes under one key where only the server is to ask for a new one. No packet is shorter than four bytes, so that their
/// 32-bit numbers do not come again before that.
const UNASKED_BYTES: u64 = 16 << 30;

/// Fewest bytes under one key: less would only exchange keys.
const MIN_REKEY_BYTES: u64 = 64 << 10;

/// As much of what is no SSH as a message shows: a greeting fits in.
const MAX_SENT: usize = 160;

/// As much of a server's text as a message shows: the longest lists of algorithms have some hundred characters.
const MAX_SHOWN: usize = 1024;

/// An authenticated SSH session. Opens and forwards need only a shared reference.
pub(crate) type Session = client::Handle<ConnectionHandler>;

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
    state: Arc<ConnectionState>,
    tracker: TaskTracker,
) -> Result<Session, OpenError> {
    let mut session = connect(&spec, &state, &tracker).await?;
    state
        .asking
        .within(AUTH_TIMEOUT, authenticate(&mut session, &spec, &state))
        .await
        .unwrap_or_else(|| {
            Err(timed_out(
                format!("authentication at {}", spec.server()),
                AUTH_TIMEOUT,
            ))
        })?;
    Ok(session)
}

/// The same for a gateway on the way, whose dial is part of another one.
pub(crate) fn dial_gateway(
    spec: Arc<ConnectSpec>,
    state: Arc<ConnectionState>,
    tracker: TaskTracker,
) -> BoxFuture<'static, Result<Session, OpenError>> {
    Box::pin(dial(spec, state, tracker))
}

fn timed_out(what: String, after: Duration) -> OpenError {
    OpenError::Timeout { what, after }
}

async fn connect(
    spec: &ConnectSpec,
    state: &Arc<ConnectionState>,
    tracker: &TaskTracker,
) -> Result<Session, OpenError> {
    let trust = Arc::new(Trust::load(spec).await?);
    let judge = Judge::Trust(Arc::clone(&trust));
    let session = handshake(spec, state, tracker, &trust.known_keys(), judge).await?;
    trust.settle(spec, state).await?;
    Ok(session)
}

/// Connects for a look at the server's key. Whatever comes of it, the connection ends there.
///
/// # Errors
/// Why there is no session, which is so in any case.
pub(crate) async fn witness(
    spec: &ConnectSpec,
    state: &Arc<ConnectionState>,
    tracker: &TaskTracker,
    seen: Arc<OnceLock<PublicKey>>,
) -> Result<(), OpenError> {
    let (known, judge) = (KnownKeys::default(), Judge::Witness(seen));
    handshake(spec, state, tracker, &known, judge)
        .await
        .map(drop)
}

async fn handshake(
    spec: &ConnectSpec,
    state: &Arc<ConnectionState>,
    tracker: &TaskTracker,
    known: &KnownKeys,
    judge: Judge,
) -> Result<Session, OpenError> {
    let mut config = config(spec, known)?;
    let Transport {
        stream,
        peer,
        round_trip,
        limit,
    } = route::open(spec, state, tracker).await?;
    config.window_size = match state.kind {
        ConnectionKind::Control => window::CONTROL,
        ConnectionKind::Data => {
            let known = state.customs.round_trip.known().await;
            window::for_data(known.unwrap_or(round_trip))
        }
    };
    tracing::trace!(
        connection = state.id,
        ?round_trip,
        window = config.window_size,
        "reached"
    );
    let stream = SeverableStream::new(stream, state.severed.clone(), Arc::clone(&state.wire));
    let at_once = match state.kind {
        ConnectionKind::Control => CONTROL_READ,
        ConnectionKind::Data => DATA_READ,
    };
    let stream = BufReader::with_capacity(at_once, stream);
    let handler = ConnectionHandler::new(
        Arc::clone(state),
        judge,
        peer,
        spec.settings.server_banners,
        tracker.token(),
    );
    let handshake = limit.run(client::connect_stream(Arc::new(config), stream, handler));
    let late = || {
        timed_out(
            format!("the SSH handshake with {}", spec.server()),
            limit.whole,
        )
    };
    match handshake.await {
        None => Err(not_ssh(spec, state).unwrap_or_else(late)),
        Some(shaken) => shaken.map_err(|error| handshake_error(spec, state, error)),
    }
}

fn config(spec: &ConnectSpec, known: &KnownKeys) -> Result<client::Config, OpenError> {
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

fn offer(spec: &ConnectSpec, known: &KnownKeys) -> Result<Preferred, OpenError> {
    let compress = spec.settings.compression != Compression::None;
    let offer = preferred(&spec.settings.algorithms, compress, known);
    offer.map_err(|(kind, names)| OpenError::Handshake {
        server: spec.server(),
        reason: format!("none of the {kind} algorithms in the profile is supported: {names}"),
    })
}

/// Algorithms of host keys that the server may use, the preferred ones first.
///
/// # Errors
/// `Handshake` where none is supported.
pub(crate) fn host_keys(spec: &ConnectSpec) -> Result<Vec<Algorithm>, OpenError> {
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

/// What a server sent that has told no version; `None`: it has told one, or sent nothing.
fn not_ssh(spec: &ConnectSpec, state: &ConnectionState) -> Option<OpenError> {
    let sent = lock(&state.wire.before_version).clone();
    let no_version = state.wire.identification.get().is_none() && !sent.is_empty();
    no_version.then(|| OpenError::Handshake {
        server: spec.server(),
        reason: format!(
            "the server does not begin as SSH servers do (is it one?); it sent: {}",
            printable(&sent, MAX_SENT)
        ),
    })
}

/// What a server did that speaks no SSH, or speaks it wrongly.
fn handshake_error(spec: &ConnectSpec, state: &ConnectionState, error: HandlerError) -> OpenError {
    if let Some(error) = not_ssh(spec, state) {
        return error;
    }
    let server = spec.server();
    let reason = match error {
        HandlerError::Refused(refused) => return refused,
        HandlerError::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => {
            return OpenError::NoCommonAlgorithm {
                server,
                kind: format!("{kind:?} algorithm").to_lowercase(),
                ours: ours.join(", "),
                theirs: printable(&theirs.join(", "), MAX_SHOWN),
            };
        }
        HandlerError::Ssh(russh::Error::Disconnect | russh::Error::HUP) => {
            "the server ended the connection (is it an SSH server?)".into()
        }
        HandlerError::Ssh(russh::Error::Version) => {
            "the server does not begin as SSH servers do (is it one?)".into()
        }
        HandlerError::Ssh(russh::Error::PacketSize(size)) => {
            format!("what the server sent is no SSH packet: it would have {size} bytes")
        }
        HandlerError::Ssh(russh::Error::IO(error)) => format!("the connection broke off ({error})"),
        HandlerError::Ssh(other) => other.to_string(),
    };
    OpenError::Handshake { server, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_change_within_bounds_and_where_nothing_is_asked_before_packet_numbers_repeat() {
        for (asked, expected) in [
            (Some(1), MIN_REKEY_BYTES),
            (Some(1_000_000), 1_000_000),
            (Some(u64::MAX), MAX_REKEY_BYTES),
            (None, UNASKED_BYTES),
        ] {
            let limits = limits(asked);
            let bytes = usize::try_from(expected).unwrap();
            let both = (limits.rekey_read_limit, limits.rekey_write_limit);
            assert_eq!(both, (bytes, bytes), "{asked:?}");
        }
        assert_eq!(limits(None).rekey_time_limit, Duration::MAX);
    }
}
