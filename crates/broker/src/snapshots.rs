//! The daemon's state as the local socket's types: profiles, connections, listeners and channels.

mod events;
mod state;
mod transfers;

use std::time::{Duration, SystemTime};

use broker_config::{ListenAddress, ListenSide};
use broker_ipc::RpcError;
use broker_ipc::types::{
    ChannelInfo, ChannelKind, ChannelState, Connection, ConnectionDetail, ConnectionKind,
    ConnectionPhase, DataMode, Direction, ListenerState, Profile, Session, TlsStart, TunnelKind,
    TunnelListener, TunnelSide,
};
use broker_ssh::ConnectionInfo;
use ftp_proto::Mode;
use plain_text::printable;
use tokio::time::Instant;

use crate::listeners::{Listeners, OpenTunnel};
use crate::profiles::{ProfilePool, Profiles, no_connection};
use crate::reasons;
use crate::registry::{
    ChannelEntry, DataEntry, SessionEntry, SessionRegistry, TrafficTotals, read,
};
use crate::unix_time::unix;

pub(crate) use self::events::view;
pub(crate) use self::state::{State, state};
pub(crate) use self::transfers::{direction, running, transfers};

/// The MAC's name if the cipher authenticates by itself.
const IMPLICIT_MAC: &str = "implicit";

/// How the daemon is, in a few numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overview {
    /// Tunnels that accept clients.
    pub listening: usize,
    /// Tunnels that wait for their profile to connect.
    pub waiting: usize,
    /// Tunnels that could not listen.
    pub failed: usize,
    /// Clients being served.
    pub sessions: u64,
    /// FTP transfers that run.
    pub transfers: u64,
    /// Whether the daemon only lets transfers finish.
    pub stopping: bool,
}

pub(crate) fn overview(
    listeners: &Listeners,
    registry: &SessionRegistry,
    stopping: bool,
) -> Overview {
    let in_state = |state| {
        listeners
            .tunnels()
            .filter(|it| it.status().state == state)
            .count()
    };
    let traffic = registry.traffic();
    Overview {
        listening: in_state(ListenerState::Listening),
        waiting: in_state(ListenerState::Waiting),
        failed: in_state(ListenerState::Failed),
        sessions: traffic.sessions_active,
        transfers: traffic.transfers.active,
        stopping,
    }
}

/// The tunnels of the configuration that do not listen, a line each with the reason.
pub(crate) fn not_listening(listeners: &Listeners) -> Vec<String> {
    let configured = listeners.tunnels().filter(|it| it.configured().is_some());
    let lines = configured.filter_map(|open| {
        let status = open.status();
        let address = open.tunnel().spec.listen_address;
        let (port, profile, state) = (status.port, &open.profile, status.state);
        let reason = status.reason.unwrap_or_default();
        let line = format!("tunnel {address}:{port} of profile {profile} is {state}: {reason}");
        (state != ListenerState::Listening).then(|| printable(&line))
    });
    lines.collect()
}

pub(crate) fn profiles(profiles: &Profiles, listeners: &Listeners) -> Vec<Profile> {
    let configured = profiles.config().profiles.iter();
    configured
        .map(|profile| profile_view(profile, profiles.pool(&profile.id), listeners))
        .collect()
}

/// A profile, or a target that a command named; `None` if the daemon knows no such any more.
pub(crate) fn profile(id: &str, profiles: &Profiles, listeners: &Listeners) -> Option<Profile> {
    let pool = profiles.pool(id);
    let configured = profiles.config().profile_by_id(id);
    let profile = configured.or_else(|| Some(&pool?.profile))?;
    Some(profile_view(profile, pool, listeners))
}

fn profile_view(
    profile: &broker_config::Profile,
    pool: Option<&ProfilePool>,
    listeners: &Listeners,
) -> Profile {
    let seen = pool.map(ProfilePool::snapshot).unwrap_or_default();
    let connections = pool.map_or_else(Vec::new, |pool| pool.connections.list());
    let silences = connections.iter().filter_map(|it| it.no_answer);
    let tunnels = listeners.tunnels().filter(|t| t.profile == profile.id);
    Profile {
        id: profile.id.clone(),
        name: profile.name.clone(),
        host: profile.host.clone(),
        port: profile.port,
        user: profile.user.clone(),
        connections: connections.len() as u64,
        tunnels: tunnels.count() as u64,
        tried: seen
            .last_error
            .as_ref()
            .map_or_else(Vec::new, reasons::tried),
        last_error: seen.last_error.map(|error| error.to_string()),
        retry_in: seen.retry_in.map(whole_seconds),
        no_answer: silences.max().map(whole_seconds),
    }
}

pub(crate) fn connections(profiles: &Profiles) -> Vec<Connection> {
    let pools = profiles.pools();
    pools
        .flat_map(|pool| {
            let connections = pool.connections.list();
            connections.into_iter().map(|c| connection_view(pool, &c))
        })
        .collect()
}

/// One connection and the channels on it.
///
/// # Errors
/// If there is none with this number.
pub(crate) fn connection(
    id: u64,
    profiles: &Profiles,
    registry: &SessionRegistry,
) -> Result<ConnectionDetail, RpcError> {
    let connection = connections(profiles).into_iter().find(|c| c.id == id);
    let mut channels = channels(registry);
    channels.retain(|channel| channel.connection == Some(id));
    Ok(ConnectionDetail {
        connection: connection.ok_or_else(|| no_connection(id))?,
        channels,
    })
}

pub(crate) fn sessions(registry: &SessionRegistry) -> Vec<Session> {
    let sessions = registry.sessions();
    sessions.iter().map(|it| session_view(it)).collect()
}

fn session_view(session: &SessionEntry) -> Session {
    Session {
        id: session.channel.id,
        tunnel: session.tunnel.id,
        profile: session.tunnel.profile.clone(),
        ftp: session.tunnel.is_ftp,
        client: session.client.to_string(),
        destination: session.tunnel.destination.clone(),
        ftp_user: session.ftp_user(),
        tls: session.tls(),
        since: unix(session.channel.since),
        command: Some(session.label()).filter(|label| !label.is_empty()),
        transfer: session.transfer().map(|transfer| transfer.start.id),
    }
}

pub(crate) fn channels(registry: &SessionRegistry) -> Vec<ChannelInfo> {
    let mut channels = Vec::new();
    for session in registry.sessions() {
        channels.push(control_view(&session));
        channels.extend(session.data().iter().map(|data| data_view(&session, data)));
    }
    channels
}

pub(crate) fn listeners(
    listeners: &Listeners,
    profiles: &Profiles,
    registry: &SessionRegistry,
) -> Vec<TunnelListener> {
    let tunnels = listeners.tunnels();
    tunnels
        .map(|open| listener(open, profiles, registry))
        .collect()
}

pub(crate) fn listener(
    open: &OpenTunnel,
    profiles: &Profiles,
    registry: &SessionRegistry,
) -> TunnelListener {
    let tunnel = open.tunnel();
    let ended = TrafficTotals::of([&**tunnel.totals]);
    let traffic = ended.with(&registry.sessions_of(tunnel.id));
    let pool = profiles.pool(&open.profile);
    let status = open.status();
    TunnelListener {
        id: tunnel.id,
        kind: tunnel_kind(&tunnel.spec.kind),
        side: match tunnel.spec.listens {
            ListenSide::OwnHost => TunnelSide::Local,
            ListenSide::SshServer => TunnelSide::Remote,
        },
        address: bare_address(tunnel.spec.listen_address),
        port: status.port,
        dst_host: tunnel.spec.dst_host.clone(),
        dst_port: tunnel.spec.dst_port,
        profile: pool.and_then(configured_id),
        target: pool.map(target).unwrap_or_default(),
        relay: tunnel.spec.allow_relay,
        tls: tunnel.tls.as_ref().map(|tls| match tls.is_implicit() {
            true => TlsStart::Implicit,
            false => TlsStart::Explicit,
        }),
        state: status.state,
        reason: status.reason.or_else(|| Some(pool?.trouble()?.to_string())),
        failed_since: status.failed_since.map(unix),
        retry_in: status.next_try.map(seconds_until),
        sessions_active: traffic.sessions_active,
        sessions_total: read(&tunnel.totals.sessions),
        transfers: traffic.transfers,
        bytes_up: traffic.bytes_up,
        bytes_down: traffic.bytes_down,
        origin: open.origin,
        sessions_refused: tunnel.totals.sessions_refused.total(|_| true),
        last_failure: tunnel.totals.last_failure.get(),
        max_sessions: Some(tunnel.spec.max_sessions as u64),
    }
}

pub(crate) fn tunnel_kind(kind: &broker_config::TunnelKind) -> TunnelKind {
    match kind {
        broker_config::TunnelKind::Ftp(_) => TunnelKind::Ftp,
        broker_config::TunnelKind::Tcp => TunnelKind::Tcp,
        broker_config::TunnelKind::Socks(_) => TunnelKind::Socks,
    }
}

/// The profile's id, if it is configured.
fn configured_id(pool: &ProfilePool) -> Option<String> {
    (!pool.adhoc).then(|| pool.profile.id.clone())
}

fn connection_view(pool: &ProfilePool, info: &ConnectionInfo) -> Connection {
    let agreed = info.negotiated.as_ref();
    let trouble = pool.trouble();
    Connection {
        id: info.id,
        profile: configured_id(pool),
        target: format!("{}#{}", pool.profile.host, pool.profile.port),
        user: pool.user.clone(),
        kind: connection_kind(info.kind),
        state: match info.phase {
            broker_ssh::ConnectionPhase::Connecting => ConnectionPhase::Connecting,
            broker_ssh::ConnectionPhase::Closed => ConnectionPhase::Closing,
            broker_ssh::ConnectionPhase::Idle => ConnectionPhase::Idle,
            broker_ssh::ConnectionPhase::Leased => ConnectionPhase::Active,
            broker_ssh::ConnectionPhase::Open if info.channels == 0 => ConnectionPhase::Idle,
            broker_ssh::ConnectionPhase::Open => ConnectionPhase::Active,
        },
        since: unix(info.since),
        no_answer: info.no_answer.map(whole_seconds),
        peer: agreed.and_then(|a| a.peer).map(|peer| peer.to_string()),
        route: info.route.clone(),
        server_version: info.server_version.clone(),
        kex: agreed.map(|a| a.kex.clone()),
        cipher: agreed.map(|a| a.cipher.clone()),
        mac: agreed
            .map(|a| a.mac.clone())
            .filter(|mac| mac != IMPLICIT_MAC),
        host_key: agreed.map(|a| format!("{} {}", a.host_key, a.fingerprint)),
        channels: info.channels as u64,
        bytes_in: info.bytes_in,
        bytes_out: info.bytes_out,
        tried: trouble.as_ref().map_or_else(Vec::new, reasons::tried),
        last_error: trouble.map(|error| error.to_string()),
    }
}

pub(crate) fn connection_kind(kind: broker_ssh::ConnectionKind) -> ConnectionKind {
    match kind {
        broker_ssh::ConnectionKind::Control => ConnectionKind::Control,
        broker_ssh::ConnectionKind::Data => ConnectionKind::Data,
    }
}

fn control_view(session: &SessionEntry) -> ChannelInfo {
    let kind = match session.tunnel.is_ftp {
        true => ChannelKind::Control,
        false => ChannelKind::Tcp,
    };
    let channel = &session.channel;
    let state = match channel.connection() {
        Some(_) => ChannelState::Open,
        None => ChannelState::Opening,
    };
    ChannelInfo {
        target: session.tunnel.destination.clone(),
        tls: session.tls(),
        ..channel_view(session, channel, kind, state, channel.since)
    }
}

fn data_view(session: &SessionEntry, data: &DataEntry) -> ChannelInfo {
    let label = data.label();
    let state = match label.joined {
        Some(_) => ChannelState::Open,
        None => ChannelState::Opening,
    };
    let moving = label.joined.unwrap_or(data.channel.since);
    ChannelInfo {
        mode: Some(match data.mode {
            Mode::Passive => DataMode::Passive,
            Mode::Active => DataMode::Active,
        }),
        direction: match label.direction {
            Some(ftp_proto::Direction::Upload) => Some(Direction::Upload),
            Some(ftp_proto::Direction::Download) => Some(Direction::Download),
            Some(ftp_proto::Direction::Unknown) | None => None,
        },
        command: Some(label.command).filter(|command| !command.is_empty()),
        target: label.target,
        tls: label.tls,
        ..channel_view(session, &data.channel, ChannelKind::Data, state, moving)
    }
}

/// What all channels show; bytes have moved since `moving`.
fn channel_view(
    session: &SessionEntry,
    channel: &ChannelEntry,
    kind: ChannelKind,
    state: ChannelState,
    moving: SystemTime,
) -> ChannelInfo {
    let (bytes_up, bytes_down) = channel.traffic();
    ChannelInfo {
        id: channel.id,
        connection: channel.connection(),
        tunnel: session.tunnel.id,
        session: session.channel.id,
        kind,
        mode: None,
        direction: None,
        command: None,
        state,
        bytes_up,
        bytes_down,
        rate: rate(bytes_up + bytes_down, moving),
        since: unix(channel.since),
        target: String::new(),
        client: session.client.to_string(),
        tls: None,
    }
}

/// The address without brackets, which belong only before a port.
fn bare_address(address: ListenAddress) -> String {
    match address {
        ListenAddress::Address(ip) => ip.to_string(),
        ListenAddress::All => address.to_string(),
    }
}

/// The user and server in the form for people.
fn target(pool: &ProfilePool) -> String {
    let profile = &pool.profile;
    format!("{}@{}#{}", pool.user, profile.host, profile.port)
}

/// Bytes per second since then.
fn rate(bytes: u64, since: SystemTime) -> u64 {
    let elapsed = since.elapsed().unwrap_or_default().as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / elapsed).unwrap_or(u64::MAX)
}

/// The wait until then.
fn seconds_until(moment: Instant) -> u64 {
    whole_seconds(moment.saturating_duration_since(Instant::now()))
}

/// A wait in seconds, rounded up so that it is over after that time.
fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}
