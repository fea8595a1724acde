//! What the daemon tells of itself: the supervisor's state as the local socket's types.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_config::{ListenAddress, LocalKind};
use broker_ipc::RpcError;
use broker_ipc::types::{
    ChannelInfo, ChannelKind, ChannelState, Connection, ConnectionDetail, ConnectionKind,
    ConnectionState, DaemonStatus, DataMode, Direction, Profile, TunnelKind, TunnelListener,
};
use broker_ssh::{ConnectionInfo, PoolSnapshot};
use ftp_proto::Mode;

use crate::listeners::OpenTunnel;
use crate::registry::{DataEntry, DataState, SessionEntry, TrafficTotals, read};
use crate::supervisor::{ProfilePool, Supervisor};

/// What stands in a MAC's place where the cipher authenticates by itself.
const IMPLICIT_MAC: &str = "implicit";

impl Supervisor {
    pub(crate) fn status(&self) -> DaemonStatus {
        let carried = self.registry.traffic();
        DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: unix(self.started),
            config: self.files.iter().map(|f| f.display().to_string()).collect(),
            profiles: self.config.profiles.len() as u64,
            tunnels: self.tunnels.len() as u64,
            sessions: self.registry.sessions().len() as u64,
            connections: self.list_connections().len() as u64,
            channels: self.list_channels().len() as u64,
            transfers: carried.transfers,
            bytes_up: carried.bytes_up,
            bytes_down: carried.bytes_down,
            stopping: self.shutdown.drain.is_cancelled(),
        }
    }

    pub(crate) fn list_profiles(&self) -> Vec<Profile> {
        let profiles = self.config.profiles.iter();
        profiles
            .map(|profile| {
                let owner = self.pools.get(&profile.id);
                let seen = owner.map(ProfilePool::snapshot).unwrap_or_default();
                let tunnels = self.tunnels.values().filter(|t| t.profile == profile.id);
                Profile {
                    id: profile.id.clone(),
                    name: profile.name.clone(),
                    host: profile.host.clone(),
                    port: profile.port,
                    user: profile.user.clone(),
                    connections: owner.map_or(0, |o| o.connections.list().len() as u64),
                    tunnels: tunnels.count() as u64,
                    last_error: seen.last_error.map(|error| error.to_string()),
                    retry_in: seen.retry_in.map(whole_seconds),
                }
            })
            .collect()
    }

    pub(crate) fn list_connections(&self) -> Vec<Connection> {
        let pools = self.pools.values();
        pools
            .flat_map(|owner| {
                let connections = owner.connections.list();
                connections.into_iter().map(|c| connection_view(owner, &c))
            })
            .collect()
    }

    pub(crate) fn connection_status(&self, id: u64) -> Result<ConnectionDetail, RpcError> {
        let connection = self.list_connections().into_iter().find(|c| c.id == id);
        let connection = connection.ok_or_else(|| {
            RpcError::not_found(format!("there is no connection {id}; see list-connections"))
        })?;
        let mut channels = self.list_channels();
        channels.retain(|channel| channel.connection == Some(id));
        Ok(ConnectionDetail {
            connection,
            channels,
        })
    }

    pub(crate) fn list_channels(&self) -> Vec<ChannelInfo> {
        let mut channels = Vec::new();
        for session in self.registry.sessions() {
            channels.push(control_view(&session));
            channels.extend(session.data().iter().map(|data| data_view(&session, data)));
        }
        channels
    }

    pub(crate) fn listener_view(&self, open: &OpenTunnel) -> TunnelListener {
        let tunnel = &open.tunnel;
        let carried = TrafficTotals::sum(
            [tunnel.totals.as_ref()],
            &self.registry.sessions_of(tunnel.id),
        );
        let owner = self.pools.get(&open.profile);
        TunnelListener {
            id: tunnel.id,
            kind: match tunnel.spec.kind {
                LocalKind::Ftp(_) => TunnelKind::Ftp,
                LocalKind::Tcp => TunnelKind::Tcp,
            },
            address: bare_address(tunnel.spec.listen_address),
            port: open.port,
            dst_host: tunnel.spec.dst_host.clone(),
            dst_port: tunnel.spec.dst_port,
            profile: self
                .config
                .profile_by_id(&open.profile)
                .map(|p| p.id.clone()),
            target: owner.map(target).unwrap_or_default(),
            relay: tunnel.spec.allow_relay,
            state: open.state,
            reason: (open.reason.clone()).or_else(|| owner.and_then(ProfilePool::trouble)),
            sessions_active: carried.sessions_active,
            sessions_total: read(&tunnel.totals.sessions),
            transfers: carried.transfers,
            bytes_up: carried.bytes_up,
            bytes_down: carried.bytes_down,
            origin: open.origin,
        }
    }
}

impl ProfilePool {
    fn snapshot(&self) -> PoolSnapshot {
        self.connections.shared().snapshot()
    }

    fn trouble(&self) -> Option<String> {
        self.snapshot().trouble().map(|error| error.to_string())
    }
}

fn connection_view(owner: &ProfilePool, info: &ConnectionInfo) -> Connection {
    let agreed = info.negotiated.as_ref();
    Connection {
        id: info.id,
        profile: (!owner.adhoc).then(|| owner.profile.id.clone()),
        target: format!("{}#{}", owner.profile.host, owner.profile.port),
        user: owner.user.clone(),
        kind: match info.kind {
            broker_ssh::ConnectionKind::Control => ConnectionKind::Control,
            broker_ssh::ConnectionKind::Data => ConnectionKind::Data,
        },
        state: match info.phase {
            broker_ssh::ConnectionPhase::Connecting => ConnectionState::Connecting,
            broker_ssh::ConnectionPhase::Closed => ConnectionState::Closing,
            broker_ssh::ConnectionPhase::Idle => ConnectionState::Idle,
            broker_ssh::ConnectionPhase::Leased => ConnectionState::Active,
            broker_ssh::ConnectionPhase::Open if info.channels == 0 => ConnectionState::Idle,
            broker_ssh::ConnectionPhase::Open => ConnectionState::Active,
        },
        since: unix(info.since),
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
        last_error: owner.trouble(),
    }
}

fn control_view(session: &SessionEntry) -> ChannelInfo {
    let connection = connection(&session.connection);
    let label = session.label();
    let (up, down) = (
        read(&session.progress.to_channel),
        read(&session.progress.from_channel),
    );
    ChannelInfo {
        id: session.id,
        connection,
        tunnel: session.tunnel.id,
        session: session.id,
        kind: match session.tunnel.is_ftp {
            true => ChannelKind::Control,
            false => ChannelKind::Tcp,
        },
        mode: None,
        direction: None,
        command: (!label.is_empty()).then_some(label),
        state: match connection {
            Some(_) => ChannelState::Open,
            None => ChannelState::Opening,
        },
        bytes_up: up,
        bytes_down: down,
        rate: rate(up + down, session.since),
        since: unix(session.since),
        target: session.tunnel.destination.clone(),
        client: session.client.to_string(),
    }
}

fn data_view(session: &SessionEntry, data: &DataEntry) -> ChannelInfo {
    let label = data.label();
    let (up, down) = (
        read(&data.progress.to_channel),
        read(&data.progress.from_channel),
    );
    ChannelInfo {
        id: data.id,
        connection: connection(&data.connection),
        tunnel: session.tunnel.id,
        session: session.id,
        kind: ChannelKind::Data,
        mode: Some(match data.mode {
            Mode::Passive => DataMode::Passive,
            Mode::Active => DataMode::Active,
        }),
        direction: match label.direction {
            Some(ftp_proto::Direction::Upload) => Some(Direction::Upload),
            Some(ftp_proto::Direction::Download) => Some(Direction::Download),
            Some(ftp_proto::Direction::Unknown) | None => None,
        },
        command: (!label.command.is_empty()).then_some(label.command),
        state: match label.state {
            DataState::Offered | DataState::Open => ChannelState::Opening,
            DataState::Transferring => ChannelState::Open,
        },
        bytes_up: up,
        bytes_down: down,
        rate: rate(up + down, label.joined.unwrap_or(data.since)),
        since: unix(data.since),
        target: label.target,
        client: session.client.to_string(),
    }
}

fn connection(id: &AtomicU64) -> Option<u64> {
    Some(read(id)).filter(|id| *id != 0)
}

/// The address alone: brackets belong where a port follows, and whoever prints one adds them.
fn bare_address(address: ListenAddress) -> String {
    match address {
        ListenAddress::Address(ip) => ip.to_string(),
        ListenAddress::All => address.to_string(),
    }
}

/// The user and server as a person writes them.
fn target(owner: &ProfilePool) -> String {
    let profile = &owner.profile;
    format!("{}@{}#{}", owner.user, profile.host, profile.port)
}

/// Bytes a second since then.
fn rate(bytes: u64, since: SystemTime) -> u64 {
    let elapsed = since.elapsed().unwrap_or_default().as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / elapsed).unwrap_or(u64::MAX)
}

/// A wait in seconds, rounded up: after so many it is over.
fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
