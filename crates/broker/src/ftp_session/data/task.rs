//! One data channel: what it needs of its session, and how it reports to it.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::FtpOptions;
use broker_ssh::{Channel, Forwards, Pool};
use ftp_proto::{DataEvent, DataId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::destination::DataHost;
use crate::ftp_session::client_owner::ClientOwner;
use crate::registry::DataEntry;
use crate::tunnel::Tunnel;

/// What a data channel tells its session.
#[derive(Debug)]
pub(crate) enum DataReport {
    /// The offer stands at this address, or can't be made for this reason.
    Offered(Result<SocketAddr, String>),
    /// Something happened on the way.
    Event(DataEvent),
}

/// A session's control connection, as far as its data channels follow it.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    /// The tunnel that the client came through.
    pub(crate) tunnel: Arc<Tunnel>,
    /// The tunnel's options.
    pub(crate) ftp: FtpOptions,
    /// The SSH connections that the session uses.
    pub(crate) pool: Arc<Pool>,
    /// What active data connections come in by.
    pub(crate) forwards: Forwards,
    /// The address at which the client reached us.
    pub(crate) local: SocketAddr,
    /// The client's own address.
    pub(crate) peer: SocketAddr,
    /// The host string the control channel was opened with.
    pub(crate) server: String,
    /// Where data connections were opened before.
    pub(crate) data_host: DataHost,
    /// Whose the client's end is.
    pub(crate) owner: ClientOwner,
    /// Cancelled when the client has ended its side.
    pub(crate) client_ended: CancellationToken,
}

/// What a session tells one of its data channels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// The offer is taken back while nothing was transferred.
    pub(crate) withdraw: CancellationToken,
    /// A transfer was asked for that this channel is to serve.
    pub(crate) wanted: CancellationToken,
    /// The transfer is over and known to be whole.
    pub(crate) over: CancellationToken,
}

/// One data channel of one session.
pub(crate) struct DataTask {
    pub(crate) id: DataId,
    pub(crate) control: Arc<ControlConnection>,
    pub(crate) entry: Arc<DataEntry>,
    pub(crate) signals: Signals,
    /// The last question for a sign of life.
    pub(crate) liveness_checks: watch::Receiver<u64>,
    pub(crate) reports: mpsc::Sender<(DataId, DataReport)>,
}

impl DataTask {
    /// The SSH channel is open.
    pub(super) async fn opened(&self, channel: &Channel) {
        self.entry.channel.carried_by(channel.info().connection);
        self.tell(DataEvent::Opened).await;
    }

    /// Why the channel was cut from here.
    pub(super) fn stop_reason(&self) -> String {
        let given = self.entry.label().cut_reason;
        given.unwrap_or_else(|| "the broker was stopped".to_owned())
    }

    /// Tells the session where the offer stands, or why it can't be made.
    pub(super) async fn offer(&self, offer: Result<SocketAddr, String>) {
        self.report(DataReport::Offered(offer)).await;
    }

    /// Tells the session what has happened.
    pub(super) async fn tell(&self, event: DataEvent) {
        self.report(DataReport::Event(event)).await;
    }

    /// A session that has ended reads no reports; the transfer goes on without it.
    async fn report(&self, report: DataReport) {
        let _ = self.reports.send((self.id, report)).await;
    }
}
