//! One FTP client's session: its control connection, and the data channels it agrees on.
//!
//! The protocol is `ftp_proto`'s; this module carries its bytes, keeps its time and does what it asks.

mod client_owner;
mod data;
mod data_channels;
mod io;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use broker_config::FtpOptions;
use broker_ssh::{Channel, Forwards, OpenError, Pool, Target};
use ftp_proto::{Action, DataEnd, DataEvent, DataId, Event, Session, SessionConfig};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep_until;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use self::client_owner::ClientOwner;
use self::data::{ControlConnection, DataHost, DataReport, dial_names};
use self::data_channels::DataChannels;
use self::io::{CLIENT_BACKLOG, Io, IoEvent, Wants};
use crate::own_host::{canonical, notice_when_sending, own_addresses};
use crate::refusal::refuse;
use crate::registry::{Registration, add};
use crate::tunnel::{Tunnel, host_port};

/// How long a client may take until the server lets it work. Servers give up after a minute or five; this bounds what
/// connections that never speak can hold.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a session without a greeting keeps others waiting: some servers look the client's name up first.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);
/// How long a server may take to close after the client has left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same while a transfer runs that moves no bytes: the server may have to write to a slow disk before it answers.
const CLOSE_TIMEOUT_IN_TRANSFER: Duration = Duration::from_secs(120);
/// How long the last words may take to reach a client that is slow to read.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to end a transfer whose data channel was cut. Its own side of the line may be silent, and
/// then it waits for minutes while the client, whose data connection was reset, waits for a word.
const CUT_PATIENCE: Duration = Duration::from_secs(15);
/// Reports of data channels that may wait; a session has few at a time.
const REPORTS: usize = 32;

/// Serves one FTP client to the end of its session.
pub(crate) async fn run(tunnel: Arc<Tunnel>, id: u64, client: TcpStream, peer: SocketAddr) {
    let guard = tunnel.register(id, peer);
    let stop = guard.entry.stop.clone();
    // At once, while whoever made it has it open.
    let owner = client.local_addr().map_or(ClientOwner::Nobody, |local| {
        ClientOwner::of(&tunnel.host, peer, canonical(local))
    });
    // Before the dial: the first transfer should find a spare connection on its way.
    let pool = tunnel.connections.for_client();
    let _spare = pool.session();
    let _ = client.set_nodelay(true);
    notice_when_sending(&client);
    // ABOR comes as urgent data from some clients; out of band it would be lost.
    let _ = SockRef::from(&client).set_out_of_band_inline(true);
    let opened = tokio::select! {
        opened = open_control(&tunnel, &pool, peer) => opened,
        () = stop.cancelled() => Err("the broker was stopped".to_owned()),
    };
    match opened {
        Ok(server) => match FtpSession::new(tunnel, pool, guard, client, (peer, owner), server) {
            Ok(control) => control.run().await,
            Err(error) => debug!(%error, "the client left before its session began"),
        },
        Err(reason) => {
            warn!(%reason, "session refused");
            refuse(client, &tunnel.spec.kind, &reason).await;
        }
    }
}

/// The way to the FTP server.
struct Server {
    channel: Channel,
    /// The host string that worked.
    host: String,
    /// Held until the greeting comes.
    awaits_greeting: Option<OwnedSemaphorePermit>,
}

async fn open_control(tunnel: &Tunnel, pool: &Pool, peer: SocketAddr) -> Result<Server, String> {
    let permit = tunnel.greetings.clone().acquire_owned().await;
    let awaits_greeting = Some(permit.map_err(|closed| closed.to_string())?);
    let mut reason = String::new();
    let mut prohibited = false;
    for host in dial_names(&tunnel.spec.dst_host) {
        if host == "localhost" && !prohibited {
            continue;
        }
        let target = Target {
            host: host.clone(),
            port: tunnel.spec.dst_port,
        };
        match pool.open_control(&target, peer).await {
            Ok(channel) => {
                return Ok(Server {
                    channel,
                    host,
                    awaits_greeting,
                });
            }
            // Another name is tried only where the one before was refused at the far end.
            Err(error @ OpenError::ChannelRefused { .. }) => {
                prohibited |= matches!(
                    error,
                    OpenError::ChannelRefused {
                        prohibited: true,
                        ..
                    }
                );
                if reason.is_empty() {
                    reason = error.to_string();
                }
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(reason)
}

/// A session whose control channel is open.
struct FtpSession {
    tunnel: Arc<Tunnel>,
    guard: Registration,
    proto: Session,
    io: Io,
    data_channels: DataChannels,
    reports: mpsc::Receiver<(DataId, DataReport)>,
    started: Instant,
    server_spoke: bool,
    awaits_greeting: Option<OwnedSemaphorePermit>,
    client_left: Option<ClientLeft>,
    client_ended: CancellationToken,
    /// When the data channel of a transfer was cut that the server has not ended, and why.
    cut: Option<(Instant, String)>,
    ending: SessionEnd,
    _writer: DropGuard,
}

/// A client that has ended its side.
#[derive(Debug, Clone, Copy)]
struct ClientLeft {
    /// When that was, or bytes were last seen to move.
    since: Instant,
    /// The bytes that data channels had carried then.
    carried: u64,
}

/// How far the session is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionEnd {
    /// It goes on.
    No,
    /// The client's side is to be closed after what it is still owed.
    Orderly,
    /// The client is gone or has to go.
    Abrupt,
}

impl FtpSession {
    fn new(
        tunnel: Arc<Tunnel>,
        pool: Arc<Pool>,
        guard: Registration,
        client: TcpStream,
        (peer, owner): (SocketAddr, ClientOwner),
        server: Server,
    ) -> std::io::Result<Self> {
        let local = canonical(client.local_addr()?);
        let connection = server.channel.info().connection;
        guard.entry.connection.store(connection, Ordering::Relaxed);
        let client_ended = CancellationToken::new();
        let control = Arc::new(ControlConnection {
            ftp: tunnel.ftp(),
            tunnel: tunnel.clone(),
            forwards: Forwards::new(pool.clone()),
            pool,
            local,
            peer,
            data_host: DataHost::for_control(&server.host),
            server: server.host,
            owner,
            client_ended: client_ended.clone(),
        });
        let (sender, reports) = mpsc::channel(REPORTS);
        let writer = CancellationToken::new();
        Ok(Self {
            proto: Session::new(protocol_options(&control.ftp, peer, owner)),
            io: Io::new(client, server.channel, &tunnel.tracker, writer.clone()),
            data_channels: DataChannels::new(control, guard.entry.clone(), sender),
            tunnel,
            guard,
            reports,
            started: Instant::now(),
            server_spoke: false,
            awaits_greeting: server.awaits_greeting,
            client_left: None,
            cut: None,
            client_ended,
            ending: SessionEnd::No,
            _writer: writer.drop_guard(),
        })
    }

    async fn run(mut self) {
        info!("session opened");
        while self.ending == SessionEnd::No {
            self.step().await;
            self.settle();
        }
        self.data_channels.withdraw_all();
        if self.ending == SessionEnd::Orderly {
            let farewell = self.io.finish_client();
            if tokio::time::timeout(FAREWELL_TIMEOUT, farewell)
                .await
                .is_err()
            {
                debug!("the client did not take the last words");
            }
        } else {
            self.io.reset_client();
        }
        info!("session closed");
    }

    /// Waits for one thing to happen and tells the protocol.
    async fn step(&mut self) {
        let wants = Wants {
            client: self.proto.wants_client_bytes(),
            server: self.proto.wants_server_bytes(),
        };
        let stop = self.guard.entry.stop.clone();
        let drain = self.tunnel.shutdown.drain.clone();
        let idle = !self.data_channels.any_transfer();
        let deadline = self.deadline();
        tokio::select! {
            event = self.io.next(wants) => self.io_event(event),
            Some((id, report)) = self.reports.recv() => self.report(id, report),
            () = sleep_until(deadline.into()) => self.time_passed(),
            () = stop.cancelled() => self.lose(self.stop_reason()),
            () = drain.cancelled(), if idle => self.lose("the broker is stopping"),
        }
    }

    fn io_event(&mut self, event: IoEvent) {
        let now = Instant::now();
        match event {
            IoEvent::FromClient(bytes) => {
                add(&self.guard.entry.progress.to_channel, bytes.len() as u64);
                self.proto.client_bytes(now, &bytes);
            }
            IoEvent::FromServer(bytes) => {
                self.server_spoke = true;
                self.awaits_greeting = None;
                add(&self.guard.entry.progress.from_channel, bytes.len() as u64);
                self.proto.server_bytes(now, &bytes);
            }
            IoEvent::ClientEnd => {
                self.client_leaves(now);
                self.proto.client_end(now);
            }
            // A firewall that has forgotten the control connection may still know the data connection; where the client's
            // whole host is gone, no more data moves.
            IoEvent::ClientLost(error) if self.may_outlast(&error) => {
                warn!(%error, "the client's control connection no longer answers; its transfer goes on while data moves");
                self.client_leaves(now);
            }
            IoEvent::ClientLost(error) => {
                // A client that just goes away is everyday life.
                if error.kind() != ErrorKind::ConnectionReset {
                    debug!(%error, "the client's control connection failed");
                }
                self.ending = SessionEnd::Abrupt;
            }
            IoEvent::ServerEnd if !self.server_spoke => {
                let server = host_port(&self.tunnel.spec.dst_host, self.tunnel.spec.dst_port);
                self.lose(&format!(
                    "the FTP server {server} closed the connection without a greeting; it may refuse the SSH server's address or have too many clients"
                ));
            }
            IoEvent::ServerEnd => self.proto.server_end(now),
            IoEvent::ServerLost(reason) => self.lose(&reason),
            IoEvent::Written => {}
        }
    }

    fn client_leaves(&mut self, now: Instant) {
        self.client_left = Some(ClientLeft {
            since: now,
            carried: self.data_channels.carried(),
        });
        self.client_ended.cancel();
    }

    /// Whether a transfer may go on without its control connection.
    fn may_outlast(&self, lost: &std::io::Error) -> bool {
        let silent = lost.kind() == ErrorKind::TimedOut;
        silent && self.client_left.is_none() && self.data_channels.any_transfer()
    }

    fn report(&mut self, id: DataId, report: DataReport) {
        let now = Instant::now();
        match report {
            DataReport::Offered(result) => self.proto.offered(now, id, result),
            DataReport::Event(event) => {
                if let DataEvent::Ended(end) = &event {
                    self.data_channels.ended(id);
                    if let DataEnd::Cut(reason) = end
                        && self.data_channels.any_transfer()
                    {
                        self.cut = Some((now, reason.clone()));
                    }
                }
                self.proto.data_event(now, id, event);
            }
        }
    }

    /// The server can't be had any more: the client is told, and what still runs is cut.
    fn lose(&mut self, reason: &str) {
        warn!(%reason, "session lost");
        self.data_channels.cut_all(reason);
        self.proto.server_lost(Instant::now(), reason);
        self.ending = SessionEnd::Orderly;
    }

    /// Does what the protocol asks and hands on what it gives.
    fn settle(&mut self) {
        while let Some(action) = self.proto.poll_action() {
            self.act(action);
        }
        if let Some(bytes) = self.proto.take_to_client() {
            self.io.send_client(&bytes);
        }
        if let Some(bytes) = self.proto.take_to_server() {
            self.io.send_server(bytes);
        }
        if self.io.client_backlog() > CLIENT_BACKLOG {
            warn!(
                limit = CLIENT_BACKLOG,
                "client dropped: it does not read its replies"
            );
            self.ending = SessionEnd::Abrupt;
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Offer {
                id,
                mode,
                target,
                open_first,
            } => {
                let started = self.data_channels.start(id, mode, target, open_first);
                if let Err(reason) = started {
                    self.proto.offered(Instant::now(), id, Err(reason));
                }
            }
            Action::Withdraw { id } => self.data_channels.withdraw(id),
            Action::Abort { id, reason } => {
                self.data_channels.cut(id, &reason);
            }
            Action::Confirm { id, question } => self.data_channels.ask_for_life(id, question),
            Action::Release { id } => self.data_channels.release(id),
            Action::EndServer => {
                if let Some(bytes) = self.proto.take_to_server() {
                    self.io.send_server(bytes);
                }
                self.io.end_server();
            }
            Action::EndClient => self.ending = SessionEnd::Orderly,
            Action::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::LoggedIn => debug!("logged in"),
            Event::NotFtp { protocol } => warn!(
                %protocol,
                "session ended: the client does not speak FTP; a web page or another program has connected to this port"
            ),
            Event::Opaque => info!(
                "the control channel is encrypted from here on; its data connections are not tunnelled"
            ),
            Event::Command { verb, argument } => {
                debug!(%verb, %argument, "command");
                self.data_channels.command_sent(&verb);
                self.guard.entry.set_label(format!("{verb} {argument}"));
            }
            Event::TransferStarted {
                id,
                command,
                direction,
            } => self.data_channels.transfer_started(id, command, direction),
            Event::TransferEnded {
                id,
                command,
                code,
                replaced,
            } => {
                self.cut = None;
                self.data_channels
                    .transfer_ended(id, &command, code, replaced);
            }
        }
    }

    fn stop_reason(&self) -> &'static str {
        if self.tunnel.shutdown.kill.is_cancelled() {
            "the broker was stopped"
        } else {
            "broker-ctl closed the session"
        }
    }

    /// A login inside TLS can't be seen.
    fn waits_for_login(&self) -> bool {
        !self.proto.in_use() && !self.proto.is_opaque()
    }

    /// Until when the server may keep a session whose client has left.
    fn close_deadline(&self) -> Option<Instant> {
        let patience = if self.data_channels.any_transfer() {
            CLOSE_TIMEOUT_IN_TRANSFER
        } else {
            CLOSE_TIMEOUT
        };
        self.client_left.map(|left| left.since + patience)
    }

    /// Ends a session whose client has left, unless data still flows.
    fn close_in_time(&mut self, now: Instant) {
        if self.close_deadline().is_none_or(|due| now < due) {
            return;
        }
        let carried = self.data_channels.carried();
        if self.client_left.is_some_and(|left| left.carried != carried) {
            let since = now;
            self.client_left = Some(ClientLeft { since, carried });
            return;
        }
        if self.data_channels.any_transfer() {
            let reason = "the client has left, and its transfer carries nothing";
            warn!(%reason, "session given up");
            self.data_channels.cut_all(reason);
        }
        self.ending = SessionEnd::Abrupt;
    }

    /// The next moment at which something is due.
    fn deadline(&self) -> Instant {
        let login = self.waits_for_login().then(|| self.started + LOGIN_TIMEOUT);
        let close = self.close_deadline();
        let far = Instant::now() + LOGIN_TIMEOUT;
        let greeting = self.awaits_greeting.as_ref();
        let greeting = greeting.map(|_| self.started + GREETING_PATIENCE);
        let cut = self.cut.as_ref().map(|(since, _)| *since + CUT_PATIENCE);
        [self.proto.next_timeout(), login, close, greeting, cut]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(far)
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if now >= self.started + GREETING_PATIENCE {
            self.awaits_greeting = None;
        }
        let cut = self.cut.take_if(|(since, _)| now >= *since + CUT_PATIENCE);
        if let Some((_, reason)) = cut {
            let what = "the transfer was cut, and the FTP server has not ended it";
            self.lose(&format!("{what}: {reason}"));
        } else if self.waits_for_login() && now >= self.started + LOGIN_TIMEOUT {
            self.lose("nobody logged in within 5 minutes");
        } else {
            self.close_in_time(now);
        }
        self.proto.handle_timeout(now);
    }
}

fn protocol_options(ftp: &FtpOptions, peer: SocketAddr, owner: ClientOwner) -> SessionConfig {
    // Whoever can be told from others on this host may name each of its addresses.
    let also_client = match owner {
        ClientOwner::User(_) => own_addresses(),
        ClientOwner::Anyone | ClientOwner::Nobody => Vec::new(),
    };
    SessionConfig {
        client: peer.ip(),
        also_client,
        tls: ftp.tls,
        foreign_port: ftp.foreign_port,
        active: ftp.active,
        data_open: ftp.data_open,
    }
}
