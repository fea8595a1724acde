//! What is shown of one session, and of each of its data channels.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use broker_ssh::SpliceProgress;
use ftp_proto::{Direction, Mode};
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// One client's connection through a tunnel.
#[derive(Debug)]
pub(crate) struct SessionEntry {
    /// Number of the session; also the number of its control channel.
    pub(crate) id: u64,
    /// The tunnel it came through; its listener may be closed by now.
    pub(crate) tunnel: SessionTunnel,
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// When it was accepted.
    pub(crate) since: SystemTime,
    /// Ends the session at once.
    pub(crate) stop: CancellationToken,
    /// The SSH connection that carries its control channel; 0 until there is one.
    pub(crate) connection: AtomicU64,
    /// The bytes that went each way: on the control channel, or through the plain tunnel.
    pub(crate) progress: Arc<SpliceProgress>,
    label: Mutex<String>,
    data: Mutex<BTreeMap<u64, Arc<DataEntry>>>,
}

/// What a session shows of its tunnel.
#[derive(Debug, Clone)]
pub(crate) struct SessionTunnel {
    /// Number of the tunnel.
    pub(crate) id: u64,
    /// Whether it carries FTP; else it carries bytes, untouched.
    pub(crate) is_ftp: bool,
    /// `host:port` of the destination.
    pub(crate) destination: String,
}

impl SessionEntry {
    /// A session that has just been accepted.
    pub(crate) fn new(
        id: u64,
        tunnel: SessionTunnel,
        client: SocketAddr,
        stop: CancellationToken,
    ) -> Self {
        Self {
            id,
            stop,
            tunnel,
            client,
            since: SystemTime::now(),
            connection: AtomicU64::new(0),
            progress: Arc::default(),
            label: Mutex::default(),
            data: Mutex::default(),
        }
    }

    /// What the session does: the last command, without secrets.
    pub(crate) fn label(&self) -> String {
        lock(&self.label).clone()
    }

    pub(crate) fn set_label(&self, label: String) {
        *lock(&self.label) = label;
    }

    /// The session's data channels, oldest first.
    pub(crate) fn data(&self) -> Vec<Arc<DataEntry>> {
        lock(&self.data).values().cloned().collect()
    }

    pub(crate) fn add_data(&self, entry: Arc<DataEntry>) {
        lock(&self.data).insert(entry.id, entry);
    }

    pub(crate) fn remove_data(&self, id: u64) {
        lock(&self.data).remove(&id);
    }
}

/// One data channel, from the moment an address was offered.
#[derive(Debug)]
pub(crate) struct DataEntry {
    /// Number of the channel.
    pub(crate) id: u64,
    /// Passive or active.
    pub(crate) mode: Mode,
    /// When it was offered.
    pub(crate) since: SystemTime,
    /// Ends it as a cut.
    pub(crate) stop: CancellationToken,
    /// The SSH connection that carries it; 0 until there is one.
    pub(crate) connection: AtomicU64,
    /// The bytes that went each way.
    pub(crate) progress: Arc<SpliceProgress>,
    label: Mutex<DataLabel>,
}

/// What a data channel is used for.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataLabel {
    /// Where it leads.
    pub(crate) target: String,
    /// The FTP command it serves, once there is one.
    pub(crate) command: String,
    /// Which way the data goes, once known.
    pub(crate) direction: Option<Direction>,
    /// What it is doing.
    pub(crate) state: DataState,
    /// Why it was cut from here.
    pub(crate) cut_reason: Option<String>,
    /// When both ends were there.
    pub(crate) joined: Option<SystemTime>,
}

/// What a data channel is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum DataState {
    /// An address was given out; nobody has come yet.
    #[default]
    Offered,
    /// The SSH channel is open.
    Open,
    /// Both ends are joined.
    Transferring,
}

impl DataEntry {
    /// A data channel that is about to be offered.
    pub(crate) fn new(id: u64, mode: Mode, stop: CancellationToken) -> Self {
        Self {
            id,
            mode,
            since: SystemTime::now(),
            stop,
            connection: AtomicU64::new(0),
            progress: Arc::default(),
            label: Mutex::default(),
        }
    }

    /// What it is used for.
    pub(crate) fn label(&self) -> DataLabel {
        lock(&self.label).clone()
    }

    /// Ends it as a cut, for this reason.
    pub(crate) fn cut(&self, reason: &str) {
        self.relabel(|label| label.cut_reason = Some(reason.to_owned()));
        self.stop.cancel();
    }

    pub(crate) fn relabel(&self, change: impl FnOnce(&mut DataLabel)) {
        change(&mut lock(&self.label));
    }
}
