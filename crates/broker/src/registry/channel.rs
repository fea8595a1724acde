//! What is shown of one channel, and of the purpose of a data channel.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use broker_config::ListenSide;
use broker_ssh::SpliceProgress;
use ftp_proto::{Direction, Mode};
use tokio_util::sync::CancellationToken;

use super::counters::read;
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
