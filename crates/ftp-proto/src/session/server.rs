//! What the server says: replies, passed on, held or replaced.

use std::time::Instant;

use super::ambiguous::Place;
use super::{Phase, Session};
use crate::kind::{CommandKind, reports_success};
use crate::line::Piece;
use crate::pending_replies::{Answered, Sent};
use crate::reply::ReplyLine;
use crate::{Event, telnet};

impl Session {
    /// Handles the server's next line, unless its bytes are held. False where there is none.
    pub(super) fn server_step(&mut self, now: Instant) -> bool {
        if self.server_hold.is_some() || self.phase != Phase::Clear {
            return false;
        }
        match self.from_server.next() {
            Some(Piece::Line(line)) => self.server_line(now, line),
            Some(Piece::Fragment { bytes, first }) => {
                if let Some(bytes) = self.overlong_reply(now, bytes, first) {
                    self.swallow &= self.replies.is_open();
                    self.pass_rest(bytes);
                }
            }
            None => return self.announcement_at_end(now),
        }
        true
    }

    pub(super) fn server_line(&mut self, now: Instant, line: Vec<u8>) {
        let line = self.plain_line(telnet::closed(line));
        let place = self.replies.line(&line, self.pending.expects_start());
        self.place_line(now, place, line);
    }

    fn place_line(&mut self, now: Instant, place: ReplyLine, line: Vec<u8>) {
        let Some((place, line)) = self.hold_announcement(now, place, line) else {
            return;
        };
        match place {
            ReplyLine::First(head) => {
                self.swallow = false;
                match head.code {
                    100..=199 => self.preliminary_reply(now, head.code, line),
                    // What it is about is known at its end: some servers begin a transfer before it, as if it were none.
                    400.. if head.goes_on => self.to_client.extend(line),
                    _ => self.final_reply(now, head.code, line),
                }
            }
            ReplyLine::Last(head) if head.code >= 400 => self.attribute_reply(now, head.code, line),
            ReplyLine::Within(code) if !self.swallow => {
                self.consider(now, Place::Within(code), line);
            }
            ReplyLine::Rest | ReplyLine::Last(_) | ReplyLine::Within(_) => self.pass_rest(line),
            ReplyLine::Stray => {
                self.swallow = false;
                self.pass_rest(line);
            }
        }
    }

    /// Passes on what is not the first line of a reply, unless its reply was replaced.
    fn pass_rest(&mut self, bytes: Vec<u8>) {
        if !self.swallow {
            self.to_client.extend(bytes);
        }
    }

    /// Gives the client this reply instead of the one whose first line was read last.
    pub(super) fn replace_reply(&mut self, reply: Vec<u8>) {
        self.swallow = true;
        self.to_client.extend(reply);
    }

    fn preliminary_reply(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        if matches!(code, 125 | 150)
            && let Some((sent, skipped)) = self.pending.start(self.transfer.is_some())
        {
            self.assume_all_accepted(skipped);
            self.in_use = true;
            self.begin_transfer(sent);
            return self.pass_start(now, line);
        }
        self.to_client.extend(line);
    }

    pub(super) fn final_reply(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        if matches!(code, 230 | 232) && !self.logged_in {
            self.logged_in = true;
            self.tell(Event::LoggedIn);
        }
        self.consider(now, Place::First(code), line);
    }

    /// Finds out what a final reply is about, and acts on it.
    pub(super) fn attribute_reply(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        match self.pending.answer(code, self.transfer.is_some()) {
            Answered::Running => return self.end_transfer(now, code, line),
            Answered::Command { sent, skipped } => {
                self.assume_all_accepted(skipped);
                self.note_use(&sent, code);
                if sent.kind.is_transfer() {
                    return self.end_unannounced_transfer(now, sent, code, line);
                }
                if sent.kind == CommandKind::Auth && code == 234 {
                    self.to_client.extend(line);
                    return self.become_opaque();
                }
                self.command_answered(&sent, code);
            }
            Answered::Nothing if reports_success(code) && self.refute_unasked_success() => return,
            Answered::Nothing => {}
        }
        self.to_client.extend(line);
    }

    /// Success with a login or with a command that needs one.
    fn note_use(&mut self, sent: &Sent, code: u16) {
        let verb = sent.text.split(' ').next().unwrap_or_default();
        let lets_in = sent.kind.needs_login() || matches!(verb, "USER" | "PASS" | "ACCT");
        self.in_use |= lets_in && matches!(code, 200..=299);
    }

    /// Takes note of the answer to a command that is no transfer.
    fn command_answered(&mut self, sent: &Sent, code: u16) {
        let accepted = matches!(code, 200..=299);
        if !accepted {
            sent.offer.into_iter().for_each(|id| self.withdraw(id));
        } else if sent.kind == CommandKind::Port {
            self.port_accepted(sent.offer);
        } else if let Some(ends) = sent.kind.ends_with_connection() {
            self.ends_with_connection = ends;
        }
    }
}
