//! The end of a transfer: success is passed on only where it was seen.
//!
//! When a data connection is cut, refused or reset, an FTP server often sees an orderly end and reports success. So a
//! report of success waits until the transfer's data channel has said how it ended, and passes only if all of the data
//! went through in the transfer's direction and its end came in order. In any other case the client is told a failure. This
//! is the one place that decides it.

use std::time::{Duration, Instant};

use super::transfer::Transfer;
use crate::channels::{Channels, TransferOutcome};
use crate::event::{Action, Direction, Mode};

/// How long a report of success waits for the server's own connection in active mode. The two come over different SSH
/// connections, so the report may be the faster one.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a report of success waits for the client to connect in passive mode.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a report of success waits for word of an upload. Long enough for an answer on a slow line.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);

/// What an upload is told whose end nothing confirmed.
const UNCONFIRMED: &str =
    "The upload could not be confirmed as complete; check the file and send it again";

/// What a transfer is told that the server reported complete without a data connection.
const NEVER_OPENED: &str =
    "The FTP server reported success, but the data connection was never opened";

/// The first line of a reply that ends a transfer. The rest of the reply, if any, waits behind.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) code: u16,
    pub(super) line: Vec<u8>,
    since: Instant,
    check: Option<LivenessCheck>,
}

/// A check whether the SSH session of a data channel is alive.
#[derive(Debug, Clone, Copy)]
struct LivenessCheck {
    number: u64,
    /// Everything had been handed over when it was asked for, so that the answer proves the transfer whole. The server's
    /// success was there already: the end that the server saw was the client's.
    decisive: bool,
}

/// What is to become of a completion.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is no success, or a success that was seen.
    Pass,
    /// It was not seen to be true, for this reason.
    Replace(String),
    /// The data channel has not ended.
    Wait,
}

impl Completion {
    pub(super) fn new(code: u16, line: Vec<u8>, now: Instant) -> Self {
        Self {
            code,
            line,
            since: now,
            check: None,
        }
    }

    /// What is to become of it. Where it waits for word of an upload, a check is asked for: once when the success has come,
    /// to learn whether the upload goes on, and once when the answer proves it whole.
    pub(super) fn review(&mut self, transfer: &Transfer, channels: &mut Channels) -> Verdict {
        let verdict = self.verdict(transfer, channels);
        if verdict == Verdict::Wait {
            let decisive = transfer.awaits_confirmation(channels);
            let is_news = match self.check {
                Some(asked) => decisive && !asked.decisive,
                None => transfer.is_joined(channels) && transfer.direction != Direction::Download,
            };
            if is_news {
                self.ask(decisive, transfer, channels);
            }
        }
        verdict
    }

    /// Until when it may be held; `None` where the client sees the end of its data whenever it comes.
    pub(super) fn deadline(&self, transfer: &Transfer, channels: &Channels) -> Option<Instant> {
        let channel = transfer.channel(channels)?;
        let patience = match (channel.joined, transfer.direction) {
            (false, _) if channel.mode == Mode::Active => ARRIVAL_PATIENCE,
            (false, _) => CONNECT_PATIENCE,
            (true, Direction::Download) => return None,
            (true, Direction::Upload | Direction::Unknown) => UPLOAD_PATIENCE,
        };
        Some(self.since + patience)
    }

    /// Why it must not pass, where it has been held for long enough; its data channel is reset.
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
                Verdict::Replace("The transfer was aborted before its end was seen".to_owned())
            }
            TransferOutcome::Undecided => Verdict::Wait,
        }
    }

    /// Whether the check that was asked for last is of this sort, and was answered.
    fn is_answered(&self, decisive: bool, transfer: &Transfer, channels: &Channels) -> bool {
        let asked = self.check.filter(|check| check.decisive == decisive);
        let channel = transfer.channel(channels);
        asked.is_some_and(|check| channel.is_some_and(|it| it.answered(check.number)))
    }

    /// Whether an upload goes on behind a success that the server told early: its client has not ended it, and its SSH
    /// session is alive. If so it is given as much time again.
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
