//! Passive replies are held to their end, since the address may stand on any of their lines.
//!
//! What is held leaves rewritten, or as a `425`, or unchanged where it says no number at all. Nothing else of the server's
//! may look like a passive reply to a client: see [`PassiveHead::find`].

use std::time::{Duration, Instant};

use super::Session;
use super::ending::End;
use super::offer::NO_DATA_CONNECTION;
use crate::address::{PassiveHead, PassiveReply, says_a_number};
use crate::line::MAX_LINE;
use crate::reply::ReplyLine;
use crate::telnet;
use crate::text::reply;

/// The most lines of a passive reply that are held. Servers send one, or a few with a greeting.
const MAX_HELD_LINES: usize = 64;

/// The most bytes of a passive reply that are held: as many as of one line.
const MAX_HELD_BYTES: usize = MAX_LINE;

/// How long a server may be silent in the middle of a passive reply. Its lines come together, so it will not end then.
const SILENCE: Duration = Duration::from_secs(2);

/// Why a reply past these bounds is refused.
const TOO_LONG: &str = "is too long";

/// Why a reply is refused that does not end with its own code.
const ENDLESS: &str = "does not end";

/// What is known of a passive reply on its way to the client.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    held: Option<Held>,
    /// The rest of a line too long to be understood is not passed on.
    drop_line: bool,
}

/// A passive reply whose end has not come.
#[derive(Debug)]
struct Held {
    code: u16,
    text: Vec<u8>,
    lines: usize,
    /// The last line, as a place in `text`.
    last: usize,
    /// When that line came.
    since: Instant,
}

impl Held {
    fn new(head: PassiveHead, line: Vec<u8>, now: Instant) -> Self {
        Self {
            code: head.code,
            text: line,
            lines: 1,
            last: 0,
            since: now,
        }
    }

    fn push(&mut self, now: Instant, line: &[u8]) {
        self.last = self.text.len();
        self.text.extend_from_slice(line);
        self.lines += 1;
        self.since = now;
    }

    fn is_too_long(&self) -> bool {
        self.lines > MAX_HELD_LINES || self.text.len() > MAX_HELD_BYTES
    }

    /// Whether the last line ends the reply for some readers, whatever stands behind its code.
    fn may_be_over(&self) -> bool {
        let last = self.text.get(self.last..).unwrap_or_default();
        PassiveHead::find(last)
            .is_some_and(|head| (head.code, head.code_at) == (self.code, 0) && !head.goes_on(last))
    }
}

impl Session {
    /// Takes a line if it belongs to a passive reply; gives it back, maybe changed, if not.
    pub(super) fn hold_announcement(
        &mut self,
        now: Instant,
        place: ReplyLine,
        line: Vec<u8>,
    ) -> Option<(ReplyLine, Vec<u8>)> {
        let begins = matches!(place, ReplyLine::First(_) | ReplyLine::Stray);
        if self.announcement.held.is_some() {
            if !begins {
                self.hold_line(now, &line);
                return None;
            }
            // Some clients took another code for its end, others still wait for its own.
            self.give_up_announcement(ENDLESS);
        }
        match PassiveHead::find(&line) {
            Some(head) if begins => {
                self.swallow = false;
                self.announcement.held = Some(Held::new(head, line, now));
                self.review_announcement();
                None
            }
            Some(head) => Some((place, inner_line(head, line))),
            None => Some((place, line)),
        }
    }

    /// The line without Telnet commands, if it announces or may belong to an announcement: some clients leave them out
    /// wherever they stand.
    pub(super) fn plain_line(&self, line: Vec<u8>) -> Vec<u8> {
        if self.announcement.held.is_some() || announces(&line) {
            // Nor may the rest of a torn command hide for some where a reply ends.
            telnet::skip(&telnet::strip(&line)).to_vec()
        } else {
            line
        }
    }

    /// Handles a piece of a line too long to be understood. Gives back what may be passed on.
    pub(super) fn overlong_reply(
        &mut self,
        now: Instant,
        bytes: Vec<u8>,
        first: bool,
    ) -> Option<Vec<u8>> {
        if !first {
            return Some(bytes).filter(|_| !self.announcement.drop_line);
        }
        let bytes = self.plain_line(bytes);
        let head = PassiveHead::find(&bytes);
        let inside = self.replies.is_open();
        self.announcement.drop_line =
            self.announcement.held.is_some() || (head.is_some() && !inside);
        match head {
            _ if self.announcement.held.is_some() => self.give_up_announcement(TOO_LONG),
            Some(head) if inside => return Some(inner_line(head, bytes)),
            Some(head) => {
                let _ = self.replies.line(&bytes, false);
                self.announcement.held = Some(Held::new(head, bytes, now));
                self.give_up_announcement(TOO_LONG);
            }
            None => return Some(bytes),
        }
        None
    }

    /// The server has ended: so has a passive reply, and a line without its end is a line to some clients. False where
    /// there is neither.
    pub(super) fn announcement_at_end(&mut self, now: Instant) -> bool {
        if self.server_end != End::Came {
            return false;
        }
        let held = self.announcement.held.is_some();
        let unfinished =
            self.from_server.len() > 0 && (held || announces(self.from_server.waiting()));
        if unfinished {
            // What comes behind it must not read as its end.
            let line = [&self.from_server.take_rest()[..], b"\r\n"].concat();
            self.server_line(now, line);
        }
        if self.announcement.held.is_some() {
            self.end_announcement();
        }
        held || unfinished
    }

    /// When a passive reply counts as ended.
    pub(super) fn announcement_deadline(&self) -> Option<Instant> {
        self.announcement
            .held
            .as_ref()
            .map(|held| held.since + SILENCE)
    }

    /// Ends a passive reply in which the server has been silent for too long.
    pub(super) fn expire_announcement(&mut self, now: Instant) {
        let Some(held) = &self.announcement.held else {
            return;
        };
        if now >= held.since + SILENCE {
            self.replies.settle();
            self.give_up_announcement(ENDLESS);
        }
    }

    /// Forgets what was held: nobody is left to be told.
    pub(super) fn drop_announcement(&mut self) {
        self.announcement = Announcement::default();
    }

    fn hold_line(&mut self, now: Instant, line: &[u8]) {
        if let Some(held) = &mut self.announcement.held {
            held.push(now, line);
        }
        self.review_announcement();
    }

    /// Decides whether a passive reply goes on.
    fn review_announcement(&mut self) {
        let Some(held) = &self.announcement.held else {
            return;
        };
        if held.is_too_long() {
            self.give_up_announcement(TOO_LONG);
        } else if held.may_be_over() || !self.replies.is_open() {
            self.replies.reset();
            self.end_announcement();
        }
    }

    /// The whole of a passive reply is there.
    fn end_announcement(&mut self) {
        let Some(held) = self.announcement.held.take() else {
            return;
        };
        if !says_a_number(held.code, &held.text) {
            return self.final_reply(held.since, held.code, held.text);
        }
        let read = PassiveReply::read(held.code, &held.text);
        match (self.pending.answer_passive(), read) {
            (Some(skipped), Ok(reply)) => {
                self.assume_all_accepted(skipped);
                self.offer_passive(reply, held.text);
            }
            (Some(skipped), Err(why)) => {
                self.assume_all_accepted(skipped);
                self.to_client.extend(refusal(held.code, why));
            }
            (None, _) => self.refuse_announcement(&held, "was not asked for"),
        }
    }

    /// The end of a passive reply cannot be waited for. What comes of it yet is not passed on.
    fn give_up_announcement(&mut self, why: &str) {
        let Some(held) = self.announcement.held.take() else {
            return;
        };
        match self.pending.answer_passive() {
            Some(skipped) => {
                self.assume_all_accepted(skipped);
                self.to_client.extend(refusal(held.code, why));
            }
            None => self.refuse_announcement(&held, why),
        }
        self.swallow = true;
    }

    /// Goes on as if the server had said `425`: so the client takes it, whatever it waits for.
    fn refuse_announcement(&mut self, held: &Held, why: &str) {
        let line = refusal(held.code, why);
        self.final_reply(held.since, NO_DATA_CONNECTION, line);
    }
}

/// The reply that a client gets instead of a passive reply.
fn refusal(code: u16, why: &str) -> Vec<u8> {
    let reason = format!("The FTP server's {code} reply {why}; try another data mode");
    reply(NO_DATA_CONNECTION, &reason)
}

/// Whether a line begins like a passive reply once Telnet commands are left out.
fn announces(line: &[u8]) -> bool {
    PassiveHead::find(&telnet::strip(line)).is_some()
}

/// A line of another reply that looks like a passive one. A server ought to put a blank before the code of such a line
/// (RFC 959, section 4.2); some clients take it for a reply of its own.
fn inner_line(head: PassiveHead, mut line: Vec<u8>) -> Vec<u8> {
    let before = line.get(..head.code_at).unwrap_or_default();
    let padded = !before.is_empty() && before.iter().all(|byte| matches!(byte, b' ' | b'\t'));
    let number = line
        .get(head.text_at()..)
        .is_some_and(|text| text.iter().any(u8::is_ascii_digit));
    // One with a hyphen may be the first of a reply that goes on, for who takes the one around it for ended.
    if (number || head.goes_on(&line)) && !padded {
        line.splice(..head.code_at, [b' ']);
    }
    line
}
