//! Passive replies are held to their end, since the address may stand on any of their lines.
//!
//! What is held leaves rewritten, or as a `425`, or unchanged where it says no number at all. Nothing else of the server's
//! may look like a passive reply to a client: see [`PassiveHead::find`].

use std::time::{Duration, Instant};

use crate::address::{PassiveHead, PassiveReply, says_a_number};
use crate::line::MAX_LINE;
use crate::telnet;
use crate::text::reply;

/// The code for a data connection that cannot be made (RFC 959, section 5.4).
pub(super) const NO_DATA_CONNECTION: u16 = 425;

/// The most lines of a passive reply that are held. Servers send one, or a few with a greeting.
const MAX_HELD_LINES: usize = 64;

/// The most bytes of a passive reply that are held: as many as of one line.
const MAX_HELD_BYTES: usize = MAX_LINE;

/// How long a server may be silent in the middle of a passive reply. Its lines come together, so it will not end then.
const SILENCE: Duration = Duration::from_secs(2);

/// Why a reply past these bounds is refused.
pub(super) const TOO_LONG: &str = "is too long";

/// Why a reply is refused that does not end with its own code.
pub(super) const ENDLESS: &str = "does not end";

/// Why a reply is refused that no pending command can have asked for.
const NOT_ASKED_FOR: &str = "was not asked for";

/// A passive reply whose end has not come.
#[derive(Debug)]
pub(super) struct HeldAnnouncement {
    code: u16,
    text: Vec<u8>,
    lines: usize,
    /// The last line, as a place in `text`.
    last: usize,
    /// When that line came.
    since: Instant,
}

/// A passive reply, to its end.
#[derive(Debug)]
pub(super) struct Announcement {
    code: u16,
    pub(super) text: Vec<u8>,
    pub(super) since: Instant,
    /// The address that it names, or why it must not pass.
    pub(super) address: Result<PassiveReply, &'static str>,
    /// Why it must not pass where nothing asked for it.
    unasked: &'static str,
}

impl Announcement {
    /// The reply that the client gets instead.
    pub(super) fn refusal(&self, why: &str) -> Vec<u8> {
        let code = self.code;
        let reason = format!("The FTP server's {code} reply {why}; try another data mode");
        reply(NO_DATA_CONNECTION, &reason)
    }

    /// The same for one that nothing asked for.
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

    /// Whether the last line ends the reply for some readers, whatever stands behind its code.
    pub(super) fn may_be_over(&self) -> bool {
        let last = self.text.get(self.last..).unwrap_or_default();
        PassiveHead::find(last)
            .is_some_and(|head| (head.code, head.code_at) == (self.code, 0) && !head.goes_on(last))
    }

    /// When it counts as ended.
    pub(super) fn deadline(&self) -> Instant {
        self.since + SILENCE
    }

    /// Whether anything in it could be an address.
    pub(super) fn says_a_number(&self) -> bool {
        says_a_number(self.code, &self.text)
    }

    /// It as an ordinary reply: its code, its text and when its last line came.
    pub(super) fn into_parts(self) -> (u16, Vec<u8>, Instant) {
        (self.code, self.text, self.since)
    }

    /// The whole of it is there.
    pub(super) fn read(self) -> Announcement {
        let address = PassiveReply::read(self.code, &self.text);
        self.ended(address, NOT_ASKED_FOR)
    }

    /// Its end cannot be waited for.
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

/// Whether a line begins like a passive reply once Telnet commands are left out.
pub(super) fn announces(line: &[u8]) -> bool {
    PassiveHead::find(&telnet::strip(line)).is_some()
}

/// A line of another reply that looks like a passive one. A server ought to put a blank before the code of such a line
/// (RFC 959, section 4.2); some clients take it for a reply of its own.
pub(super) fn inner_line(head: PassiveHead, mut line: Vec<u8>) -> Vec<u8> {
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
