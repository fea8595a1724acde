//! The parts of the server's output that need a decision.

use std::time::Instant;

use super::announcement::Announcement;

/// A part of a reply that needs a decision.
#[derive(Debug)]
pub(super) enum Heard {
    /// The first line of a preliminary reply.
    Preliminary(ReplyPart),
    /// A line that ends a reply, at least for some readers.
    Final(ReplyPart),
    /// A whole passive reply.
    Announcement(Announcement),
}

/// A line that decides what a reply means.
#[derive(Debug)]
pub(super) struct ReplyPart {
    pub(super) place: Place,
    pub(super) code: u16,
    pub(super) line: Vec<u8>,
    /// Whether the session wrote the line in the place of the server's.
    pub(super) own: bool,
    pub(super) at: Instant,
}

/// The place of such a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It begins the reply.
    First,
    /// It is the last line of a multi-line reply that reports a failure.
    Last,
    /// It is inside a multi-line reply, and looks like its end.
    Within,
}
