//! Successes that may be a transfer's although they seem to be about something else.
//!
//! Servers answer commands in the middle of a transfer, or skip replies, or never end one of several lines. So what a success
//! is about can be unclear, and a client may take it for that of its upload. Where the data is known to be broken, such a
//! reply becomes the transfer's failure. Where nothing is known yet, it passes once the SSH session of the data has shown
//! that it is alive.
//!
//! In a download nothing needs to be asked: how its data connection ends tells the client the outcome.

use super::super::reply_part::ReplyPart;
use super::transfer::Transfer;
use crate::channels::{Channels, TransferOutcome};
use crate::event::{DataId, Direction};

/// A line of the server's that waits for a liveness check.
#[derive(Debug)]
pub(super) struct AmbiguousReply {
    pub(super) part: ReplyPart,
    data: DataId,
    /// The check that was asked for, once the data connection is there.
    check: Option<u64>,
}

/// What is known of a transfer that the client may take a success for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The client may do so, or there is no such transfer.
    Harmless,
    Broken,
    Unclear(DataId),
}

impl AmbiguousReply {
    pub(super) fn new(part: ReplyPart, data: DataId) -> Self {
        Self {
            part,
            data,
            check: None,
        }
    }

    /// Whether the SSH session of the data was alive after the success came.
    pub(super) fn is_settled(&self, channels: &Channels) -> bool {
        let channel = channels.get(self.data);
        let answered = |check| channel.is_some_and(|channel| channel.answered(check));
        self.check.is_some_and(answered)
    }

    /// Asks for a check once there is a connection that can give one.
    pub(super) fn ask(&mut self, channels: &mut Channels) {
        let joined = channels.get(self.data).is_some_and(|it| it.joined);
        if self.check.is_none() && joined {
            self.check = Some(channels.check_liveness(self.data));
        }
    }
}

/// What is known of the transfer that runs.
pub(super) fn finding(transfer: &Transfer, channels: &Channels) -> Finding {
    match transfer.outcome(channels) {
        _ if transfer.is_refused_by_client() => Finding::Harmless,
        TransferOutcome::Failed(_) => Finding::Broken,
        TransferOutcome::Undecided if transfer.direction != Direction::Download => {
            transfer.data.map_or(Finding::Harmless, Finding::Unclear)
        }
        TransferOutcome::Undecided | TransferOutcome::Complete => Finding::Harmless,
    }
}

/// The same of a transfer in this direction whose start no reply has told. Nothing can have gone wrong with one whose data
/// connection is not there yet.
pub(super) fn finding_before_the_start(direction: Direction, channels: &Channels) -> Finding {
    let Some(channel) = channels.current().and_then(|id| channels.get(id)) else {
        return Finding::Harmless;
    };
    match channels.outcome(Some(channel.id), direction) {
        TransferOutcome::Failed(_) => Finding::Broken,
        TransferOutcome::Undecided if channel.joined && direction != Direction::Download => {
            Finding::Unclear(channel.id)
        }
        TransferOutcome::Undecided | TransferOutcome::Complete => Finding::Harmless,
    }
}
