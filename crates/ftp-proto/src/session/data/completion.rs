//! The end of a transfer: the session passes success on only if it has seen it.
//!
//! When a data connection is cut, refused or reset, an FTP server often sees an orderly end and reports success. So a
//! report of success waits for the end of the transfer's data channel. It passes only if all data went through in the
//! transfer's direction and its end was orderly. Otherwise the client receives a failure. Only this module decides
//! that.

use std::time::{Duration, Instant};

use super::super::reply_part::ReplyPart;
use super::transfer::Transfer;
use crate::channels::{Channels, TransferOutcome};
use crate::event::{Action, Direction, Mode, Told};

/// How long a report of success waits for the server's data connection in active mode. The two come over different SSH
/// connections, so the report can be faster.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a report of success waits for the client to connect in passive mode.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a report of success waits for the confirmation of an upload: long enough for a slow connection.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);

/// The reason for an upload without a confirmed end.
const UNCONFIRMED: &str =
    "The upload could not be confirmed as complete; check the file and send it again";

/// The reason for a transfer that the server reported complete without a data connection.
const NEVER_OPENED: &str =
    "The FTP server reported success, but the data connection was never opened";

/// The first line of a reply that ends a transfer. The rest of the reply, if any, waits after it.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) code: u16,
    pub(super) line: Vec<u8>,
    own: bool,
    since: Instant,
    check: Option<LivenessCheck>,
}

/// A check whether the SSH session of a data channel is alive.
#[derive(Debug, Clone, Copy)]
struct LivenessCheck {
    number: u64,
    /// Everything had been handed over at the time of the request, so the answer proves that the transfer is complete.
    /// The server had already reported success, so the end that it saw was the client's.
    decisive: bool,
}

/// The decision about a completion.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is a failure, or a success that the session has seen.
    Pass,
    /// The session has not seen the success, for this reason.
    Replace(String),
    /// The data channel has not ended.
    Wait,
}

impl Completion {
    pub(super) fn new(part: ReplyPart) -> Self {
        Self {
            code: part.code,
            line: part.line,
            own: part.own,
            since: part.at,
            check: None,
        }
    }

    /// What the client receives if it passes.
    pub(super) fn told(&self) -> Told {
        let told = if self.own { Told::own } else { Told::servers };
        told(self.code, &self.line)
    }

    /// Decides about it. While it waits for a confirmation, requests two checks: one when the success of an upload comes,
    /// to learn whether the upload continues, and one whose answer proves that the transfer is complete.
    pub(super) fn review(&mut self, transfer: &Transfer, channels: &mut Channels) -> Verdict {
        let verdict = self.verdict(transfer, channels);
        if verdict == Verdict::Wait {
            let decisive = transfer.awaits_confirmation(channels);
            let is_news = match self.check {
                Some(asked) => decisive && !asked.decisive,
                None if transfer.direction() == Direction::Download => decisive,
                None => transfer.is_joined(channels),
            };
            if is_news {
                self.ask(decisive, transfer, channels);
            }
        }
        verdict
    }

    /// The end of the wait; `None` for a download: the client itself sees the end of its data whenever it comes, and
    /// may read slowly.
    pub(super) fn deadline(&self, transfer: &Transfer, channels: &Channels) -> Option<Instant> {
        let channel = transfer.channel(channels)?;
        let patience = match (channel.joined, transfer.direction()) {
            (false, _) if channel.mode == Mode::Active => ARRIVAL_PATIENCE,
            (false, _) => CONNECT_PATIENCE,
            (true, Direction::Download) => return None,
            (true, Direction::Upload | Direction::Unknown) => UPLOAD_PATIENCE,
        };
        Some(self.since + patience)
    }

    /// Why it must not pass at the end of the wait. Resets its data channel.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        transfer: &Transfer,
        channels: &mut Channels,
    ) -> Option<String> {
        let due = self.deadline(transfer, channels)?;
        if now < due || self.goes_on(now, transfer, channels) {
            return None;
        }
        let joined = transfer.is_joined(channels);
        let reason = if joined { UNCONFIRMED } else { NEVER_OPENED }.to_owned();
        if let Some(id) = transfer.data {
            channels.actions().push(Action::Abort {
                id,
                reason: reason.clone(),
            });
        }
        Some(reason)
    }

    fn verdict(&self, transfer: &Transfer, channels: &Channels) -> Verdict {
        if self.code >= 300 || transfer.is_refused_by_client() {
            return Verdict::Pass;
        }
        match transfer.outcome(channels) {
            TransferOutcome::Complete => Verdict::Pass,
            TransferOutcome::Failed(reason) => Verdict::Replace(reason),
            TransferOutcome::Undecided if self.is_answered(true, transfer, channels) => {
                Verdict::Pass
            }
            TransferOutcome::Undecided if transfer.is_aborted() => {
                Verdict::Replace("The transfer was aborted before it was complete".to_owned())
            }
            TransferOutcome::Undecided => Verdict::Wait,
        }
    }

    /// Whether the last check is of this kind, and has an answer.
    fn is_answered(&self, decisive: bool, transfer: &Transfer, channels: &Channels) -> bool {
        let asked = self.check.filter(|check| check.decisive == decisive);
        let channel = transfer.channel(channels);
        asked.is_some_and(|check| channel.is_some_and(|it| it.answered(check.number)))
    }

    /// Whether an upload continues after an early success of the server: its client has not ended it, and its SSH
    /// session is alive. If so, the wait starts again.
    fn goes_on(&mut self, now: Instant, transfer: &Transfer, channels: &mut Channels) -> bool {
        let alive = self.is_answered(false, transfer, channels);
        if alive {
            self.ask(false, transfer, channels);
            self.since = now;
        }
        alive
    }

    fn ask(&mut self, decisive: bool, transfer: &Transfer, channels: &mut Channels) {
        self.check = transfer.data.map(|id| LivenessCheck {
            number: channels.check_liveness(id),
            decisive,
        });
    }
}
