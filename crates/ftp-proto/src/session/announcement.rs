//! Holds passive replies until their end, since the address can be on any of their lines.
//!
//! A held reply leaves rewritten, as a `425`, or unchanged if it contains no number at all. No other text of the server
//! may look like a passive reply to a client: see [`PassiveHead::find`].

use std::time::{Duration, Instant};

use crate::address::{PassiveHead, PassiveReply, says_a_number};
use crate::line::MAX_LINE;
use crate::telnet;
use crate::text::reply;

/// The code for a failure to open the data connection (RFC 959, section 5.4).
pub const NO_DATA_CONNECTION: u16 = 425;

/// The most lines of a held passive reply. Servers send one, or a few with a greeting.
const MAX_HELD_LINES: usize = 64;

/// The most bytes of a held passive reply: as many as in one line.
const MAX_HELD_BYTES: usize = MAX_LINE;

/// How long a server may be silent in the middle of a passive reply. Its lines come together, so a longer silence means
/// that the end will not come.
const SILENCE: Duration = Duration::from_secs(2);

/// The reason to refuse a reply above these bounds.
pub(super) const TOO_LONG: &str = "is too long";

/// The reason to refuse a reply that does not end with its own code.
pub(super) const ENDLESS: &str = "does not end";

/// The reason to refuse a reply that no pending command can have requested.
const NOT_ASKED_FOR: &str = "is unsolicited";

/// A passive reply without its end so far.
#[derive(Debug)]
pub(super) struct HeldAnnouncement {
    code: u16,
    text: Vec<u8>,
    lines: usize,
    /// The range of the last line in `text`.
    last: usize,
    /// When that line came.
    since: Instant,
}

/// A whole passive reply.
#[derive(Debug)]
pub(super) struct Announcement {
    code: u16,
    pub(super) text: Vec<u8>,
    pub(super) since: Instant,
    /// Its address, or why it must not pass.
    pub(super) address: Result<PassiveReply, &'static str>,
    /// Why it must not pass if it is unsolicited.
    unasked: &'static str,
}

impl Announcement {
    /// The reply that the client receives instead.
    pub(super) fn refusal(&self, why: &str) -> Vec<u8> {
        let code = self.code;
        let reason = format!("The FTP server's {code} reply {why}; try another data mode");
        reply(NO_DATA_CONNECTION, &reason)
    }

    /// The same for an unsolicited reply.
    pub(super) fn refusal_unasked(&self) -> Vec<u8> {
        self.refusal(self.unasked)
    }
}

impl HeldAnnouncement {
    pub(super) fn new(head: PassiveHead, line: Vec<u8>, now: Instant) -> Self {
        Self {
            code: head.code,
            text: line,
            lines: 1,
            last: 0,
            since: now,
        }
    }

    pub(super) fn push(&mut self, now: Instant, line: &[u8]) {
        self.last = self.text.len();
        self.text.extend_from_slice(line);
        self.lines += 1;
        self.since = now;
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.lines > MAX_HELD_LINES || self.text.len() > MAX_HELD_BYTES
    }

    /// Whether the last line ends the reply for some readers, whatever follows its code.
    pub(super) fn may_be_over(&self) -> bool {
        let last = self.text.get(self.last..).unwrap_or_default();
        PassiveHead::find(last)
            .is_some_and(|head| (head.code, head.code_at) == (self.code, 0) && !head.goes_on(last))
    }

    /// When the reply counts as ended.
    pub(super) fn deadline(&self) -> Instant {
        self.since + SILENCE
    }

    /// Whether anything in the reply could be an address.
    pub(super) fn says_a_number(&self) -> bool {
        says_a_number(self.code, &self.text)
    }

    /// The parts of an ordinary reply: its code, its text, and the time of its last line.
    pub(super) fn into_parts(self) -> (u16, Vec<u8>, Instant) {
        (self.code, self.text, self.since)
    }

    /// The reply is complete.
    pub(super) fn read(self) -> Announcement {
        let address = PassiveReply::read(self.code, &self.text);
        self.ended(address, NOT_ASKED_FOR)
    }

    /// The session can no longer wait for its end.
    pub(super) fn give_up(self, why: &'static str) -> Announcement {
        self.ended(Err(why), why)
    }

    fn ended(
        self,
        address: Result<PassiveReply, &'static str>,
        unasked: &'static str,
    ) -> Announcement {
        Announcement {
            code: self.code,
            text: self.text,
            since: self.since,
            address,
            unasked,
        }
    }
}

/// Whether a line begins like a passive reply without its Telnet commands.
pub(super) fn announces(line: &[u8]) -> bool {
    PassiveHead::find(&telnet::strip(line)).is_some()
}

/// A line of another reply that looks like a passive one. A server should put a blank before the code of such a line
/// (RFC 959, section 4.2); some clients take it for a separate reply.
pub(super) fn inner_line(head: PassiveHead, mut line: Vec<u8>) -> Vec<u8> {
    let before = line.get(..head.code_at).unwrap_or_default();
    let padded = !before.is_empty() && before.iter().all(|byte| matches!(byte, b' ' | b'\t'));
    let number = line
        .get(head.text_at()..)
        .is_some_and(|text| text.iter().any(u8::is_ascii_digit));
    // For a reader for which the outer reply has ended, a line with a hyphen begins a reply of several lines.
    if (number || head.goes_on(&line)) && !padded {
        line.splice(..head.code_at, [b' ']);
    }
    line
}
