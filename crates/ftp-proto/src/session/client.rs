//! The client's side: its command lines, what of them goes to the server, and why the next one waits.
//!
//! A client takes replies in the order of its commands. So a command that is answered here stops the client's side until
//! the server owes no reply.

use std::time::{Duration, Instant};

use super::end::End;
use super::first_bytes::{FirstBytes, find};
use super::port::ActiveOffer;
use crate::address::{Verb, announcing_verb, unreadable, verb};
use crate::command::Command;
use crate::event::{DataId, Protocol};
use crate::line::{LineBuffer, Piece};
use crate::telnet;
use crate::text::reply;

/// How long a server that owes a reply may be silent before it is taken as not coming. Servers that skip replies would
/// otherwise make the client wait forever; a reply on a slow link takes less.
const SILENCE: Duration = Duration::from_secs(2);

/// The client's side of a session.
#[derive(Debug, Default)]
pub(super) struct ClientSide {
    lines: LineBuffer,
    /// Whether the client was seen to speak FTP.
    speaks_ftp: bool,
    /// The rest of a line too long to be understood is not passed on.
    drop_line: bool,
    /// A `PORT` for which an endpoint is being made. At most one of this and `answer` holds the next line.
    offer: Option<ActiveOffer>,
    /// A reply made here that waits for its turn.
    answer: Option<LocalAnswer>,
    end: End,
    to_server: Vec<u8>,
}

/// A reply that waits for its turn.
#[derive(Debug)]
struct LocalAnswer {
    reply: Vec<u8>,
    /// Since when the server has been silent.
    since: Instant,
}

/// What the client said.
#[derive(Debug)]
pub(super) enum Said {
    /// A command, and its line.
    Command(Command, Vec<u8>),
    /// A line too long to be understood, which is on its way to the server. The server will answer it once.
    Overlong,
}

impl ClientSide {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// How many bytes wait.
    pub(super) fn backlog(&self) -> usize {
        self.lines.len()
    }

    /// The protocol that the client speaks, where that is seen now not to be FTP.
    pub(super) fn other_protocol(&mut self) -> Option<Protocol> {
        if self.speaks_ftp {
            return None;
        }
        match find(self.lines.waiting()) {
            FirstBytes::Other(protocol) => return Some(protocol),
            FirstBytes::Ftp => self.speaks_ftp = true,
            FirstBytes::Undecided => {}
        }
        None
    }

    /// The next thing that the client said, unless that waits. What means nothing goes to the server.
    pub(super) fn next(&mut self) -> Option<Said> {
        if self.is_held() {
            return None;
        }
        loop {
            match self.lines.next()? {
                Piece::Line(line) => {
                    let line = telnet::closed(line);
                    match Command::parse(&line) {
                        Some(command) => return Some(Said::Command(command, line)),
                        None => self.send(&line),
                    }
                }
                Piece::Fragment { bytes, first } => {
                    self.fragment(bytes, first);
                    if first {
                        return Some(Said::Overlong);
                    }
                }
            }
        }
    }

    /// Hands a line, or a part of one, to the server.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.to_server.extend_from_slice(line);
    }

    /// Everything that may go to the server now.
    pub(super) fn take_to_server(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.to_server)).filter(|bytes| !bytes.is_empty())
    }

    /// Holds what comes next until there is an endpoint for this command.
    pub(super) fn hold(&mut self, offer: ActiveOffer) {
        self.offer = Some(offer);
    }

    /// Takes the command that waits for this channel's endpoint.
    pub(super) fn take_offer(&mut self, id: DataId) -> Option<ActiveOffer> {
        self.offer.take_if(|offer| offer.id == id)
    }

    /// Answers the last command here. What the client says next waits until the answer is given.
    pub(super) fn answer_in_turn(&mut self, now: Instant, code: u16, text: &str) {
        self.answer = Some(LocalAnswer {
            reply: reply(code, text),
            since: now,
        });
    }

    pub(super) fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// Takes the answer that waits: its turn has come.
    pub(super) fn take_answer(&mut self) -> Option<Vec<u8>> {
        self.answer.take().map(|answer| answer.reply)
    }

    /// The server is not silent.
    pub(super) fn server_spoke(&mut self, now: Instant) {
        if let Some(answer) = &mut self.answer {
            answer.since = now;
        }
    }

    /// When the server will have been silent for too long for the answer that waits.
    pub(super) fn answer_deadline(&self) -> Option<Instant> {
        self.answer.as_ref().map(|answer| answer.since + SILENCE)
    }

    /// The client ended its side.
    pub(super) fn end(&mut self) {
        self.end.came();
    }

    /// Passes the end on behind everything that came before it. True if it did. Some servers carry out a line without its
    /// end, so an address in it must not pass.
    pub(super) fn pass_end(&mut self) -> bool {
        if self.end != End::Came || self.is_held() {
            return false;
        }
        self.end = End::Passed;
        let unfinished = self.lines.take_rest();
        if announcing_verb(&unfinished).is_none() {
            self.send(&unfinished);
        }
        true
    }

    /// From here on everything passes as it comes, and no answer in the clear. The channel of a command that waited for its
    /// endpoint.
    pub(super) fn become_opaque(&mut self) -> Option<DataId> {
        self.answer = None;
        let offer = self.offer.take();
        if let Some(offer) = &offer {
            self.send(&offer.line);
        }
        let rest = self.lines.take_rest();
        self.send(&rest);
        offer.map(|offer| offer.id)
    }

    /// Forgets what has not been looked at: nobody would answer it.
    pub(super) fn discard(&mut self) {
        self.lines.take_rest();
    }

    /// Nothing that waits will come about. The channel of a command that waited for its endpoint.
    pub(super) fn drop_held(&mut self) -> Option<DataId> {
        self.answer = None;
        self.offer.take().map(|offer| offer.id)
    }

    fn is_held(&self) -> bool {
        self.offer.is_some() || self.answer.is_some()
    }

    /// Hands on what may pass of a line too long to be understood. One that could name an address, or that is not seen to be
    /// another command, gives way to a command that the server refuses.
    fn fragment(&mut self, bytes: Vec<u8>, first: bool) {
        if !first {
            if !self.drop_line {
                self.send(&bytes);
            }
            return;
        }
        let dangerous = match verb(&bytes) {
            Verb::Announcing(verb) => Some(verb),
            Verb::Incomplete => Some("PORT"),
            Verb::Other => None,
        };
        self.drop_line = dangerous.is_some();
        let passed = dangerous.map_or(bytes, |verb| unreadable(verb, b"\r\n"));
        self.send(&passed);
    }
}
