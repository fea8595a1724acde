//! A session with an open control channel: passes what arrives at its ends to the protocol, and performs the protocol's
//! actions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_ipc::Reason;
use ftp_proto::{Action, DataEvent, DataId, Event, Session};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::control_end::{EndFault, EndRead};
use super::data::{ControlConnection, DataReport};
use super::data_channels::{DataChannels, Wanted};
use super::deadlines::{Deadlines, Overdue, Standing};
use super::greeting::{GREETING_TIMEOUT, Greeting};
use super::io::{CLIENT_BACKLOG, Io, IoEvent, Wants};
use super::record::TransferEnd;
use crate::events::Fault;
use crate::refusal::Refusal;
use crate::registry::{Cause, Part, Registration, add};

/// Reports of data channels that may wait; a session has few at a time.
const REPORTS: usize = 32;

/// How long a control connection without a transfer must be silent before a stop ends the session: a client that logs in
/// or is between two commands sends the next one sooner, and would take the end for a failure.
const BETWEEN_COMMANDS: Duration = Duration::from_secs(2);

/// One client's session.
pub(super) struct FtpSession {
    control: Arc<ControlConnection>,
    guard: Registration,
    proto: Session,
    io: Io,
    data_channels: DataChannels,
    /// In boxes, since the queue has room for several from the beginning, and most sessions are idle.
    reports: mpsc::Receiver<(DataId, Box<DataReport>)>,
    deadlines: Deadlines,
    greeting: Greeting,
    /// When the control connection was last used.
    last_word: Instant,
    /// Whether the client has said that it leaves in order. It can be killed afterwards.
    has_quit: bool,
    /// Why the last data connection was not announced, until the client learns of it.
    refusal: Option<Refusal>,
    /// How to end, once the session is over.
    ending: Option<ClientEnd>,
}

/// How the client's connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientEnd {
    /// In an orderly way, after the queued bytes.
    Orderly,
    /// With a reset: the client is gone, or must go.
    Reset,
}

impl FtpSession {
    /// A new session.
    pub(super) fn new(
        proto: Session,
        control: ControlConnection,
        guard: Registration,
        io: Io,
        awaits_greeting: OwnedSemaphorePermit,
    ) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        let control = Arc::new(control);
        Self {
            proto,
            io,
            data_channels: DataChannels::new(control.clone(), guard.entry.clone(), sender),
            control,
            guard,
            reports,
            deadlines: Deadlines::new(Instant::now(), awaits_greeting),
            greeting: Greeting::default(),
            last_word: Instant::now(),
            has_quit: false,
            refusal: None,
            ending: None,
        }
    }

    /// Serves the client to the end of its session.
    pub(super) async fn run(&mut self) {
        info!("session opened");
        while self.ending.is_none() {
            self.step().await;
            self.settle();
        }
        self.proto.client_lost();
        self.settle();
        self.data_channels.withdraw_all();
        if self.ending == Some(ClientEnd::Orderly) {
            self.end_in_order().await;
        } else {
            self.data_channels.client_gone();
            self.io.client.writer.reset();
        }
        info!("session closed");
    }

    async fn end_in_order(&mut self) {
        let Some(due) = self.data_channels.delivered_by() else {
            self.data_channels.explain();
            self.io.client.say_farewell().await;
            return;
        };
        if self.io.client.say_farewell().await {
            wait_until(Some(due)).await;
            self.look_for_client();
        } else {
            self.data_channels.client_gone();
        }
        self.data_channels.explain();
    }

    /// A killed client's host answers the result of an upload with a reset.
    fn look_for_client(&mut self) {
        if self.io.client.writer.is_reset() {
            self.data_channels.client_gone();
        }
    }

    /// Waits for one event and passes it to the protocol.
    async fn step(&mut self) {
        let wants = Wants {
            client: self.proto.wants_client_bytes(),
            server: self.proto.wants_server_bytes(),
        };
        let stop = self.guard.entry.channel.stop.clone();
        let drain = self.control.tunnel.shutdown.drain.clone();
        let idle = !self.data_channels.any_transfer();
        let own = self.deadlines.next(self.standing());
        let sample = self.data_channels.next_sample();
        let due = [own, self.proto.next_timeout(), sample];
        let due = due.into_iter().flatten().min();
        tokio::select! {
            event = self.io.next(wants) => self.io_event(event),
            Some((id, report)) = self.reports.recv() => self.report(id, *report),
            () = wait_until(due) => self.time_passed(),
            () = stop.cancelled() => self.stopped(),
            () = silent_after(&drain, self.last_word), if idle => {
                self.lose(Fault::Broker, "the broker is stopping");
            }
        }
    }

    fn io_event(&mut self, event: IoEvent) {
        self.last_word = Instant::now();
        match event {
            IoEvent::Client(read) => self.client_read(read),
            IoEvent::Server(read) => self.server_read(read),
            IoEvent::TlsStarted(started) => self.tls_started(started),
            IoEvent::Written => {}
        }
    }

    fn tls_started(&mut self, started: Result<String, EndFault>) {
        match started {
            Ok(agreed) => {
                info!(%agreed, "the client uses TLS");
                self.guard.entry.set_tls(agreed);
            }
            Err(reason) => {
                warn!(%reason, "session ended: TLS with the client did not begin");
                self.ending = Some(ClientEnd::Reset);
            }
        }
    }

    fn client_read(&mut self, read: EndRead) {
        let now = Instant::now();
        match read {
            EndRead::Bytes(bytes) => {
                add(self.guard.entry.channel.up(), bytes.len() as u64);
                self.proto.client_bytes(now, &bytes);
            }
            EndRead::End => {
                self.client_leaves(now);
                self.proto.client_end(now);
            }
            // A firewall that has forgotten the control connection may still know the data connection. If the client's
            // whole host is gone, no more data moves.
            EndRead::Lost(fault) if self.may_outlast(&fault) => {
                warn!(error = %fault, "the client's control connection no longer answers; its transfer continues as long as data moves");
                self.client_leaves(now);
            }
            EndRead::Lost(fault) => {
                // Clients that just disconnect are normal.
                if !fault.is_reset() {
                    debug!(error = %fault, "the client's control connection failed");
                }
                self.ending = Some(ClientEnd::Reset);
            }
        }
    }

    fn server_read(&mut self, read: EndRead) {
        let now = Instant::now();
        match read {
            EndRead::Bytes(bytes) => {
                self.deadlines.greeted();
                if let Err(reason) = self.listen_for_greeting(&bytes) {
                    return self.lose(Fault::FtpServer, &reason);
                }
                add(self.guard.entry.channel.down(), bytes.len() as u64);
                self.proto.server_bytes(now, &bytes);
            }
            EndRead::End
                if self.standing().waits_for_greeting && !self.deadlines.has_client_left() =>
            {
                let reason = self.greeting.cut_short(&self.control.target);
                self.lose_for(Fault::FtpServer, Reason::FtpLost, &reason);
            }
            EndRead::End => {
                // A server ends a session that its client has left.
                let fault = if self.deadlines.has_client_left() {
                    Fault::FtpClient
                } else {
                    Fault::FtpServer
                };
                self.data_channels.session_lost(fault, self.why_lost(fault));
                self.proto.server_end(now);
            }
            EndRead::Lost(fault) => self.lose(whose(&fault), &fault.to_string()),
        }
    }

    /// # Errors
    /// The server speaks another protocol.
    fn listen_for_greeting(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.greeting.is_complete() {
            return Ok(());
        }
        self.greeting.take(bytes, &self.control.target)?;
        if let Some(reply) = self.greeting.refusal() {
            info!(%reply, "the FTP server refused the session");
            let message = format!("the FTP server refused the session: {reply}");
            let tunnel = &self.control.tunnel;
            tunnel.refused(&Refusal::because(Reason::FtpRefused, message));
        } else if self.greeting.is_complete() {
            self.control.tunnel.works(Part::Session);
        }
        Ok(())
    }

    /// The cause for programs of a session's end that is somebody's fault.
    fn why_lost(&self, fault: Fault) -> Reason {
        match fault {
            Fault::FtpServer if self.greeting.is_complete() => Reason::FtpLost,
            Fault::FtpServer if self.greeting.is_foreign() => Reason::NotFtp,
            Fault::FtpServer => Reason::FtpTimeout,
            Fault::Ssh => Reason::Lost,
            Fault::Broker => Reason::Stopping,
            Fault::FtpClient => Reason::NotAllowed,
        }
    }

    fn client_leaves(&mut self, now: Instant) {
        if !self.greeting.is_complete() {
            let reason = self
                .greeting
                .missing(&self.control.target, self.deadlines.age(now));
            warn!(%reason, "the client has left before the greeting");
            let refusal = Refusal::because(Reason::FtpTimeout, reason);
            self.control.tunnel.refused(&refusal);
        }
        let bytes_moved = self.data_channels.bytes_moved();
        self.deadlines.client_leaves(now, bytes_moved);
        self.control.client_ended.cancel();
    }

    /// Whether a transfer may continue without its control connection.
    fn may_outlast(&self, fault: &EndFault) -> bool {
        fault.is_silence() && !self.deadlines.has_client_left() && self.data_channels.any_transfer()
    }

    fn report(&mut self, id: DataId, report: DataReport) {
        let now = Instant::now();
        match report {
            DataReport::Offered(offer) => {
                let offer = offer.map_err(|refusal| {
                    let reason = refusal.to_string();
                    self.refusal = Some(refusal);
                    reason
                });
                self.proto.offered(now, id, offer);
            }
            DataReport::Event(event) => {
                if let DataEvent::Ended(end) = &event {
                    self.data_channels.ended(id, end);
                    if let Some(reason) = self.data_channels.why_hopeless(id, end) {
                        self.deadlines.transfer_cut(now, reason);
                    }
                }
                self.proto.data_event(now, id, event);
            }
        }
    }

    /// The server is lost: tells the client, and cuts what still runs.
    fn lose(&mut self, fault: Fault, reason: &str) {
        self.lose_for(fault, self.why_lost(fault), reason);
    }

    fn lose_for(&mut self, fault: Fault, why: Reason, reason: &str) {
        let has_client_left = self.deadlines.has_client_left();
        if !self.greeting.is_complete() && !has_client_left {
            self.control.tunnel.totals.sessions_refused.count(why);
        }

        if self.data_channels.is_running() || has_client_left {
            // The end of the transfer tells the log, and is the failure. If the client has left before, it misses nothing,
            // or its leaving was the failure.
            debug!(%reason, "session lost");
        } else {
            match fault {
                // Somebody wanted that.
                Fault::Broker => info!(%reason, "session ended by the broker"),
                Fault::FtpClient | Fault::FtpServer | Fault::Ssh => {
                    warn!(%reason, "session lost");
                }
            }
            self.control.tunnel.failed(&Cause {
                part: Part::Session,
                message: reason.to_owned(),
                reason: why,
                by: fault.into(),
            });
        }
        self.data_channels.session_lost(fault, why);
        self.data_channels.cut_all(reason);
        self.proto.server_lost(Instant::now(), reason);
        self.ending = Some(ClientEnd::Orderly);
    }

    /// Performs the protocol's actions and passes on its output.
    fn settle(&mut self) {
        while let Some(action) = self.proto.poll_action() {
            self.act(action);
        }
        if let Some(bytes) = self.proto.take_to_client() {
            self.io.client.writer.send(&bytes);
        }
        if let Some(bytes) = self.proto.take_to_server() {
            self.io.server.writer.send(&bytes);
        }
        if self.io.client.writer.backlog() > CLIENT_BACKLOG {
            warn!(
                limit = CLIENT_BACKLOG,
                "client dropped: it does not read its replies"
            );
            self.ending = Some(ClientEnd::Reset);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Offer {
                id,
                mode,
                target,
                open_first,
                other_family,
                protected,
                ahead,
            } => {
                let wanted = Wanted {
                    open_first,
                    other_family,
                    protected,
                    ahead,
                };
                let started = self.data_channels.start(id, mode, target, wanted);
                if let Err(reason) = started {
                    self.proto.offered(Instant::now(), id, Err(reason));
                }
            }
            Action::Announce { id, target } => self.data_channels.announce(id, target),
            Action::Withdraw { id } => self.data_channels.withdraw(id),
            Action::Abort { id, reason } => {
                self.data_channels.cut(id, &reason);
            }
            Action::CheckLiveness { id, check } => self.data_channels.check_liveness(id, check),
            Action::Release { id } => self.data_channels.release(id),
            Action::HalfClose { id } => self.data_channels.half_close(id),
            Action::StartTls => {
                if let Some(bytes) = self.proto.take_to_client() {
                    self.io.client.writer.send(&bytes);
                }
                if let Some(tls) = &self.control.tls {
                    self.io.client.start_tls(tls.clone());
                }
            }
            Action::EndServer => {
                if let Some(bytes) = self.proto.take_to_server() {
                    self.io.server.writer.send(&bytes);
                }
                self.io.server.writer.end();
            }
            Action::EndClient => {
                self.ending.get_or_insert(ClientEnd::Orderly);
            }
            Action::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::LoggedIn { user } => {
                debug!(user = user.as_deref(), "logged in");
                self.guard.entry.set_ftp_user(user);
            }
            Event::LoginRefused { user, reply } => self.login_refused(user.as_deref(), &reply),
            Event::Refused { reply } => self.command_refused(&reply),
            Event::NotFtp { protocol } => warn!(
                %protocol,
                "session ended: the client does not speak FTP; a web page or another program has connected to this port"
            ),
            Event::Opaque => info!(
                "the control connection is now encrypted; its data connections are not tunnelled"
            ),
            Event::Command { verb, argument } => {
                debug!(%verb, %argument, "command");
                self.has_quit |= verb == "QUIT";
                self.data_channels.command_sent(&verb);
                let label = format!("{verb} {argument}");
                self.guard.entry.set_label(label.trim_end().to_owned());
            }
            Event::TransferStarted { id, transfer } => {
                let failed = self.data_channels.transfer_started(id, transfer);
                if let Some(reason) = failed {
                    self.deadlines.transfer_cut(Instant::now(), &reason);
                }
            }
            Event::TransferEnded {
                id,
                transfer,
                told,
                aborted,
            } => {
                self.deadlines.transfer_ended();
                let mut end = TransferEnd::of(told, aborted);
                let has_left = self.deadlines.has_client_left();
                if has_left && !self.has_quit {
                    end = end.unseen(transfer.direction);
                }
                // The end of the client may have come before the reply, and be read after it.
                let leaves = has_left || self.io.client.reader.has_ended();
                self.data_channels.transfer_ended(id, transfer, end, leaves);
            }
            Event::TransferRefused { id, transfer, told } => {
                let end = TransferEnd::refused(told);
                self.data_channels.transfer_refused(id, transfer, end);
            }
        }
    }

    /// The client learns that a command failed. If that is since there is no data connection, the tunnel has failed, and
    /// not only a command.
    fn command_refused(&mut self, reply: &str) {
        let Some(refusal) = self.refusal.take_if(|it| it.is_told_by(reply)) else {
            return info!("command refused: {reply}");
        };
        let cause = Cause {
            part: Part::Data,
            ..Cause::new(refusal.why, refusal.to_string())
        };
        info!(
            by = Fault::from(cause.by).as_str(),
            "command refused: {reply}"
        );
        self.control.tunnel.failed(&cause);
    }

    /// Nobody else can learn why a client got no file: it has not asked for one yet.
    fn login_refused(&self, user: Option<&str>, reply: &str) {
        info!(user, "login refused: {reply}");
        let whose = user.map(|user| format!(" of {user}")).unwrap_or_default();
        let message = format!("login{whose}: {reply}");
        self.control.tunnel.failed(&Cause {
            part: Part::Data,
            ..Cause::new(Reason::FtpRefused, message)
        });
    }

    fn stopped(&mut self) {
        let entry = self.guard.entry.clone();
        self.lose(Fault::Broker, entry.stop_reason());
    }

    fn standing(&self) -> Standing {
        Standing {
            waits_for_greeting: !self.greeting.is_complete()
                && !self.proto.in_use()
                && !self.proto.is_opaque(),
            // The broker cannot see a login inside TLS.
            waits_for_login: !self.proto.in_use() && !self.proto.is_opaque(),
            in_transfer: self.data_channels.any_transfer(),
            bytes_moved: self.data_channels.bytes_moved(),
        }
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        match self.deadlines.overdue(now, self.standing()) {
            Some(Overdue::Greeting) => {
                let reason = self
                    .greeting
                    .missing(&self.control.target, GREETING_TIMEOUT);
                self.lose(Fault::FtpServer, &reason);
            }
            Some(Overdue::Login) => {
                self.lose(Fault::FtpClient, "nobody logged in within 5 minutes");
            }
            Some(Overdue::TransferEnd(reason)) => self.lose(
                Fault::FtpServer,
                &format!("the transfer was cut, and the FTP server has not ended it: {reason}"),
            ),
            Some(Overdue::SessionEnd) => self.give_up(),
            None => {}
        }
        self.proto.handle_timeout(now);
        if self
            .data_channels
            .delivered_by()
            .is_some_and(|due| due <= now)
        {
            self.look_for_client();
        }
        self.data_channels.sample(now);
    }

    /// Ends a session whose client has left.
    fn give_up(&mut self) {
        if self.data_channels.any_transfer() {
            let reason = "the client has left, and its transfer moves no data";
            debug!(%reason, "session given up");
            self.data_channels.cut_all(reason);
        }
        self.ending = Some(ClientEnd::Reset);
    }
}

/// Whose fault it is that the server's end failed: only that of a remote tunnel is a TCP connection of the FTP server.
fn whose(fault: &EndFault) -> Fault {
    match fault {
        EndFault::Channel(_) => Fault::Ssh,
        EndFault::Tcp(_) | EndFault::Handshake(_) => Fault::FtpServer,
    }
}

/// Returns once the daemon stops and the client is not in the middle of something.
async fn silent_after(drain: &CancellationToken, last_word: Instant) {
    drain.cancelled().await;
    wait_until(Some(last_word + BETWEEN_COMMANDS)).await;
}

/// Waits until then, or forever without a deadline.
async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
