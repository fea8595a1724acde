//! The registry: what is going on right now, as counters and labels that anyone may read.
//!
//! Sessions and transfers write here as they go; `status` and the list commands read. Nothing waits
//! for a reader: counters are atomics, labels stand behind short locks that no await crosses.

mod traffic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use broker_ssh::Progress;
use ftp_proto::{Direction, Mode};
use tokio_util::sync::CancellationToken;

pub(crate) use traffic::TrafficTotals;

use crate::tunnel::Tunnel;

/// Totals of one tunnel since it was opened.
#[derive(Debug, Default)]
pub(crate) struct TunnelTotals {
    /// Sessions accepted.
    pub(crate) sessions: AtomicU64,
    /// Transfers the FTP server completed and the client was told so.
    pub(crate) transfers_ok: AtomicU64,
    /// Transfers running right now.
    pub(crate) transfers_active: AtomicU64,
    /// Transfers that ended in a failure.
    pub(crate) transfers_failed: AtomicU64,
    /// Bytes of ended data channels from client to server.
    pub(crate) bytes_up: AtomicU64,
    /// Bytes of ended data channels from server to client.
    pub(crate) bytes_down: AtomicU64,
}

impl TunnelTotals {
    /// Takes over what another has counted of things that are over.
    fn take_over(&self, other: &Self) {
        add(&self.sessions, read(&other.sessions));
        add(&self.transfers_ok, read(&other.transfers_ok));
        add(&self.transfers_failed, read(&other.transfers_failed));
        add(&self.bytes_up, read(&other.bytes_up));
        add(&self.bytes_down, read(&other.bytes_down));
    }
}

/// Adds to a counter; the order against other counters does not matter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Takes one from a counter of what is going on.
pub(crate) fn drop_one(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// All sessions of the daemon.
#[derive(Debug, Default)]
pub(crate) struct SessionRegistry {
    next_id: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Arc<SessionEntry>>>,
    past: TunnelTotals,
}

impl SessionRegistry {
    /// Keeps the totals of a tunnel that is gone.
    pub(crate) fn keep(&self, totals: &TunnelTotals) {
        self.past.take_over(totals);
    }

    /// The totals of all tunnels that are gone.
    pub(crate) fn past(&self) -> &TunnelTotals {
        &self.past
    }

    /// A number that no other session, channel or tunnel of this daemon has.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a session on the registry until the returned guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, session: SessionEntry) -> Registration {
        let entry = Arc::new(session);
        lock(&self.sessions).insert(entry.id, entry.clone());
        Registration {
            registry: self.clone(),
            entry,
        }
    }

    /// The sessions, oldest first.
    pub(crate) fn sessions(&self) -> Vec<Arc<SessionEntry>> {
        lock(&self.sessions).values().cloned().collect()
    }
}

/// Takes a session off the registry when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<SessionRegistry>,
    /// The session.
    pub(crate) entry: Arc<SessionEntry>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.registry.sessions).remove(&self.entry.id);
    }
}

/// One client's connection through a tunnel.
#[derive(Debug)]
pub(crate) struct SessionEntry {
    /// Number of the session; also the number of its control channel.
    pub(crate) id: u64,
    /// The tunnel it came through; its listener may be closed by now.
    pub(crate) tunnel: Arc<Tunnel>,
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// When it was accepted.
    pub(crate) since: SystemTime,
    /// Ends the session at once.
    pub(crate) stop: CancellationToken,
    /// The SSH connection that carries its control channel; 0 until there is one.
    pub(crate) connection: AtomicU64,
    /// The bytes that went each way: on the control channel, or through the plain tunnel.
    pub(crate) progress: Arc<Progress>,
    label: Mutex<String>,
    data: Mutex<BTreeMap<u64, Arc<DataEntry>>>,
}

impl SessionEntry {
    /// A session that has just been accepted.
    pub(crate) fn new(id: u64, tunnel: Arc<Tunnel>, client: SocketAddr) -> Self {
        Self {
            id,
            stop: tunnel.shutdown.kill.child_token(),
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
    pub(crate) progress: Arc<Progress>,
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

/// A label stays readable when a task that held its lock died.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
