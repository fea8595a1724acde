//! The session state machine: bytes of both peers in, bytes for both peers and actions out.
//!
//! A session is made of parts that do not see each other: the client's side, the server's side, the replies that are
//! pending, and the data. What one of them says is carried to the others here.

mod announcement;
mod client;
mod data;
mod end;
mod exchange;
mod first_bytes;
mod port;
mod reply_part;
mod server;

use std::net::SocketAddr;
use std::time::Instant;

use crate::command::Command;
use crate::kind::CommandKind;
use crate::line::MAX_LINE;
use crate::pending_replies::Sent;
use crate::{Action, DataEvent, DataId, Event, SessionConfig, TlsPolicy};
use announcement::NO_DATA_CONNECTION;
use client::{ClientSide, Said};
use exchange::Exchange;
use port::{ActiveOffer, PortDecision, decide, target};
use server::SERVICE_CLOSING;

/// How many bytes of one side may wait behind a hold before the caller should stop reading that side. As long as the
/// longest line, so that a line that is merely incomplete never stops the reading.
const MAX_BACKLOG: usize = MAX_LINE;

/// One FTP control channel between a client and a server.
///
/// - getters: [`logged_in`](Self::logged_in), [`in_use`](Self::in_use), [`is_opaque`](Self::is_opaque),
///   [`wants_client_bytes`](Self::wants_client_bytes), [`wants_server_bytes`](Self::wants_server_bytes)
/// - events in: [`client_bytes`](Self::client_bytes), [`server_bytes`](Self::server_bytes),
///   [`client_end`](Self::client_end), [`server_end`](Self::server_end), [`server_lost`](Self::server_lost),
///   [`offered`](Self::offered), [`data_event`](Self::data_event), [`handle_timeout`](Self::handle_timeout)
/// - out, to be drained after each event in: [`take_to_client`](Self::take_to_client),
///   [`take_to_server`](Self::take_to_server), then [`poll_action`](Self::poll_action), then
///   [`next_timeout`](Self::next_timeout)
///
/// Held bytes simply stay unread in the buffer of their side: a hold closes the gate, and what resolves it opens it.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    phase: Phase,
    client: ClientSide,
    exchange: Exchange,
}

/// How much of the control channel is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// All of it.
    Clear,
    /// Nothing: the peers encrypt it.
    Opaque,
    /// The server has ended or the way to it was lost: nothing more passes.
    Over,
}

impl Session {
    /// A session whose server has not greeted yet.
    pub fn new(config: SessionConfig) -> Self {
        Self {
            exchange: Exchange::new(config.data_open),
            config,
            phase: Phase::Clear,
            client: ClientSide::default(),
        }
    }

    /// The client sent these bytes.
    pub fn client_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.phase {
            Phase::Clear => {
                self.client.push(bytes);
                self.end_other_protocol();
            }
            Phase::Opaque => self.client.send(bytes),
            Phase::Over => {}
        }
        self.pump(now);
    }

    /// The server sent these bytes.
    pub fn server_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.phase {
            Phase::Clear => self.exchange.server.push(bytes),
            Phase::Opaque => self.exchange.server.pass(bytes),
            Phase::Over => {}
        }
        self.client.server_spoke(now);
        self.pump(now);
    }

    /// The client ended its side in an orderly way.
    pub fn client_end(&mut self, now: Instant) {
        self.client.end();
        self.pump(now);
    }

    /// The server ended its side in an orderly way.
    pub fn server_end(&mut self, now: Instant) {
        self.exchange.server.end();
        self.pump(now);
    }

    /// The way to the server was cut: the client is told `421` with this reason, and then the end. What it sends from
    /// then on goes nowhere.
    pub fn server_lost(&mut self, _now: Instant, reason: &str) {
        self.lose(reason);
    }

    /// The answer to [`Action::Offer`]: the address to announce to the other peer, or why there is none, which becomes
    /// the text of a `425`. An endpoint that is no longer wanted is withdrawn at once.
    pub fn offered(&mut self, now: Instant, id: DataId, answer: Result<SocketAddr, String>) {
        match self.client.take_offer(id) {
            Some(offer) => self.active_offered(now, &offer, answer),
            None => self.exchange.passive_offered(id, answer),
        }
        self.client.server_spoke(now);
        self.pump(now);
    }

    /// Something happened on a data channel. A channel that the session no longer cares about is ignored.
    pub fn data_event(&mut self, now: Instant, id: DataId, event: DataEvent) {
        if self.exchange.data_event(now, id, event) {
            self.client.server_spoke(now);
        }
        self.pump(now);
    }

    /// The time said by [`next_timeout`](Self::next_timeout) has come. Harmless when it has not.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.exchange.expire(now) {
            self.client.server_spoke(now);
        }
        self.expire_answer(now);
        self.pump(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let answer = self.answer_deadline();
        self.exchange.deadline().into_iter().chain(answer).min()
    }

    /// Everything that may go to the client now, to be written at once; `None` where there is nothing.
    pub fn take_to_client(&mut self) -> Option<Vec<u8>> {
        self.exchange.server.take_to_client()
    }

    /// Everything that may go to the server now, to be written at once; `None` where there is nothing.
    pub fn take_to_server(&mut self) -> Option<Vec<u8>> {
        self.client.take_to_server()
    }

    /// The next thing to do, once the bytes have been taken and written.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.exchange.data.actions().pop()
    }

    /// Whether more of the client's bytes should be read now. False while what is held has reached 64 KiB;
    /// bytes given all the same are kept.
    pub fn wants_client_bytes(&self) -> bool {
        self.client.backlog() < MAX_BACKLOG
    }

    /// Whether more of the server's bytes should be read now. False while what is held has reached 64 KiB;
    /// bytes given all the same are kept.
    pub fn wants_server_bytes(&self) -> bool {
        self.exchange.server.backlog() < MAX_BACKLOG
    }

    /// Whether the server has accepted a login.
    pub fn logged_in(&self) -> bool {
        self.exchange.logged_in()
    }

    /// Whether the server lets its client work, however it answered the login: it has accepted a command that needs a
    /// login, or begun a transfer. Some servers ask for none.
    pub fn in_use(&self) -> bool {
        self.exchange.in_use()
    }

    /// Whether the control channel is encrypted from end to end.
    pub fn is_opaque(&self) -> bool {
        self.phase == Phase::Opaque
    }

    /// Goes on until nothing more can be done without news. The server's side first: a reply that came is older than
    /// what a command of the client will bring.
    fn pump(&mut self, now: Instant) {
        while self.server_step(now) || self.answer_step() || self.client_step(now) {}
        self.pass_ends();
    }

    /// Handles the next thing that the client said. False where there is none.
    fn client_step(&mut self, now: Instant) -> bool {
        if self.phase != Phase::Clear {
            return false;
        }
        match self.client.next() {
            Some(Said::Command(command, line)) => self.command(now, command, line),
            Some(Said::Overlong) => {
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
        if command.kind == CommandKind::Port {
            return self.port_command(now, command, line);
        }
        if command.kind == CommandKind::Auth && self.config.tls == TlsPolicy::Refuse {
            let reason = "AUTH is refused: SSH already encrypts this connection; go on without TLS";
            return self.client.answer_in_turn(now, 534, reason);
        }
        if command.kind == CommandKind::Abort {
            self.exchange.abort();
        }
        self.send_command(&command, &line, None);
    }

    fn port_command(&mut self, now: Instant, command: Command, line: Vec<u8>) {
        match decide(&self.config, &command, &line) {
            PortDecision::Pass(line) => self.send_command(&command, &line, None),
            PortDecision::Refuse((code, reason)) => {
                self.client.answer_in_turn(now, code, &reason);
            }
            PortDecision::Offer(port) => {
                let target = target(&self.config, &port);
                let id = self.exchange.data.offer_active(target);
                self.client.hold(ActiveOffer {
                    id,
                    line,
                    command,
                    port,
                });
            }
        }
    }

    /// Announces the endpoint to the server, or tells the client that there is none.
    fn active_offered(
        &mut self,
        now: Instant,
        offer: &ActiveOffer,
        answer: Result<SocketAddr, String>,
    ) {
        match answer {
            Ok(address) => {
                self.send_command(&offer.command, &offer.announce(address), Some(offer.id))
            }
            Err(reason) => {
                self.exchange.data.forget(offer.id);
                self.client.answer_in_turn(now, NO_DATA_CONNECTION, &reason);
            }
        }
    }

    /// Hands a command on in these words; `offer` is the channel that they announce.
    fn send_command(&mut self, command: &Command, line: &[u8], offer: Option<DataId>) {
        self.exchange.command_sent(Sent {
            text: command.shown(line),
            kind: command.kind,
            offer,
        });
        self.client.send(line);
    }

    /// Gives the answer that waits, if its turn has come: the server owes no reply. False if not.
    fn answer_step(&mut self) -> bool {
        if !self.client.has_answer() || self.exchange.data.holds_reply() {
            return false;
        }
        if self.exchange.owes_reply() && self.exchange.server.is_open() {
            return false;
        }
        self.give_answer();
        true
    }

    fn give_answer(&mut self) {
        if let Some(answer) = self.client.take_answer() {
            self.exchange.server.pass(&answer);
        }
    }

    /// When the server will have been silent for too long, where a silence can mean that it owes nothing.
    fn answer_deadline(&self) -> Option<Instant> {
        let waits = self.exchange.expects_transfer() || self.exchange.data.holds_reply();
        self.client.answer_deadline().filter(|_| !waits)
    }

    /// Gives the answer that waits, if the server has been silent for too long.
    fn expire_answer(&mut self, now: Instant) {
        if self.answer_deadline().is_some_and(|due| now >= due) {
            self.exchange.forgo_replies();
            self.give_answer();
        }
    }

    /// Handles the next thing that the server said. False where there is none.
    fn server_step(&mut self, now: Instant) -> bool {
        let more = self.phase == Phase::Clear && self.exchange.step(now);
        if more && self.exchange.encrypts() {
            self.become_opaque();
        }
        more
    }

    /// Passes the ends on behind everything that came before them.
    fn pass_ends(&mut self) {
        if self.client.pass_end() {
            self.exchange.data.actions().push(Action::EndServer);
        }
        if self.exchange.server.end_is_due() && !self.exchange.data.holds_reply() {
            let code = self.tell_of_broken_transfer();
            self.close(code);
        }
    }

    /// A server that leaves in the middle of a transfer says nothing of it, and the client's data may have ended like a
    /// whole file. Half a line of the server's is not passed before it: ended here, it might read as a success. The code
    /// that the client is told; 0 for none.
    fn tell_of_broken_transfer(&mut self) -> u16 {
        if self.exchange.data.has_transfer() && self.phase == Phase::Clear {
            self.exchange.server.tell_closing("The FTP server closed the connection in the middle of the transfer; the file is not complete");
            return SERVICE_CLOSING;
        }
        self.exchange.server.pass_rest();
        0
    }

    /// Ends the session of a client that speaks another protocol.
    fn end_other_protocol(&mut self) {
        if let Some(protocol) = self.client.other_protocol() {
            self.exchange
                .data
                .actions()
                .tell(Event::NotFtp { protocol });
            self.lose(&format!(
                "This is an FTP server, and what you sent is {protocol}; the session ends"
            ));
        }
    }

    /// The way to the server is gone: tells the client, and drops what can no longer be passed on.
    fn lose(&mut self, reason: &str) {
        if self.phase == Phase::Over || self.exchange.server.is_over() {
            return;
        }
        // In an encrypted stream, text in the clear would be an attack.
        if self.phase == Phase::Clear {
            self.exchange.server.tell_closing(reason);
        }
        self.phase = Phase::Over;
        self.client.discard();
        self.close(SERVICE_CLOSING);
    }

    /// After the server agreed to encrypt: everything passes as it comes.
    fn become_opaque(&mut self) {
        self.phase = Phase::Opaque;
        let offer = self.client.become_opaque();
        self.exchange.withdraw(offer);
        self.exchange.server.pass_rest();
        self.exchange.data.actions().tell(Event::Opaque);
    }

    /// The server will say nothing more: ends what depended on it, and the client's side. `code` is what the client was
    /// told of a transfer that runs.
    fn close(&mut self, code: u16) {
        self.exchange.close(code);
        // An encrypted stream may still flow the other way; of a clear one nobody would answer a command.
        if self.phase == Phase::Clear {
            self.phase = Phase::Over;
            self.client.discard();
        }
        let offer = self.client.drop_held();
        self.exchange.withdraw(offer);
        self.exchange.data.actions().push(Action::EndClient);
    }
}
