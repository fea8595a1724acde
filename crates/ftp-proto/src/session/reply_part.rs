//! What the server says, as far as the session must decide about it.

use std::time::Instant;

use super::announcement::Announcement;

/// Something of a reply that does not simply pass.
#[derive(Debug)]
pub(super) enum Heard {
    /// The first line of a preliminary reply.
    Preliminary(ReplyPart),
    /// A line that ends a reply, or that may do so for some readers.
    Final(ReplyPart),
    /// A passive reply, to its end.
    Announcement(Announcement),
}

/// A line that tells what a reply means.
#[derive(Debug)]
pub(super) struct ReplyPart {
    pub(super) place: Place,
    pub(super) code: u16,
    pub(super) line: Vec<u8>,
    pub(super) at: Instant,
}

/// Where such a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It begins the reply.
    First,
    /// It is the last one of a reply of several lines that reports a failure.
    Last,
    /// It stands within a reply of several lines, and looks like the end of one.
    Within,
}
