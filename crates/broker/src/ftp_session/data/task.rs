//! One data channel: what it needs from its session, and how it reports to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker_config::{FtpOptions, ListenSide};
use broker_ipc::Reason;
use broker_ssh::{Channel, Forwards, Pool, Target};
use ftp_proto::{Announced, DataEnd, DataEvent, DataId};
use tokio::sync::{SetOnce, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::advertised::Advertised;
use super::destination::DataHost;
use crate::announced::AnnouncedPorts;
use crate::client_tls::SessionTls;
use crate::events::Fault;
use crate::ftp_session::server::DirectConnection;
use crate::own_host::ClientOwner;
use crate::refusal::Refusal;
use crate::registry::DataEntry;
use crate::tunnel::Tunnel;

/// Why there is no address to announce.
const UNKNOWN_ADDRESS: &str = "the SSH server does not tell at which of its addresses the client reached it: set advertise-address for this tunnel, or use EPSV";

/// How long a client waits for a reply that is there already. curl 7.88 looks for it right behind its command and then
/// sleeps for a second if it has come, which no server near or far had been fast enough for.
const NOT_BEFORE: Duration = Duration::from_millis(3);

/// The reports of a data channel to its session.
#[derive(Debug)]
pub(crate) enum DataReport {
    /// The address to announce, or why there is none.
    Offered(Result<SocketAddr, Refusal>),
    /// A protocol event.
    Event(DataEvent),
}

/// A session's control connection, as far as its data channels need it.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    /// The tunnel that the client came through.
    pub(crate) tunnel: Arc<Tunnel>,
    /// The destination of the control connection, as the tunnel or its client names it.
    pub(crate) target: Target,
    /// The tunnel's options.
    pub(crate) ftp: FtpOptions,
    /// The SSH connections that the session uses.
    pub(crate) pool: Arc<Pool>,
    /// The remote forwards for data connections.
    pub(crate) forwards: Forwards,
    /// The address of this host on which the connection arrived. In a remote tunnel it arrived at the SSH server.
    pub(crate) local: SocketAddr,
    /// The address that the client connected to: `local`, a proxy's, or one of the SSH server. The unspecified one if the
    /// SSH server does not tell, and the broker does not know it.
    pub(crate) reached: IpAddr,
    /// The client's own address.
    pub(crate) peer: SocketAddr,
    /// The host string with which the control connection was opened.
    pub(crate) server: String,
    /// Where the data connections of a SOCKS client are expected; `None`: the client connects to data listeners.
    pub(crate) announced_ports: Option<Arc<AnnouncedPorts>>,
    /// The direct control connection to the server of a remote tunnel.
    pub(crate) direct: Option<DirectConnection>,
    /// Where earlier data connections were opened.
    pub(crate) data_host: DataHost,
    /// Who owns the client's end.
    pub(crate) owner: ClientOwner,
    /// TLS for the client's connections, if the tunnel has it.
    pub(crate) tls: Option<Arc<SessionTls>>,
    /// What the client learns instead of `reached`.
    pub(crate) advertised: Advertised,
    /// Cancelled when the client has ended its side.
    pub(crate) client_ended: CancellationToken,
}

/// A session's signals to one of its data channels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// The client asked for the channel, which was opened ahead, and which leads to this address.
    pub(crate) announce: Arc<SetOnce<Announced>>,
    /// The announced address is withdrawn before any transfer.
    pub(crate) withdraw: CancellationToken,
    /// The client asked for a transfer that this channel should serve.
    pub(crate) wanted: CancellationToken,
    /// The transfer is over and known to be complete.
    pub(crate) over: CancellationToken,
    /// The client sends nothing that matters on this channel.
    pub(crate) half_close: CancellationToken,
}

/// One data channel of one session.
pub(crate) struct DataTask {
    pub(crate) id: DataId,
    pub(crate) control: Arc<ControlConnection>,
    /// TLS for the client's end, if it must use it.
    pub(crate) tls: Option<Arc<SessionTls>>,
    pub(crate) entry: Arc<DataEntry>,
    pub(crate) signals: Signals,
    /// The last requested liveness check.
    pub(crate) liveness_checks: watch::Receiver<u64>,
    pub(crate) reports: mpsc::Sender<(DataId, Box<DataReport>)>,
    /// Active only: the FTP server has refused an address of the usual family.
    pub(crate) other_family: bool,
    /// The announced address; `None` if the session tells it when the client asks for the channel.
    pub(crate) target: Option<Announced>,
    /// Whether the client has not asked for it yet.
    pub(crate) ahead: bool,
}

impl ControlConnection {
    /// Whether the client is on the host of the SSH server that listens for it.
    pub(crate) fn is_on_ssh_server(&self) -> bool {
        self.tunnel.spec.listens == ListenSide::SshServer && self.reached.is_loopback()
    }

    /// The address to announce: the one of the tunnel's settings, otherwise the one that the client reached. An announcement
    /// that names no host, such as 229, needs none.
    ///
    /// # Errors
    /// What to tell the client if there is none.
    pub(super) async fn told_address(&self, names_host: bool) -> Result<IpAddr, Refusal> {
        match &self.ftp.advertise_address {
            // The outside address of a network is not that of the SSH server's own host.
            // If the server's reply names none, the client's will hardly do either, so the client gets its port even if
            // the lookup fails.
            Some(name) if !self.is_on_ssh_server() => {
                let found = self.advertised.address(name, self.peer.ip()).await;
                found.or_else(|reason| match names_host {
                    true => Err(Refusal::because(Reason::Config, reason)),
                    false => Ok(self.reached),
                })
            }
            Some(_) | None if names_host && self.reached.is_unspecified() => {
                Err(Refusal::because(Reason::Config, UNKNOWN_ADDRESS))
            }
            Some(_) | None => Ok(self.reached),
        }
    }
}

impl DataTask {
    /// Reports that the SSH channel is open.
    pub(super) async fn opened(&self, channel: &Channel) {
        self.entry.channel.carried_by(channel.info().connection);
        self.tell(DataEvent::Opened).await;
    }

    /// The address to which the channel leads, once that is known.
    pub(super) async fn target(&self) -> Announced {
        match self.target {
            Some(target) => target,
            None => *self.signals.announce.wait().await,
        }
    }

    /// Returns once the client has asked for the channel, which was opened ahead.
    pub(super) async fn asked(&self) {
        self.signals.announce.wait().await;
    }

    /// Holds back a reply that was there before the client asked for it.
    pub(super) async fn not_before(&self, is_open: bool) {
        sleep(NOT_BEFORE).await;
        debug!(
            is_open,
            "the client asked for the data connection that was prepared"
        );
    }

    /// Why the broker cut the channel.
    pub(super) fn stop_reason(&self) -> String {
        let given = self.entry.label().cut_reason;
        given.unwrap_or_else(|| "the broker was stopped".to_owned())
    }

    /// The end of a channel whose server cannot be reached although the client has its address.
    pub(super) fn unreached(&self, refusal: &Refusal) -> DataEnd {
        let by = Fault::from(refusal.why.party());
        self.entry.relabel(|label| label.fault = Some(by));
        DataEnd::Cut(refusal.to_string())
    }

    /// Reports the address to announce, or why there is none.
    pub(super) async fn offer(&self, offer: Result<SocketAddr, Refusal>) {
        self.report(DataReport::Offered(offer)).await;
    }

    /// Reports an event to the session.
    pub(super) async fn tell(&self, event: DataEvent) {
        self.report(DataReport::Event(event)).await;
    }

    /// A session that has ended reads no reports; the transfer continues without it.
    async fn report(&self, report: DataReport) {
        let _ = self.reports.send((self.id, Box::new(report))).await;
    }
}
