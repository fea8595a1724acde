//! Data channels: the listener or forward that is offered, and the copying once both ends are there.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use broker_config::FtpOptions;
use broker_ssh::{
    Channel, Forwards, Incoming, Liveness, Pool, RemoteForward, SpliceEnd, Target, splice,
};
use ftp_proto::{Announced, DataEnd, DataEvent, DataId};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::client_owner::{ClientOwner, Objection};
use super::destination::{self, DataHost};
use crate::own_host::{Host, Listener, Owner, notice_when_idle, reset_when_dropped};
use crate::registry::{DataEntry, DataState, add, read};
use crate::tunnel::{Tunnel, host_port};

/// How long the client's own port may take to answer in active mode. It is next door or behind a
/// relay; a client that does not listen answers at once.
const CLIENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the FTP server may take to connect in active mode once a transfer was asked for: one that has to fetch the file
/// from a tape first may take minutes.
const SERVER_PATIENCE: Duration = Duration::from_secs(600);

/// What a data channel tells its session.
#[derive(Debug)]
pub(crate) enum DataReport {
    /// The offer stands at this address, or can't be made for this reason.
    Offered(Result<SocketAddr, String>),
    /// Something happened on the way.
    Event(DataEvent),
}

/// Which ends that were passed on the session knows of.
#[derive(Debug, Default)]
struct ToldEnds {
    server: bool,
    client: bool,
}

/// How the control connection goes; data channels follow it.
#[derive(Debug, Clone)]
pub(crate) struct ControlPath {
    /// The SSH connections that the session uses.
    pub(crate) pool: Arc<Pool>,
    /// What active data connections come in by.
    pub(crate) forwards: Arc<Forwards>,
    /// The address at which the client reached us.
    pub(crate) local: SocketAddr,
    /// The client's own address.
    pub(crate) peer: SocketAddr,
    /// The host string the control channel was opened with.
    pub(crate) server: String,
    /// Where data connections were opened before.
    pub(crate) data_host: Arc<DataHost>,
    /// Whose the client's end is.
    pub(crate) owner: ClientOwner,
    /// Cancelled when the client has ended its side.
    pub(crate) client_ended: CancellationToken,
}

/// One data channel of one session.
pub(crate) struct DataTask {
    pub(crate) id: DataId,
    pub(crate) tunnel: Arc<Tunnel>,
    pub(crate) ftp: FtpOptions,
    pub(crate) path: ControlPath,
    pub(crate) entry: Arc<DataEntry>,
    /// Takes the offer back while nothing was transferred.
    pub(crate) withdraw: CancellationToken,
    /// Cancelled when the transfer is over and known to be whole.
    pub(crate) over: CancellationToken,
    /// The last question for a sign of life.
    pub(crate) questions: watch::Receiver<u64>,
    /// Cancelled, as a signal, when a transfer was asked for that this channel is to serve.
    pub(crate) wanted: CancellationToken,
    pub(crate) reports: mpsc::Sender<(DataId, DataReport)>,
}

impl DataTask {
    /// Offers the client a port that leads to what the server announced.
    pub(crate) async fn run_passive(self, announced: Announced, open_first: bool) {
        let met = tokio::select! {
            met = self.passive(announced, open_first) => met,
            () = self.withdraw.cancelled() => Err(DataEnd::Unused),
            () = self.entry.stop.cancelled() => {
                // The session may still wait for its offer; one that does not takes no notice.
                self.report(DataReport::Offered(Err(self.stop_reason()))).await;
                Err(DataEnd::Cut(self.stop_reason()))
            }
        };
        let end = match met {
            Ok((tcp, channel)) => self.join(tcp, channel).await,
            Err(end) => end,
        };
        self.end(end).await;
    }

    /// Has the SSH server listen for the FTP server, leading to the port the client announced.
    pub(crate) async fn run_active(self, client: SocketAddr) {
        let end = match self.forward().await {
            Ok(forward) => self.active(forward, client).await,
            Err(reason) => {
                self.report(DataReport::Offered(Err(reason))).await;
                DataEnd::Unused
            }
        };
        self.end(end).await;
    }

    /// Both ends of a passive data connection, once they are there.
    async fn passive(
        &self,
        announced: Announced,
        open_first: bool,
    ) -> Result<(TcpStream, Channel), DataEnd> {
        let refused = |reason| async {
            self.report(DataReport::Offered(Err(reason))).await;
            DataEnd::Unused
        };
        let channel = match open_first {
            true => Some(match self.open(announced).await {
                Ok(channel) => channel,
                Err(reason) => return Err(refused(reason).await),
            }),
            false => None,
        };
        // No earlier than its port is told: until then only strangers can come.
        let (listener, address) = match self.listen() {
            Ok(bound) => bound,
            Err(reason) => return Err(refused(reason).await),
        };
        self.report(DataReport::Offered(Ok(address))).await;
        let channel = async {
            match channel {
                Some(channel) => Ok(channel),
                None => self.open(announced).await.map_err(DataEnd::Cut),
            }
        };
        // A failed opening drops the listener and what it accepted: the client's connection is reset or refused.
        tokio::try_join!(self.accept(listener), channel)
    }

    fn listen(&self) -> Result<(Listener, SocketAddr), String> {
        let ip = self.path.local.ip();
        let host = &self.tunnel.host;
        let bound = match &self.ftp.passive_ports {
            None => Listener::bind(host, SocketAddr::new(ip, 0), false).map_err(|e| e.to_string()),
            Some(range) => first_free(host, ip, range.clone(), self.entry.id),
        };
        let listener =
            bound.map_err(|why| format!("no port for the data connection on {ip}: {why}"))?;
        if matches!(self.path.owner, ClientOwner::User(_)) {
            host.owners.hold_ends(&listener.socket());
        }
        let told = self.ftp.advertise_address.unwrap_or(ip);
        let address = SocketAddr::new(told, listener.address().port());
        Ok((listener, address))
    }

    /// Opens the channel to the FTP server's port, at the host that worked before in this session or at each candidate.
    async fn open(&self, announced: Announced) -> Result<Channel, String> {
        let hosts =
            destination::candidates(self.ftp.data_address, &self.path.server, announced.host);
        let data_host = (hosts.len() > 1).then_some(&self.path.data_host);
        let known = data_host.and_then(|choice| choice.known(&hosts));
        let (host, channel) = match known {
            Some(host) => match self.dial(host, announced.port).await {
                Ok(opened) => opened,
                Err(_) => self.race(hosts, announced.port).await?,
            },
            None => self.race(hosts, announced.port).await?,
        };
        if let Some(choice) = data_host {
            choice.worked(&host);
        }
        self.entry
            .relabel(|label| label.target = host_port(&host, announced.port));
        self.opened(&channel).await;
        Ok(channel)
    }

    /// Dials the hosts at the same time, each a moment after the one before. The first channel that opens is taken; those
    /// that open later are closed.
    async fn race(&self, hosts: Vec<String>, port: u16) -> Result<(String, Channel), String> {
        let dials = hosts.into_iter().map(|host| self.dial(host, port));
        destination::first_open(dials).await
    }

    async fn dial(&self, host: String, port: u16) -> Result<(String, Channel), String> {
        self.entry
            .relabel(|label| label.target = host_port(&host, port));
        let target = Target {
            host: host.clone(),
            port,
        };
        match self.path.pool.open_data(&target, self.path.peer).await {
            Ok(channel) => Ok((host, channel)),
            Err(error) => {
                debug!(%host, port, %error, "data channel not opened");
                Err(error.to_string())
            }
        }
    }

    async fn opened(&self, channel: &Channel) {
        let connection = channel.info().connection;
        self.entry.connection.store(connection, Ordering::Relaxed);
        self.entry.relabel(|label| label.state = DataState::Open);
        self.report(DataReport::Event(DataEvent::Opened)).await;
    }

    async fn forward(&self) -> Result<RemoteForward, String> {
        let (bind, ports) = (self.forward_address()?, self.ftp.active_ports.clone());
        let forward = tokio::select! {
            forward = self.path.forwards.open(&bind, ports) => forward.map_err(|e| e.to_string())?,
            () = self.withdraw.cancelled() => return Err("the session ended".to_owned()),
        };
        self.entry
            .connection
            .store(forward.connection(), Ordering::Relaxed);
        self.entry
            .relabel(|label| label.target = host_port(&bind, forward.port()));
        Ok(forward)
    }

    /// The address at which the FTP server can reach the SSH server's host.
    fn forward_address(&self) -> Result<String, String> {
        if let Some(address) = self.ftp.active_address {
            return Ok(address.to_string());
        }
        if self.path.server.eq_ignore_ascii_case("localhost") {
            return Ok(IpAddr::from(Ipv4Addr::LOCALHOST).to_string());
        }
        if destination::is_loopback(&self.path.server) {
            return Ok(self.path.server.clone());
        }
        Err("the FTP server is not on the SSH server's own host: set active-address for this tunnel, or use passive mode".to_owned())
    }

    async fn active(&self, mut forward: RemoteForward, client: SocketAddr) -> DataEnd {
        let ip = match forward.bind_address().parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => return DataEnd::Unused,
        };
        let address = SocketAddr::new(ip, forward.port());
        self.report(DataReport::Offered(Ok(address))).await;
        let incoming = tokio::select! {
            incoming = forward.accept() => incoming,
            () = self.withdraw.cancelled() => {
                forward.cancel().await;
                return DataEnd::Unused;
            }
            end = self.nobody_came() => {
                forward.cancel().await;
                return end;
            }
            () = self.entry.stop.cancelled() => return DataEnd::Cut(self.stop_reason()),
        };
        match incoming {
            Ok(incoming) => self.meet(forward, incoming, client).await,
            Err(cut) => DataEnd::Cut(cut.to_string()),
        }
    }

    /// Returns when a forward has waited for the FTP server for long enough: what nobody uses must not hold a port and a place.
    async fn nobody_came(&self) -> DataEnd {
        let idle = self.ftp.data_timeout;
        if timeout(idle, self.wanted.cancelled()).await.is_err() {
            debug!(
                ?idle,
                "active data connection given up: no transfer was asked for"
            );
            return DataEnd::Unused;
        }
        sleep(SERVER_PATIENCE).await;
        let waited = SERVER_PATIENCE.as_secs();
        DataEnd::Cut(format!(
            "the FTP server did not open the data connection within {waited} seconds"
        ))
    }

    /// Connects to the client's port before the server's connection is accepted, so that the server
    /// sees a failure where the client refuses.
    async fn meet(&self, forward: RemoteForward, incoming: Incoming, to: SocketAddr) -> DataEnd {
        let connected = tokio::select! {
            connected = self.connect_client(to) => connected,
            () = self.entry.stop.cancelled() => Err(self.stop_reason()),
        };
        let tcp = match connected {
            Ok(tcp) => tcp,
            Err(reason) => {
                incoming.reject().await;
                forward.cancel().await;
                return DataEnd::ClientGone(reason);
            }
        };
        let channel = incoming.accept().await;
        self.opened(&channel).await;
        // It has served its one connection; nobody else shall come in behind it.
        self.path.forwards.follow(forward);
        let end = self.join(tcp, channel).await;
        if end != DataEnd::Complete {
            // What is left of this transfer on its connection would come before the next one's data.
            self.path.forwards.discard();
        }
        end
    }

    /// Connects to the port that the client named, where that is the client's own and not another user's or the daemon's:
    /// this process connects with its own rights, which the client may lack.
    async fn connect_client(&self, client: SocketAddr) -> Result<TcpStream, String> {
        let named = if self.tunnel.host.listens_at(client) {
            Err(Objection::Stranger)
        } else {
            let tcp = self.reach_client(client).await?;
            self.target_objection(&tcp, client).map_or(Ok(tcp), Err)
        };
        named.map_err(|objection| {
            warn!(port = %client, "active data connection refused: {objection}");
            format!("the client's port {client} was not used: {objection}")
        })
    }

    /// Why what listens at the named port is not taken for the client; `None` where it is.
    fn target_objection(&self, tcp: &TcpStream, client: SocketAddr) -> Option<Objection> {
        let owners = &self.tunnel.host.owners;
        let owner = || match tcp.local_addr() {
            Ok(local) => owners.of_target(client, local),
            Err(_) => Owner::Unknown,
        };
        self.path.owner.objection(owner)
    }

    /// From the address the client knows us by: some clients check where data comes from. Until it is joined to a
    /// channel, its end is a reset.
    async fn reach_client(&self, client: SocketAddr) -> Result<TcpStream, String> {
        let connect = async {
            let socket = match client {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            let _ = socket.bind(SocketAddr::new(self.path.local.ip(), 0));
            socket.connect(client).await
        };
        match timeout(CLIENT_CONNECT_TIMEOUT, connect).await {
            Ok(Ok(tcp)) => {
                reset_when_dropped(&tcp);
                notice_when_idle(&tcp);
                Ok(tcp)
            }
            Ok(Err(error)) => Err(format!("the client's port {client} refused: {error}")),
            Err(_) => Err(format!("the client's port {client} did not answer")),
        }
    }

    async fn join(&self, tcp: TcpStream, channel: Channel) -> DataEnd {
        self.entry.relabel(|label| {
            label.state = DataState::Transferring;
            label.joined = Some(SystemTime::now());
        });
        self.report(DataReport::Event(DataEvent::Joined)).await;
        let liveness = channel.liveness();
        let copying = splice(tcp, channel, &self.entry.progress, self.entry.stop.clone());
        tokio::select! {
            end = self.follow(copying) => end,
            never = self.answer_questions(liveness) => match never {},
        }
    }

    /// Tells the session of each end that is passed on, and says how the copying ended.
    async fn follow(&self, copying: impl Future<Output = SpliceEnd>) -> DataEnd {
        let progress = &self.entry.progress;
        let drain = &self.tunnel.shutdown.drain;
        let mut told = ToldEnds::default();
        let mut copying = pin!(copying);
        loop {
            tokio::select! {
                () = progress.channel_done.cancelled(), if !told.server => {}
                () = progress.tcp_done.cancelled(), if !told.client => {}
                () = self.over.cancelled() => return DataEnd::Complete,
                // The client has everything and may leave its end open as long as it likes; a broker that stops does not
                // wait for it.
                () = drain.cancelled(), if told.server && progress.is_whole_download() => {
                    return DataEnd::Complete;
                }
                end = &mut copying => {
                    // What was passed on is told before the end of everything is.
                    self.tell_ends(&mut told).await;
                    return self.data_end(end);
                }
            }
            self.tell_ends(&mut told).await;
        }
    }

    async fn tell_ends(&self, told: &mut ToldEnds) {
        let progress = &self.entry.progress;
        if progress.channel_done.is_cancelled() && !std::mem::replace(&mut told.server, true) {
            self.report(DataReport::Event(DataEvent::ServerDone)).await;
        }
        if progress.tcp_done.is_cancelled() && !std::mem::replace(&mut told.client, true) {
            self.report(DataReport::Event(DataEvent::ClientDone)).await;
        }
    }

    /// Asks the SSH session of the channel for a sign of life whenever the session wants one.
    async fn answer_questions(&self, liveness: Liveness) -> Infallible {
        let mut questions = self.questions.clone();
        while questions.changed().await.is_ok() {
            let question = *questions.borrow_and_update();
            if liveness.confirm().await {
                self.report(DataReport::Event(DataEvent::Alive { question }))
                    .await;
            }
        }
        // A transfer goes on without its session.
        std::future::pending().await
    }

    fn data_end(&self, end: SpliceEnd) -> DataEnd {
        match end {
            SpliceEnd::Complete => DataEnd::Complete,
            SpliceEnd::TcpGone(reason) => DataEnd::ClientGone(reason),
            SpliceEnd::ChannelCut(_) if self.entry.stop.is_cancelled() => {
                DataEnd::Cut(self.stop_reason())
            }
            SpliceEnd::ChannelCut(reason) => DataEnd::Cut(reason),
        }
    }

    fn stop_reason(&self) -> String {
        let given = self.entry.label().cut_reason;
        given.unwrap_or_else(|| "the broker was stopped".to_owned())
    }

    async fn end(&self, end: DataEnd) {
        match &end {
            DataEnd::Cut(reason) => warn!(%reason, "data connection cut"),
            DataEnd::ClientGone(reason) => {
                debug!(%reason, "data connection given up by the client")
            }
            DataEnd::Complete | DataEnd::Unused => {}
        }
        let progress = &self.entry.progress;
        add(&self.tunnel.totals.bytes_up, read(&progress.to_channel));
        add(&self.tunnel.totals.bytes_down, read(&progress.from_channel));
        self.report(DataReport::Event(DataEvent::Ended(end))).await;
    }

    /// A session that has ended reads no reports; the transfer goes on without it.
    async fn report(&self, report: DataReport) {
        let _ = self.reports.send((self.id, report)).await;
    }
}

/// The first port of the range that nobody uses, starting at a different one for each channel.
fn first_free(
    host: &Arc<Host>,
    ip: IpAddr,
    range: RangeInclusive<u16>,
    id: u64,
) -> Result<Listener, String> {
    let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
    let count = high.saturating_sub(low) + 1;
    (0..count)
        .filter_map(|i| u16::try_from(low + (id + i) % count).ok())
        .find_map(|port| Listener::bind(host, SocketAddr::new(ip, port), false).ok())
        .ok_or_else(|| format!("every port of passive-ports {low}-{high} is in use"))
}
