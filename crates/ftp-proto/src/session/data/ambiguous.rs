//! Success replies that can belong to a transfer although they seem to belong to something else.
//!
//! Servers answer commands in the middle of a transfer, skip replies, or never end a multi-line reply. So the subject
//! of a success can be unclear, and a client can take it for the success of its upload. If the data is known to be
//! broken, such a reply becomes the transfer's failure. If nothing is known yet, it passes when the SSH session of the
//! data has proved to be alive.
//!
//! A download needs no check if the client is not behind SSH: the end of its data connection shows the client the
//! outcome.

use super::super::reply_part::ReplyPart;
use super::transfer::Transfer;
use crate::channels::{Channels, TransferOutcome};
use crate::event::{DataId, Direction};

/// A line of the server that waits for a liveness check.
#[derive(Debug)]
pub(super) struct AmbiguousReply {
    pub(super) part: ReplyPart,
    data: DataId,
    /// The requested check, once there is a data connection.
    check: Option<u64>,
}

/// The state of a transfer whose success the client could see in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The reply does no harm, or there is no such transfer.
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

    /// Whether the SSH session of the data was alive after the success.
    pub(super) fn is_settled(&self, channels: &Channels) -> bool {
        let channel = channels.get(self.data);
        let answered = |check| channel.is_some_and(|channel| channel.answered(check));
        self.check.is_some_and(answered)
    }

    /// Requests a check as soon as there is a connection for it.
    pub(super) fn ask(&mut self, channels: &mut Channels) {
        let joined = channels.get(self.data).is_some_and(|it| it.joined);
        if self.check.is_none() && joined {
            self.check = Some(channels.check_liveness(self.data));
        }
    }
}

/// The state of the running transfer.
pub(super) fn finding(transfer: &Transfer, channels: &Channels) -> Finding {
    match transfer.outcome(channels) {
        _ if transfer.is_refused_by_client() || transfer.is_refuted() => Finding::Harmless,
        TransferOutcome::Failed(_) => Finding::Broken,
        TransferOutcome::Undecided if transfer.is_unclear(channels) => {
            transfer.data.map_or(Finding::Harmless, Finding::Unclear)
        }
        TransferOutcome::Undecided | TransferOutcome::Complete => Finding::Harmless,
    }
}

/// The same for a transfer in this direction whose start no reply has announced. Without a data connection, nothing can
/// have gone wrong yet.
pub(super) fn finding_before_the_start(direction: Direction, channels: &Channels) -> Finding {
    let Some(channel) = channels.current().and_then(|id| channels.get(id)) else {
        return Finding::Harmless;
    };
    match channels.outcome(Some(channel.id), direction) {
        TransferOutcome::Failed(_) => Finding::Broken,
        TransferOutcome::Undecided if channel.joined && channel.is_unclear(direction) => {
            Finding::Unclear(channel.id)
        }
        TransferOutcome::Undecided | TransferOutcome::Complete => Finding::Harmless,
    }
}
