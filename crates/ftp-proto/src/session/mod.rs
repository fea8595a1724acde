//! The session state machine: bytes of both peers in, bytes for both peers and actions out.

mod active;
mod ambiguous;
mod announcement;
mod answer;
mod client;
mod ending;
mod first_bytes;
mod offer;
mod outcome;
mod passive;
mod server;
mod start;
mod transfer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::channels::Channels;
use crate::line::{LineBuffer, MAX_LINE};
use crate::pending_replies::PendingReplies;
use crate::reply::ReplyTracker;
use crate::{Action, DataEvent, DataId, Event, SessionConfig};
use active::ActiveOffer;
use ambiguous::AmbiguousReply;
use announcement::Announcement;
use answer::LocalAnswer;
use ending::End;
use first_bytes::FirstBytes;
use outcome::Completion;
use passive::PassiveOffer;
use start::Start;
use transfer::Transfer;

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
    logged_in: bool,
    in_use: bool,
    /// Whether a transfer ends when its data connection does: so in MODE S, not in MODE B and C.
    ends_with_connection: bool,

    from_client: LineBuffer,
    first_bytes: FirstBytes,
    /// The rest of a line too long to be understood is not passed on to the server.
    drop_command: bool,
    client_hold: Option<ClientHold>,
    client_end: End,
    to_server: Vec<u8>,

    from_server: LineBuffer,
    server_hold: Option<ServerHold>,
    server_end: End,
    to_client: Vec<u8>,

    replies: ReplyTracker,
    announcement: Announcement,
    /// The rest of the reply that is open gives way to a reply made here.
    swallow: bool,
    pending: PendingReplies,
    channels: Channels,
    /// The channel that the server would use for a transfer now.
    current: Option<DataId>,
    /// The data connection that the server would use now does not go through the broker.
    data_unseen: bool,
    transfer: Option<Transfer>,
    /// Why the last transfer was not seen to be whole, if so.
    incomplete: Option<String>,
    /// How often the SSH session of a data channel was checked.
    checks: u64,
    actions: VecDeque<Action>,
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

/// Why the client's bytes wait.
#[derive(Debug)]
enum ClientHold {
    /// An endpoint is being made for a `PORT`.
    Offer(ActiveOffer),
    /// A reply made here waits for its turn.
    Answer(LocalAnswer),
}

/// Why the server's bytes wait.
#[derive(Debug)]
enum ServerHold {
    /// An endpoint is being made for a passive reply.
    Offer(PassiveOffer),
    /// A transfer has begun, and the client's data connection has not been seen.
    Start(Start),
    /// A transfer was reported complete, and its data channel has not said so.
    Completion(Completion),
    /// A success may be a transfer's, and its data channel has not shown that it is alive.
    Ambiguous(AmbiguousReply),
}

impl Session {
    /// A session whose server has not greeted yet.
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            phase: Phase::Clear,
            logged_in: false,
            in_use: false,
            ends_with_connection: true,
            from_client: LineBuffer::default(),
            first_bytes: FirstBytes::default(),
            drop_command: false,
            client_hold: None,
            client_end: End::Open,
            to_server: Vec::new(),
            from_server: LineBuffer::default(),
            server_hold: None,
            server_end: End::Open,
            to_client: Vec::new(),
            replies: ReplyTracker::default(),
            announcement: Announcement::default(),
            swallow: false,
            pending: PendingReplies::new(),
            channels: Channels::default(),
            current: None,
            data_unseen: false,
            transfer: None,
            incomplete: None,
            checks: 0,
            actions: VecDeque::new(),
        }
    }

    /// The client sent these bytes.
    pub fn client_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.phase {
            Phase::Clear => self.from_client.push(bytes),
            Phase::Opaque => self.to_server.extend_from_slice(bytes),
            Phase::Over => {}
        }
        self.look_at_first_bytes();
        self.pump(now);
    }

    /// The server sent these bytes.
    pub fn server_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.phase {
            Phase::Clear => self.from_server.push(bytes),
            Phase::Opaque => self.to_client.extend_from_slice(bytes),
            Phase::Over => {}
        }
        self.server_spoke(now);
        self.pump(now);
    }

    /// The client ended its side in an orderly way.
    pub fn client_end(&mut self, now: Instant) {
        self.client_end.came();
        self.pump(now);
    }

    /// The server ended its side in an orderly way.
    pub fn server_end(&mut self, now: Instant) {
        self.server_end.came();
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
        self.resolve_offer(now, id, answer);
        self.server_spoke(now);
        self.pump(now);
    }

    /// Something happened on a data channel. A channel that the session no longer cares about is ignored.
    pub fn data_event(&mut self, now: Instant, id: DataId, event: DataEvent) {
        self.channels.note(id, event);
        if self.review_start() || self.review_completion() || self.review_ambiguous(now) {
            self.server_spoke(now);
        }
        self.pump(now);
    }

    /// The time said by [`next_timeout`](Self::next_timeout) has come. Harmless when it has not.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.expire_start(now) || self.expire_completion(now) {
            self.server_spoke(now);
        }
        self.expire_announcement(now);
        self.expire_answer(now);
        self.pump(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.completion_deadline()
            .into_iter()
            .chain(self.start_deadline())
            .chain(self.answer_deadline())
            .chain(self.announcement_deadline())
            .min()
    }

    /// Everything that may go to the client now, to be written at once; `None` where there is nothing.
    pub fn take_to_client(&mut self) -> Option<Vec<u8>> {
        take(&mut self.to_client)
    }

    /// Everything that may go to the server now, to be written at once; `None` where there is nothing.
    pub fn take_to_server(&mut self) -> Option<Vec<u8>> {
        take(&mut self.to_server)
    }

    /// The next thing to do, once the bytes have been taken and written.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether more of the client's bytes should be read now. False while what is held has reached 64 KiB;
    /// bytes given all the same are kept.
    pub fn wants_client_bytes(&self) -> bool {
        self.from_client.len() < MAX_BACKLOG
    }

    /// Whether more of the server's bytes should be read now. False while what is held has reached 64 KiB;
    /// bytes given all the same are kept.
    pub fn wants_server_bytes(&self) -> bool {
        self.from_server.len() < MAX_BACKLOG
    }

    /// Whether the server has accepted a login.
    pub fn logged_in(&self) -> bool {
        self.logged_in
    }

    /// Whether the server lets its client work, however it answered the login: it has accepted a command that needs a
    /// login, or begun a transfer. Some servers ask for none.
    pub fn in_use(&self) -> bool {
        self.in_use || self.logged_in
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

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: Event) {
        self.act(Action::Event(event));
    }
}

/// The content of a buffer, which is left empty.
fn take(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    (!buffer.is_empty()).then(|| std::mem::take(buffer))
}
