//! What is shown of one session and each of its data channels.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use broker_config::ListenSide;
use broker_ssh::SpliceProgress;
use ftp_proto::{Direction, Mode};
use tokio_util::sync::CancellationToken;

use super::counters::read;
use super::transfers::RunningTransfer;
use crate::events::Fault;
use crate::sync::lock;

/// The common data of a channel.
#[derive(Debug)]
pub(crate) struct ChannelEntry {
    /// Number of the channel.
    pub(crate) id: u64,
    /// When it was created.
    pub(crate) since: SystemTime,
    /// Ends it at once.
    pub(crate) stop: CancellationToken,
    /// The side on which the client is.
    client_side: ListenSide,
    /// The bytes that went each way.
    pub(crate) progress: Arc<SpliceProgress>,
    connection: OnceLock<u64>,
}

impl ChannelEntry {
    /// A channel that is about to be opened, for a client on this side.
    pub(crate) fn new(id: u64, client_side: ListenSide, stop: CancellationToken) -> Self {
        Self {
            id,
            client_side,
            stop,
            since: SystemTime::now(),
            progress: Arc::default(),
            connection: OnceLock::new(),
        }
    }

    /// The SSH connection that carries it, once there is one.
    pub(crate) fn connection(&self) -> Option<u64> {
        self.connection.get().copied()
    }

    /// Records the SSH connection that carries it.
    pub(crate) fn carried_by(&self, connection: u64) {
        self.connection.get_or_init(|| connection);
    }

    /// The bytes that went up: from the client to the server.
    pub(crate) fn up(&self) -> &AtomicU64 {
        match self.client_side {
            ListenSide::OwnHost => &self.progress.to_channel,
            ListenSide::SshServer => &self.progress.from_channel,
        }
    }

    /// The bytes that went down: from the server to the client.
    pub(crate) fn down(&self) -> &AtomicU64 {
        match self.client_side {
            ListenSide::OwnHost => &self.progress.from_channel,
            ListenSide::SshServer => &self.progress.to_channel,
        }
    }

    /// The bytes that went up and down.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (read(self.up()), read(self.down()))
    }
}

/// One client's connection through a tunnel.
#[derive(Debug)]
pub(crate) struct SessionEntry {
    /// Its control channel, or the channel of a plain tunnel. The session has the same number and ends with it.
    pub(crate) channel: ChannelEntry,
    /// The tunnel it came through, whose listener may be closed by now.
    pub(crate) tunnel: SessionTunnel,
    /// The client's address.
    pub(crate) client: SocketAddr,
    label: Mutex<String>,
    tls: OnceLock<String>,
    end_reason: OnceLock<String>,
    ftp_user: Mutex<Option<String>>,
    data: Mutex<BTreeMap<u64, Arc<DataEntry>>>,
    transfer: Mutex<Option<Arc<RunningTransfer>>>,
}

/// What a session shows of its tunnel.
#[derive(Debug, Clone)]
pub(crate) struct SessionTunnel {
    /// Number of the tunnel.
    pub(crate) id: u64,
    /// Whether it carries FTP; otherwise it carries bytes unchanged.
    pub(crate) is_ftp: bool,
    /// `host:port` of the destination.
    pub(crate) destination: String,
    /// The profile that configures it; `None` if a command has opened it.
    pub(crate) profile: Option<String>,
}

impl SessionEntry {
    /// A session that has just been accepted.
    pub(crate) fn new(channel: ChannelEntry, tunnel: SessionTunnel, client: SocketAddr) -> Self {
        Self {
            channel,
            tunnel,
            client,
            label: Mutex::default(),
            tls: OnceLock::new(),
            end_reason: OnceLock::new(),
            ftp_user: Mutex::default(),
            data: Mutex::default(),
            transfer: Mutex::default(),
        }
    }

    /// Ends the session, for this reason.
    pub(crate) fn end(&self, reason: &str) {
        self.end_reason.get_or_init(|| reason.to_owned());
        self.channel.stop.cancel();
    }

    /// Why the session was told to end.
    pub(crate) fn stop_reason(&self) -> &str {
        let given = self.end_reason.get();
        given.map_or("the broker was stopped", String::as_str)
    }

    /// What the session does: the last command, without secrets.
    pub(crate) fn label(&self) -> String {
        lock(&self.label).clone()
    }

    pub(crate) fn set_label(&self, label: String) {
        *lock(&self.label) = label;
    }

    /// The TLS version and cipher of the client's control connection, once it uses TLS.
    pub(crate) fn tls(&self) -> Option<String> {
        self.tls.get().cloned()
    }

    /// Records the TLS version and cipher.
    pub(crate) fn set_tls(&self, agreed: String) {
        self.tls.get_or_init(|| agreed);
    }

    /// The name that the client has logged in with at the FTP server.
    pub(crate) fn ftp_user(&self) -> Option<String> {
        lock(&self.ftp_user).clone()
    }

    /// Records a login.
    pub(crate) fn set_ftp_user(&self, user: Option<String>) {
        *lock(&self.ftp_user) = user;
    }

    /// The transfer that runs.
    pub(crate) fn transfer(&self) -> Option<Arc<RunningTransfer>> {
        lock(&self.transfer).clone()
    }

    /// Records the transfer that runs, or that none does.
    pub(crate) fn set_transfer(&self, transfer: Option<Arc<RunningTransfer>>) {
        *lock(&self.transfer) = transfer;
    }

    /// The session's data channels, oldest first.
    pub(crate) fn data(&self) -> Vec<Arc<DataEntry>> {
        lock(&self.data).values().cloned().collect()
    }

    pub(crate) fn add_data(&self, entry: Arc<DataEntry>) {
        lock(&self.data).insert(entry.channel.id, entry);
    }

    pub(crate) fn remove_data(&self, id: u64) {
        lock(&self.data).remove(&id);
    }
}

/// One data channel, from the moment an address was announced.
#[derive(Debug)]
pub(crate) struct DataEntry {
    pub(crate) channel: ChannelEntry,
    /// Passive or active.
    pub(crate) mode: Mode,
    label: Mutex<DataLabel>,
}

/// The purpose of a data channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataLabel {
    /// Where it leads.
    pub(crate) target: String,
    /// The FTP command it serves, once there is one.
    pub(crate) command: String,
    /// The direction of the data, once known.
    pub(crate) direction: Option<Direction>,
    /// The TLS version and cipher of the client's end, if it uses TLS.
    pub(crate) tls: Option<String>,
    /// Why the broker cut it.
    pub(crate) cut_reason: Option<String>,
    /// Whose fault its failure is.
    pub(crate) fault: Option<Fault>,
    /// When both ends were connected: since then it carries data.
    pub(crate) joined: Option<SystemTime>,
}

impl DataEntry {
    /// A data channel whose address is about to be announced.
    pub(crate) fn new(channel: ChannelEntry, mode: Mode) -> Self {
        Self {
            channel,
            mode,
            label: Mutex::default(),
        }
    }

    /// The purpose of the channel.
    pub(crate) fn label(&self) -> DataLabel {
        lock(&self.label).clone()
    }

    /// Cuts it, for this reason.
    pub(crate) fn cut(&self, reason: &str) {
        self.relabel(|label| label.cut_reason = Some(reason.to_owned()));
        self.channel.stop.cancel();
    }

    pub(crate) fn relabel(&self, change: impl FnOnce(&mut DataLabel)) {
        change(&mut lock(&self.label));
    }
}
