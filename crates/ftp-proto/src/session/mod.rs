//! The session state machine. Its input is the bytes of both peers; its output is bytes for both peers, and actions.
//!
//! A session consists of parts that do not know each other: the client's side, the server's side, the pending replies,
//! and the data. This module connects them.

mod active;
mod announcement;
mod burst;
mod client;
mod client_tls;
mod data;
mod directory;
mod end;
mod exchange;
mod features;
mod first_bytes;
mod forms;
mod login;
mod passive;
mod port;
mod reply_part;
mod representation;
mod server;
mod sizes;

use std::net::SocketAddr;
use std::time::Instant;

use crate::channels::NO_CONNECTION;
use crate::command::Command;
use crate::kind::CommandKind;
use crate::line::MAX_LINE;
use crate::sent::{Attempt, Sent};
use crate::{Action, DataEvent, DataId, Event, Protocol, SessionConfig, Told};
pub use announcement::NO_DATA_CONNECTION;
use client::{ClientSide, Said};
use client_tls::{ClientTls, SENT_AHEAD, TlsDecision};
use exchange::{Exchange, Refused};
use forms::substitute;
use port::{ActiveOffer, target};

/// How many bytes of one side can wait during a hold before the caller should stop reading that side. It equals the
/// longest line, so an incomplete line never stops the reading.
const MAX_BACKLOG: usize = MAX_LINE;

/// One FTP control connection between a client and a server.
///
/// - getters: [`logged_in`](Self::logged_in), [`in_use`](Self::in_use), [`is_opaque`](Self::is_opaque),
///   [`wants_client_bytes`](Self::wants_client_bytes), [`wants_server_bytes`](Self::wants_server_bytes)
/// - events in: [`client_bytes`](Self::client_bytes), [`server_bytes`](Self::server_bytes),
///   [`client_end`](Self::client_end), [`server_end`](Self::server_end), [`server_lost`](Self::server_lost),
///   [`client_lost`](Self::client_lost),
///   [`offered`](Self::offered), [`data_event`](Self::data_event), [`handle_timeout`](Self::handle_timeout)
/// - out, to drain after each event: [`take_to_client`](Self::take_to_client),
///   [`take_to_server`](Self::take_to_server), then [`poll_action`](Self::poll_action), then
///   [`next_timeout`](Self::next_timeout)
///
/// Held bytes stay unread in the buffer of their side until the hold ends.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    phase: Phase,
    client: ClientSide,
    tls: ClientTls,
    exchange: Exchange,
}

/// How much of the control connection the session can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// All of it.
    Clear,
    /// Nothing, since the peers encrypt it.
    Opaque,
    /// The server has ended, or the connection to it was lost. Nothing more passes.
    Over,
}

impl Session {
    /// A session before the server's greeting.
    pub fn new(config: SessionConfig) -> Self {
        let tls = ClientTls::new(config.tls);
        let mut client = ClientSide::default();
        client.set_guarded(tls.is_awaited());
        Self {
            exchange: Exchange::new(&config, tls.is_offered()),
            config,
            phase: Phase::Clear,
            client,
            tls,
        }
    }

    /// Handles bytes from the client.
    pub fn client_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.phase {
            Phase::Clear => {
                self.client.push(bytes);
                self.end_sent_ahead();
                self.end_other_protocol();
            }
            Phase::Opaque => self.client.send(bytes),
            Phase::Over => {}
        }
        self.pump(now);
    }

    /// Handles bytes from the server.
    pub fn server_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.phase {
            Phase::Clear => self.exchange.server.push(bytes),
            Phase::Opaque => self.exchange.server.pass(bytes),
            Phase::Over => {}
        }
        self.client.server_spoke(now);
        self.pump(now);
    }

    /// Handles the orderly end of the client's side.
    pub fn client_end(&mut self, now: Instant) {
        self.client.end();
        self.exchange.drop_ahead();
        self.pump(now);
    }

    /// Handles the orderly end of the server's side.
    pub fn server_end(&mut self, now: Instant) {
        self.exchange.server.end();
        self.pump(now);
    }

    /// Handles the loss of the connection to the server: the client receives `421` with this reason, and then the end.
    /// The session drops what the client sends from then on.
    pub fn server_lost(&mut self, _now: Instant, reason: &str) {
        self.lose(reason);
    }

    /// Handles the loss of the client: a running transfer ends, and nobody learns how.
    pub fn client_lost(&mut self) {
        if self.phase == Phase::Clear {
            self.exchange.data.client_lost();
            self.close(Told::default());
        }
    }

    /// Handles the answer to [`Action::Offer`]: the address to announce to the other peer, or the reason for a failure,
    /// which becomes the text of a `425`. The session withdraws an endpoint at once if it no longer needs it.
    pub fn offered(&mut self, now: Instant, id: DataId, answer: Result<SocketAddr, String>) {
        match self.client.take_offer(id) {
            Some(offer) => self.active_offered(now, offer, answer),
            None => self.exchange.offered(id, answer),
        }
        self.client.server_spoke(now);
        self.pump(now);
    }

    /// Handles an event on a data channel. Ignores channels that the session no longer needs.
    pub fn data_event(&mut self, now: Instant, id: DataId, event: DataEvent) {
        if self.exchange.data_event(now, id, event) {
            self.client.server_spoke(now);
        }
        self.pump(now);
    }

    /// Handles the time of [`next_timeout`](Self::next_timeout). A call before that time does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.exchange.expire(now) {
            self.client.server_spoke(now);
        }
        self.expire_answer(now);
        self.expire_wait(now);
        self.pump(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if no event comes first.
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = [self.answer_deadline(), self.client.wait_deadline()];
        self.exchange
            .deadline()
            .into_iter()
            .chain(own.into_iter().flatten())
            .min()
    }

    /// All bytes that can go to the client now, to write at once; `None` if there are none.
    pub fn take_to_client(&mut self) -> Option<Vec<u8>> {
        self.exchange.server.take_to_client()
    }

    /// All bytes that can go to the server now, to write at once; `None` if there are none.
    pub fn take_to_server(&mut self) -> Option<Vec<u8>> {
        self.client.take_to_server()
    }

    /// The next action, after the bytes have been taken and written.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.exchange.data.actions().pop()
    }

    /// Whether the caller should read more of the client's bytes now. False while the held bytes have reached 64 KiB;
    /// the session keeps further bytes nevertheless. False also from `AUTH` to [`Action::StartTls`]: the next bytes
    /// belong to TLS.
    pub fn wants_client_bytes(&self) -> bool {
        self.client.backlog() < MAX_BACKLOG && !self.tls.is_starting()
    }

    /// Whether the caller should read more of the server's bytes now. False while the held bytes have reached 64 KiB.
    /// The session keeps further bytes nevertheless.
    pub fn wants_server_bytes(&self) -> bool {
        self.exchange.server.backlog() < MAX_BACKLOG
    }

    /// Whether the server has accepted a login.
    pub fn logged_in(&self) -> bool {
        self.exchange.logged_in()
    }

    /// Whether the server admits the client, however it answered the login: it has accepted a command that needs a
    /// login, or begun a transfer. Some servers need no login.
    pub fn in_use(&self) -> bool {
        self.exchange.in_use()
    }

    /// Whether the control connection is encrypted from end to end.
    pub fn is_opaque(&self) -> bool {
        self.phase == Phase::Opaque
    }

    /// Works until it needs further input. The server's side comes first, since a reply that is here is older than the
    /// effect of the client's next command.
    fn pump(&mut self, now: Instant) {
        while self.server_step(now)
            || self.answer_step()
            || self.claim_step(now)
            || self.client_step(now)
        {}
        self.exchange.count_transfers(now);
        self.ask_ahead();
        self.pass_ends();
    }

    /// Sends the client's next command for a data connection ahead, if this is the moment and nothing of the client waits.
    fn ask_ahead(&mut self) {
        if self.phase == Phase::Clear
            && self.client.is_quiet()
            && let Some(line) = self.exchange.ask_ahead()
        {
            self.client.send(&line);
        }
    }

    /// Handles the client's next input. False if there is none.
    fn client_step(&mut self, now: Instant) -> bool {
        if self.phase != Phase::Clear {
            return false;
        }
        if !self.exchange.holds_client() {
            self.client.stop_waiting();
        }
        match self.client.next() {
            Some(Said::Command(command, line)) => self.command(now, command, line),
            Some(Said::Dropped) => {
                let reason = "The line is too long; send AUTH TLS first";
                self.client.answer_in_turn(now, 500, reason);
            }
            Some(Said::Overlong) => {
                self.exchange.drop_ahead();
                self.exchange
                    .expect_reply(Sent::new(String::new(), CommandKind::Unknown));
            }
            None => return false,
        }
        true
    }

    fn command(&mut self, now: Instant, command: Command, line: Vec<u8>) {
        self.exchange.data.actions().tell(Event::Command {
            verb: command.verb.clone(),
            argument: command.shown_argument(&line),
        });
        self.exchange.client_spoke(now, &command);
        match self.tls.decide(&command, &line, self.exchange.logged_in()) {
            TlsDecision::Pass => {}
            TlsDecision::Answer((code, text)) => {
                self.exchange.protect_data(self.tls.protects_data());
                return self.client.answer_in_turn(now, code, text);
            }
            TlsDecision::Start((code, text)) => {
                self.client.answer_in_turn(now, code, text);
                return self.end_sent_ahead();
            }
        }
        if command.kind == CommandKind::Port {
            return self.port_command(now, command, line);
        }
        if command.kind == CommandKind::Abort {
            self.exchange.abort();
        }
        if matches!(command.kind, CommandKind::Passive(_)) {
            return self.passive_command(now, command, line);
        }
        if self.exchange.lacks_data_connection(&command) {
            return self
                .client
                .refuse_in_turn(NO_DATA_CONNECTION, NO_CONNECTION);
        }
        self.send_command(&command, &line);
    }

    /// Tries another form of a command whose own form the server does not support. The client still waits.
    fn try_other_form(&mut self, refused: Refused) {
        if let Some(form) = refused.sent.passive_form() {
            let attempt = Attempt::Substitute(Some(refused.reply));
            self.send(
                refused.sent.with_attempt(attempt),
                &substitute(form, b"\r\n"),
            );
        } else if let Some(port) = self.client.stop_waiting() {
            let target = target(&self.config, &port.port);
            let id = self.exchange.data.offer_active(target, true);
            self.client.hold(ActiveOffer {
                id,
                refusal: Some(refused.reply),
                ..port
            });
        }
    }

    /// Passes a command on in this form.
    fn send_command(&mut self, command: &Command, line: &[u8]) {
        self.send(Sent::new(command.shown(line), command.kind), line);
    }

    fn send(&mut self, sent: Sent, line: &[u8]) {
        self.exchange.command_sent(sent);
        self.client.send(line);
    }

    /// Sends the waiting answer, if its turn has come, since the server owes no reply. False if not.
    fn answer_step(&mut self) -> bool {
        if !self.client.has_answer() || self.exchange.data.holds_reply() {
            return false;
        }
        let owes = match self.client.answer_waits_for_all() {
            true => self.exchange.owes_any_reply(),
            false => self.exchange.owes_reply(),
        };
        if owes && self.exchange.server.is_open() {
            return false;
        }
        self.give_answer();
        true
    }

    fn give_answer(&mut self) {
        if let Some(answer) = self.client.take_answer() {
            if matches!(answer.first(), Some(b'4' | b'5')) {
                self.exchange.data.actions().tell_refusal(&answer);
            }
            self.exchange.server.pass(&answer);
            if self.tls.answered() {
                self.start_tls();
            }
        }
    }

    /// The client has read the answer to `AUTH` before its next byte.
    fn start_tls(&mut self) {
        self.client.set_guarded(false);
        self.exchange.protect_data(self.tls.protects_data());
        self.exchange.data.actions().push(Action::StartTls);
    }

    /// Ends the session of a client that sent bytes between `AUTH` and TLS.
    fn end_sent_ahead(&mut self) {
        if self.tls.is_starting() && self.client.backlog() > 0 {
            self.lose(SENT_AHEAD);
        }
    }

    /// When the server's silence becomes too long, if a silence can mean that it owes nothing.
    fn answer_deadline(&self) -> Option<Instant> {
        let waits = self.exchange.expects_transfer() || self.exchange.data.holds_reply();
        self.client.answer_deadline().filter(|_| !waits)
    }

    /// Sends the waiting answer, if the server has been silent for too long.
    fn expire_answer(&mut self, now: Instant) {
        if self.answer_deadline().is_some_and(|due| now >= due) {
            self.exchange.forgo_replies();
            self.give_answer();
        }
    }

    /// Lets the client continue, if the server has been silent for too long.
    fn expire_wait(&mut self, now: Instant) {
        if self.client.wait_deadline().is_some_and(|due| now >= due) {
            self.exchange.forgo_attempts();
            self.client.stop_waiting();
        }
    }

    /// Handles the server's next input. False if there is none.
    fn server_step(&mut self, now: Instant) -> bool {
        let more = self.phase == Phase::Clear && self.exchange.step(now);
        if let Some(refused) = self.exchange.take_refused() {
            self.try_other_form(refused);
        }
        if more && self.exchange.encrypts() {
            self.become_opaque();
        }
        more
    }

    /// Passes the ends on after everything before them.
    fn pass_ends(&mut self) {
        if self.client.pass_end() {
            self.exchange.data.actions().push(Action::EndServer);
        }
        if self.exchange.server.end_is_due() && !self.exchange.data.holds_reply() {
            let told = self.tell_of_broken_transfer();
            self.close(told);
        }
    }

    /// A server that leaves in the middle of a transfer reports nothing, and the client's data can have ended like a
    /// complete file. The session does not pass half a line of the server before its own reply, since it could read as
    /// a success. Returns what the client receives.
    fn tell_of_broken_transfer(&mut self) -> Told {
        if self.exchange.data.has_transfer() && self.phase == Phase::Clear {
            return self.exchange.server.tell_closing("The FTP server closed the connection in the middle of the transfer; the file is not complete");
        }
        self.exchange.pass_refusals();
        self.exchange.server.pass_rest();
        Told::default()
    }

    /// Ends the session of a client that speaks another protocol.
    fn end_other_protocol(&mut self) {
        if let Some(protocol) = self.client.other_protocol() {
            self.exchange
                .data
                .actions()
                .tell(Event::NotFtp { protocol });
            let remedy = match protocol {
                Protocol::Tls if self.tls.is_offered() => "explicit FTP over TLS (AUTH TLS)",
                Protocol::Http | Protocol::Tls | Protocol::Ssh => "an FTP client",
            };
            self.lose(&format!(
                "This is an FTP server, but the client sent {protocol}; use {remedy}"
            ));
        }
    }

    /// The connection to the server is lost: reports it to the client, and drops what can no longer be passed on.
    fn lose(&mut self, reason: &str) {
        if self.phase == Phase::Over || self.exchange.server.is_over() {
            return;
        }
        // In an encrypted stream, clear text would look like an attack.
        let told = match self.phase {
            Phase::Clear => self.exchange.server.tell_closing(reason),
            Phase::Opaque | Phase::Over => Told::default(),
        };
        self.phase = Phase::Over;
        self.client.discard();
        self.close(told);
    }

    /// The server agreed to encrypt, so everything passes unchanged.
    fn become_opaque(&mut self) {
        self.phase = Phase::Opaque;
        let offer = self.client.become_opaque();
        self.exchange.withdraw(offer);
        self.exchange.server.pass_rest();
        self.exchange.data.actions().tell(Event::Opaque);
    }

    /// The server will send nothing more: ends what depended on it, and the client's side. `told` is what the
    /// client received for a running transfer.
    fn close(&mut self, told: Told) {
        self.exchange.close(told);
        // An encrypted stream can still flow in the other direction. In a clear one, nobody would answer a command.
        if self.phase == Phase::Clear {
            self.phase = Phase::Over;
            self.client.discard();
        }
        let offer = self.client.drop_held();
        self.exchange.withdraw(offer);
        self.exchange.data.actions().push(Action::EndClient);
    }
}
