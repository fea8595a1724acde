//! The client's side: its command lines, the lines that go to the server, and the reasons to hold the next one.
//!
//! A client expects replies in the order of its commands. So if the session itself answers a command, it holds the
//! client's side until the server owes no reply.

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

/// How long a server may be silent before the session no longer expects its reply. Servers that skip replies would
/// otherwise make the client wait forever. A reply on a slow connection takes less.
const SILENCE: Duration = Duration::from_secs(2);

/// The client's side of a session.
#[derive(Debug, Default)]
pub(super) struct ClientSide {
    lines: LineBuffer,
    /// Whether the client has proved to speak FTP.
    speaks_ftp: bool,
    /// Whether only parsed commands may pass, since TLS is required and has not begun.
    guarded: bool,
    /// Whether to drop the rest of a line that is too long to parse.
    drop_line: bool,
    /// A `PORT` that waits for its endpoint. At most one of this and `answer` holds the next line.
    offer: Option<ActiveOffer>,
    /// The session's own reply that waits for its turn.
    answer: Option<LocalAnswer>,
    /// The next line waits for the server's reply to the last command, which is perhaps sent again in another form.
    wait: Option<ReplyWait>,
    end: End,
    to_server: Vec<u8>,
}

/// A reply that waits for its turn.
#[derive(Debug)]
struct LocalAnswer {
    reply: Vec<u8>,
    /// The start of the server's silence; `None` if the reply waits as long as the server owes others.
    since: Option<Instant>,
}

/// A wait for the server's reply to the last command.
#[derive(Debug)]
struct ReplyWait {
    /// The start of the server's silence.
    since: Instant,
    /// The command, if it is a `PORT`.
    port: Option<ActiveOffer>,
}

/// Input from the client.
#[derive(Debug)]
pub(super) enum Said {
    /// A command and its line.
    Command(Command, Vec<u8>),
    /// A line that is too long to parse, which goes to the server. The server will answer it once.
    Overlong,
    /// A line that is too long to parse, which does not go to the server.
    Dropped,
}

impl ClientSide {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// Sets whether lines without a known command stay here, because nothing may pass before TLS.
    pub(super) fn set_guarded(&mut self, guarded: bool) {
        self.guarded = guarded;
    }

    /// The number of unread bytes.
    pub(super) fn backlog(&self) -> usize {
        self.lines.len()
    }

    /// Whether the client has said nothing that waits, and can say more.
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_held() && self.lines.len() == 0 && self.end == End::Open
    }

    /// The protocol that the client speaks, if it is now known not to be FTP.
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

    /// The client's next input, unless it must wait. Lines without a meaning go to the server.
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
                        None if self.guarded => {}
                        None => self.send(&line),
                    }
                }
                Piece::Fragment { first, .. } if self.guarded => {
                    self.drop_line = true;
                    if first {
                        return Some(Said::Dropped);
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

    /// Passes a line, or a part of one, to the server.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.to_server.extend_from_slice(line);
    }

    /// All bytes that can go to the server now.
    pub(super) fn take_to_server(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.to_server)).filter(|bytes| !bytes.is_empty())
    }

    /// Holds further input until there is an endpoint for this command.
    pub(super) fn hold(&mut self, offer: ActiveOffer) {
        self.offer = Some(offer);
    }

    /// Removes the command that waits for this channel's endpoint.
    pub(super) fn take_offer(&mut self, id: DataId) -> Option<ActiveOffer> {
        self.offer.take_if(|offer| offer.id == id)
    }

    /// Answers the last command. Further input of the client waits until the answer is sent.
    pub(super) fn answer_in_turn(&mut self, now: Instant, code: u16, text: &str) {
        self.answer = Some(LocalAnswer {
            reply: reply(code, text),
            since: Some(now),
        });
    }

    /// The same for a transfer, which must not seem to have another command's success, however late that comes.
    pub(super) fn refuse_in_turn(&mut self, code: u16, text: &str) {
        self.answer = Some(LocalAnswer {
            reply: reply(code, text),
            since: None,
        });
    }

    pub(super) fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether the waiting answer also waits for replies that may never come.
    pub(super) fn answer_waits_for_all(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_some_and(|answer| answer.since.is_none())
    }

    /// Removes the waiting answer, whose turn has come.
    pub(super) fn take_answer(&mut self) -> Option<Vec<u8>> {
        self.answer.take().map(|answer| answer.reply)
    }

    /// Holds further input until the server has answered the last command.
    pub(super) fn wait_for_reply(&mut self, now: Instant, port: Option<ActiveOffer>) {
        self.wait = Some(ReplyWait { since: now, port });
    }

    /// The server has answered the last command, or never will. Returns the command, if it is a `PORT`.
    pub(super) fn stop_waiting(&mut self) -> Option<ActiveOffer> {
        self.wait.take()?.port
    }

    /// When the server's silence becomes too long for the waiting input.
    pub(super) fn wait_deadline(&self) -> Option<Instant> {
        self.wait.as_ref().map(|wait| wait.since + SILENCE)
    }

    /// Records that the server is not silent.
    pub(super) fn server_spoke(&mut self, now: Instant) {
        if let Some(wait) = &mut self.wait {
            wait.since = now;
        }
        if let Some(since) = self.answer.as_mut().and_then(|it| it.since.as_mut()) {
            *since = now;
        }
    }

    /// When the server's silence becomes too long for the waiting answer.
    pub(super) fn answer_deadline(&self) -> Option<Instant> {
        Some(self.answer.as_ref()?.since? + SILENCE)
    }

    /// Records that the client ended its side.
    pub(super) fn end(&mut self) {
        self.end.came();
    }

    /// Passes the end on after everything before it. True if it did. Some servers carry out a line without its end, so
    /// an address in it must not pass.
    pub(super) fn pass_end(&mut self) -> bool {
        if self.end != End::Came || self.is_held() {
            return false;
        }
        self.end = End::Passed;
        let unfinished = self.lines.take_rest();
        if announcing_verb(&unfinished).is_none() && !self.guarded {
            self.send(&unfinished);
        }
        true
    }

    /// From now on all bytes pass unchanged, and the session sends no answer in the clear. Returns the channel of a
    /// command that waited for its endpoint.
    pub(super) fn become_opaque(&mut self) -> Option<DataId> {
        self.answer = None;
        self.wait = None;
        let offer = self.offer.take();
        if let Some(offer) = &offer {
            self.send(&offer.line);
        }
        let rest = self.lines.take_rest();
        self.send(&rest);
        offer.map(|offer| offer.id)
    }

    /// Drops unread input: nobody would answer it.
    pub(super) fn discard(&mut self) {
        self.lines.take_rest();
    }

    /// Drops everything that waits. Returns the channel of a command that waited for its endpoint.
    pub(super) fn drop_held(&mut self) -> Option<DataId> {
        self.answer = None;
        self.wait = None;
        self.offer.take().map(|offer| offer.id)
    }

    fn is_held(&self) -> bool {
        self.offer.is_some() || self.answer.is_some() || self.wait.is_some()
    }

    /// Passes on the allowed part of a line that is too long to parse. If the line could contain an address, or is not
    /// known to be another command, sends a command that the server refuses instead.
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
