//! The server's side: its lines, the reply that each belongs to, and the lines that go to the client.

use std::time::Instant;

use super::announcement::{ENDLESS, HeldAnnouncement, TOO_LONG, announces, inner_line};
use super::end::End;
use super::features;
use super::reply_part::{Heard, Place, ReplyPart};
use super::sizes::fact;
use crate::address::PassiveHead;
use crate::event::Told;
use crate::line::{LineBuffer, Piece};
use crate::reply::{ReplyLine, ReplyTracker};
use crate::telnet;
use crate::text::reply;

/// The code of a reply that announces the end of the session (RFC 959, section 5.4).
pub(super) const SERVICE_CLOSING: u16 = 421;

/// What the server can send next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// A `125` or `150` can be the answer to a transfer command.
    pub(super) start: bool,
    /// A reply answers a command that the client has not sent.
    pub(super) ahead: bool,
}

/// The server's side of a session.
#[derive(Debug, Default)]
pub(super) struct ServerSide {
    lines: LineBuffer,
    replies: ReplyTracker,
    /// A passive reply without its end so far.
    announcement: Option<HeldAnnouncement>,
    /// The line after an abandoned passive reply.
    behind: Option<(ReplyLine, Vec<u8>)>,
    /// Whether to drop the rest of a line that is too long to parse.
    drop_line: bool,
    /// Whether to drop the rest of the open reply, which the session has replaced.
    swallow: bool,
    /// Whether the open reply lists features, with the session's own ones about TLS.
    lists_features: bool,
    /// Whether the open reply lists the facts of a file.
    lists_facts: bool,
    /// The size that such a reply has listed last.
    listed_size: Option<u64>,
    end: End,
    to_client: Vec<u8>,
}

impl ServerSide {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The number of unread bytes.
    pub(super) fn backlog(&self) -> usize {
        self.lines.len()
    }

    /// The next part that needs a decision. All other lines go to the client.
    pub(super) fn next(&mut self, now: Instant, expected: Expected) -> Option<Heard> {
        if let Some((place, line)) = self.behind.take()
            && let Some(heard) = self.place_line(now, place, line, expected)
        {
            return Some(heard);
        }
        loop {
            let heard = match self.lines.next() {
                Some(Piece::Line(line)) => self.line(now, line, expected),
                Some(Piece::Fragment { bytes, first }) => self.fragment(now, bytes, first),
                None => return self.at_end(now, expected),
            };
            if heard.is_some() {
                return heard;
            }
        }
    }

    /// Whether the next unread line is a whole passive reply.
    pub(super) fn next_announces(&self) -> bool {
        let line = self.next_reply();
        let head = PassiveHead::find(line).filter(|head| head.code_at == 0);
        head.is_some_and(|head| !head.goes_on(line))
    }

    /// Whether the next unread line is a whole reply with the general success code.
    pub(super) fn next_confirms(&self) -> bool {
        self.next_reply().starts_with(b"200 ")
    }

    /// The next unread line, if it is whole and begins a reply.
    fn next_reply(&self) -> &[u8] {
        let unread = self.lines.waiting();
        let between =
            !self.replies.is_open() && self.announcement.is_none() && self.behind.is_none();
        let end = unread.iter().position(|byte| *byte == b'\n');
        let line = end.and_then(|end| unread.get(..=end));
        line.filter(|_| between).unwrap_or_default()
    }

    /// Passes bytes to the client.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.to_client.extend_from_slice(bytes);
    }

    /// Sends the client this reply instead of the one whose first line was read last.
    pub(super) fn replace(&mut self, reply: &[u8]) {
        self.swallow = true;
        self.pass(reply);
    }

    /// Passes the first line of a list of features (RFC 2389), and adds those about TLS. The server's own features about
    /// TLS are left out, since the client does not speak TLS to the server.
    pub(super) fn pass_features(&mut self, line: &[u8]) {
        if self.replies.is_open() {
            self.pass(line);
            self.pass(features::TLS);
            self.lists_features = true;
        } else {
            self.pass(b"211-Features:\r\n");
            self.pass(features::TLS);
            self.pass(b"211 End\r\n");
        }
    }

    /// Reads the facts of a file (RFC 3659, section 7) in the lines that follow.
    pub(super) fn read_facts(&mut self) {
        self.lists_facts = true;
        self.listed_size = None;
    }

    /// The size that was listed since the last call.
    pub(super) fn take_listed_size(&mut self) -> Option<u64> {
        self.listed_size.take()
    }

    /// All bytes that can go to the client now.
    pub(super) fn take_to_client(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.to_client)).filter(|bytes| !bytes.is_empty())
    }

    /// Records that a command went to the server.
    pub(super) fn command_sent(&mut self) {
        self.replies.command_sent();
    }

    /// Whether a reply is open.
    pub(super) fn is_inside_reply(&self) -> bool {
        self.replies.is_open()
    }

    /// Ends an open reply.
    pub(super) fn forget_reply(&mut self) {
        self.replies.reset();
    }

    /// When a passive reply counts as ended.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.announcement.as_ref().map(HeldAnnouncement::deadline)
    }

    /// Ends a passive reply after too long a silence of the server.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Heard> {
        if self.deadline()? > now {
            return None;
        }
        self.replies.settle();
        self.give_up(ENDLESS)
    }

    /// Records that the server ended its side.
    pub(super) fn end(&mut self) {
        self.end.came();
    }

    /// Whether the server can send more.
    pub(super) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// Whether the server has ended, and the client does not know it yet.
    pub(super) fn end_is_due(&self) -> bool {
        self.end == End::Came
    }

    /// Whether the end was passed on to the client.
    pub(super) fn is_over(&self) -> bool {
        self.end == End::Passed
    }

    /// Sends the client a closing reply on a new line, and returns it.
    pub(super) fn tell_closing(&mut self, reason: &str) -> Told {
        if self.lines.is_inside_line() {
            self.pass(b"\r\n");
        }
        let line = reply(SERVICE_CLOSING, reason);
        self.pass(&line);
        Told::own(SERVICE_CLOSING, &line)
    }

    /// Passes all unread bytes unchanged.
    pub(super) fn pass_rest(&mut self) {
        let rest = self.lines.take_rest();
        self.pass(&rest);
    }

    /// The server will send nothing more.
    pub(super) fn close(&mut self) {
        self.end = End::Passed;
        self.lines.take_rest();
        self.announcement = None;
    }

    fn line(&mut self, now: Instant, line: Vec<u8>, expected: Expected) -> Option<Heard> {
        let line = self.plain(telnet::closed(line));
        let place = self.replies.line(&line, expected.start);
        let begins = matches!(place, ReplyLine::First(_) | ReplyLine::Stray);
        if let Some(held) = &mut self.announcement {
            if !begins {
                held.push(now, &line);
                return self.review_announcement();
            }
            // For some clients another code has ended it; others still wait for its own code.
            self.behind = Some((place, line));
            return self.give_up(ENDLESS);
        }
        self.place_line(now, place, line, expected)
    }

    fn place_line(
        &mut self,
        now: Instant,
        place: ReplyLine,
        line: Vec<u8>,
        expected: Expected,
    ) -> Option<Heard> {
        let begins = matches!(place, ReplyLine::First(_) | ReplyLine::Stray);
        let line = match PassiveHead::find(&line) {
            Some(head) if begins => {
                self.swallow = false;
                self.announcement = Some(HeldAnnouncement::new(head, line, now));
                return self.review_announcement();
            }
            Some(head) => inner_line(head, line),
            None => line,
        };
        let part = |place, code, line| ReplyPart {
            place,
            code,
            line,
            own: false,
            at: now,
        };
        self.swallow &= !begins;
        self.lists_features &= !begins;
        self.lists_facts &= !begins;
        match place {
            ReplyLine::First(head) if head.code < 200 => {
                return Some(Heard::Preliminary(part(Place::First, head.code, line)));
            }
            // Decided at its end, since some servers begin a transfer in the middle of such a reply.
            ReplyLine::First(head) if head.code < 400 || !head.goes_on => {
                return Some(Heard::Final(part(Place::First, head.code, line)));
            }
            // Its end decides, and the client has not asked for it.
            ReplyLine::First(head) if expected.ahead && head.code != SERVICE_CLOSING => {
                self.swallow = true;
            }
            ReplyLine::Last(head) if head.code >= 400 => {
                return Some(Heard::Final(part(Place::Last, head.code, line)));
            }
            ReplyLine::Within(code) if !self.swallow => {
                return Some(Heard::Final(part(Place::Within, code, line)));
            }
            ReplyLine::First(_) | ReplyLine::Stray => self.pass(&line),
            ReplyLine::Rest | ReplyLine::Last(_) | ReplyLine::Within(_) => self.pass_inner(&line),
        }
        None
    }

    /// Passes on a later line of a reply, unless the reply or the line was replaced.
    fn pass_inner(&mut self, bytes: &[u8]) {
        if self.lists_facts && self.listed_size.is_none() {
            self.listed_size = fact(bytes);
        }
        let replaced = self.lists_features && features::concerns_tls(bytes);
        if !self.swallow && !replaced {
            self.pass(bytes);
        }
    }

    /// The line without Telnet commands, if it announces an address or can belong to such a reply: some clients ignore
    /// Telnet commands everywhere.
    fn plain(&self, line: Vec<u8>) -> Vec<u8> {
        if self.announcement.is_some() || announces(&line) {
            // The rest of a split command must not hide the end of a reply from some clients either.
            telnet::skip(&telnet::strip(&line)).to_vec()
        } else {
            line
        }
    }

    /// Handles a piece of a line that is too long to parse.
    fn fragment(&mut self, now: Instant, bytes: Vec<u8>, first: bool) -> Option<Heard> {
        if first {
            self.drop_line = false;
            return self.overlong(now, bytes);
        }
        if !self.drop_line {
            self.pass_overlong(&bytes);
        }
        None
    }

    fn overlong(&mut self, now: Instant, bytes: Vec<u8>) -> Option<Heard> {
        let bytes = self.plain(bytes);
        let head = PassiveHead::find(&bytes);
        if self.announcement.is_none() {
            let Some(head) = head.filter(|_| !self.replies.is_open()) else {
                let bytes = match head {
                    Some(head) => inner_line(head, bytes),
                    None => bytes,
                };
                self.pass_overlong(&bytes);
                return None;
            };
            let _ = self.replies.line(&bytes, false);
            self.announcement = Some(HeldAnnouncement::new(head, bytes, now));
        }
        self.drop_line = true;
        self.give_up(TOO_LONG)
    }

    fn pass_overlong(&mut self, bytes: &[u8]) {
        self.swallow &= self.replies.is_open();
        self.pass_inner(bytes);
    }

    /// The server has ended, and so has a passive reply. Some clients accept a line without its end.
    fn at_end(&mut self, now: Instant, expected: Expected) -> Option<Heard> {
        if self.end != End::Came {
            return None;
        }
        let unfinished = self.lines.waiting();
        let may_announce = self.announcement.is_some() || announces(unfinished);
        if !unfinished.is_empty() && may_announce {
            // Later text must not look like its end.
            let line = [&self.lines.take_rest()[..], b"\r\n"].concat();
            let heard = self.line(now, line, expected);
            if heard.is_some() {
                return heard;
            }
        }
        self.end_announcement()
    }

    /// Decides whether a passive reply continues.
    fn review_announcement(&mut self) -> Option<Heard> {
        let held = self.announcement.as_ref()?;
        if held.is_too_long() {
            return self.give_up(TOO_LONG);
        }
        if !held.may_be_over() && self.replies.is_open() {
            return None;
        }
        self.replies.reset();
        self.end_announcement()
    }

    /// A passive reply is complete.
    fn end_announcement(&mut self) -> Option<Heard> {
        let held = self.announcement.take()?;
        if held.says_a_number() {
            return Some(Heard::Announcement(held.read()));
        }
        let (code, line, at) = held.into_parts();
        Some(Heard::Final(ReplyPart {
            place: Place::First,
            code,
            line,
            own: false,
            at,
        }))
    }

    /// The session can no longer wait for the end of a passive reply. It drops the rest.
    fn give_up(&mut self, why: &'static str) -> Option<Heard> {
        let held = self.announcement.take()?;
        self.swallow = true;
        Some(Heard::Announcement(held.give_up(why)))
    }
}
