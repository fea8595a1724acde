//! What is shown of one session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use super::channel::{ChannelEntry, DataEntry};
use super::transfers::RunningTransfer;
use crate::events::{SessionFacts, TunnelFacts};
use crate::sync::lock;

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
    /// The id of the profile that leads to its server, or the target that a command named.
    pub(crate) profile_id: String,
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

    /// What events say of it.
    pub(crate) fn facts(&self) -> SessionFacts {
        SessionFacts {
            id: self.channel.id,
            tunnel: TunnelFacts {
                id: self.tunnel.id,
                profile: self.tunnel.profile_id.clone(),
            },
            is_ftp: self.tunnel.is_ftp,
            client: self.client,
            destination: self.tunnel.destination.clone(),
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
