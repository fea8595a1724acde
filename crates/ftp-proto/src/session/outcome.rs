//! The outcome of a transfer: success is passed on only where it was seen.
//!
//! When a data connection is cut, refused or reset, an FTP server often sees an orderly end and reports success. So a
//! report of success waits until the transfer's data channel has said how it ended, and passes only if all of the data
//! went through in the transfer's direction and its end came in order. In any other case the client is told a failure. This
//! is the one place that decides it.

use std::time::{Duration, Instant};

use super::offer::NO_DATA_CONNECTION;
use super::transfer::Transfer;
use super::{ServerHold, Session};
use crate::channels::{Channel, TransferOutcome};
use crate::event::{Action, DataId, Direction, Mode};
use crate::pending_replies::Sent;
use crate::text::reply;

/// How long a report of success waits for the server's own connection in active mode. The two come over different SSH
/// connections, so the report may be the faster one.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a report of success waits for the client to connect in passive mode.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a report of success waits for word of an upload. Long enough for an answer on a slow line.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);

/// The code for a transfer that was cut (RFC 959, section 5.4).
const TRANSFER_ABORTED: u16 = 426;

/// What an upload is told whose end nothing confirmed.
const UNCONFIRMED: &str =
    "The upload could not be confirmed as complete; check the file and send it again";

/// What a transfer is told that the server reported complete without a data connection.
const NEVER_OPENED: &str =
    "The FTP server reported success, but the data connection was never opened";

/// The first line of a reply that ends a transfer. The rest of the reply, if any, waits behind.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) transfer: Transfer,
    code: u16,
    line: Vec<u8>,
    since: Instant,
    check: Option<LivenessCheck>,
}

/// A check whether the SSH session of a data channel is alive.
#[derive(Debug, Clone, Copy)]
struct LivenessCheck {
    number: u64,
    /// Everything had been handed over when it was asked, so that the answer proves the transfer whole. The server's
    /// success was there already: the end that the server saw was the client's.
    decisive: bool,
}

/// What is to become of a completion.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is no success, or a success that was seen.
    Pass,
    /// It was not seen to be true, for this reason.
    Replace(String),
    /// The data channel has not ended.
    Wait,
}

impl Session {
    /// A reply ended the transfer that runs.
    pub(super) fn end_transfer(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        match self.transfer.take() {
            Some(transfer) => self.complete(now, transfer, code, line),
            None => self.to_client.extend(line),
        }
    }

    /// A reply ended a transfer whose start no reply had told.
    pub(super) fn end_unannounced_transfer(
        &mut self,
        now: Instant,
        sent: Sent,
        code: u16,
        line: Vec<u8>,
    ) {
        let transfer = self.new_transfer(sent);
        let transfer = if code < 400 {
            self.announced(transfer)
        } else {
            transfer
        };
        self.complete(now, transfer, code, line);
    }

    /// A success came that nothing asked for. Where the last transfer was not seen to be whole it may be that one's, whatever
    /// reply was taken for its end before, and the client is told a failure. False where it was.
    pub(super) fn refute_unasked_success(&mut self) -> bool {
        let Some(reason) = &self.incomplete else {
            return false;
        };
        let again = reply(TRANSFER_ABORTED, reason);
        self.replace_reply(again);
        true
    }

    /// What is known of a transfer's data.
    pub(super) fn outcome(&self, transfer: &Transfer) -> TransferOutcome {
        let Some(id) = transfer.data else {
            return self.outcome_without_channel(transfer.direction);
        };
        let Some(channel) = self.channels.get(id) else {
            return TransferOutcome::Failed("The data connection was given up".to_owned());
        };
        self.outcome_on_channel(channel, transfer.direction)
    }

    /// What is known of a transfer in this direction on this channel.
    pub(super) fn outcome_on_channel(
        &self,
        channel: &Channel,
        direction: Direction,
    ) -> TransferOutcome {
        let outcome = channel.outcome(direction);
        // In MODE B and C the data itself says where it ends (RFC 959, section 3.4).
        if outcome == TransferOutcome::Undecided && !self.ends_with_connection {
            return TransferOutcome::Complete;
        }
        outcome
    }

    /// Why success must not be told of a transfer; `None` where it was seen, or where its client has given it up.
    pub(super) fn objection_to(&self, transfer: &Transfer) -> Option<String> {
        match self.outcome(transfer) {
            _ if transfer.is_refused_by_client() => None,
            TransferOutcome::Complete => None,
            TransferOutcome::Failed(reason) => Some(reason),
            TransferOutcome::Undecided => {
                Some("The transfer was not seen to be complete".to_owned())
            }
        }
    }

    /// Decides anew on a completion that is held. True if it is held no longer.
    pub(super) fn review_completion(&mut self) -> bool {
        let Some(verdict) = self.held_completion().map(|held| self.verdict(held)) else {
            return false;
        };
        match verdict {
            Verdict::Wait => {
                self.seek_confirmation();
                return false;
            }
            Verdict::Pass => self.settle_completion(None),
            Verdict::Replace(reason) => self.settle_completion(Some(reason)),
        }
        true
    }

    /// Until when a completion may be held; `None` where the client sees the end of its data whenever it comes.
    pub(super) fn completion_deadline(&self) -> Option<Instant> {
        let completion = self.held_completion()?;
        let channel = self.channel_of(completion)?;
        let patience = match (channel.joined, completion.transfer.direction) {
            (false, _) if channel.mode == Mode::Active => ARRIVAL_PATIENCE,
            (false, _) => CONNECT_PATIENCE,
            (true, Direction::Download) => return None,
            (true, Direction::Upload | Direction::Unknown) => UPLOAD_PATIENCE,
        };
        Some(completion.since + patience)
    }

    /// Settles a completion that has been held for long enough. True if one was.
    pub(super) fn expire_completion(&mut self, now: Instant) -> bool {
        let due = self.completion_deadline().is_some_and(|due| now >= due);
        if !due || self.goes_on(now) {
            return false;
        }
        let channel = self.held_completion().and_then(|it| self.channel_of(it));
        let joined = channel.is_some_and(|channel| channel.joined);
        let reason = if joined { UNCONFIRMED } else { NEVER_OPENED };
        if let Some(id) = channel.map(|channel| channel.id) {
            self.act(Action::Abort {
                id,
                reason: reason.to_owned(),
            });
        }
        self.settle_completion(Some(reason.to_owned()));
        true
    }

    /// Drops what is held of the server; the client is told this code instead.
    pub(super) fn drop_server_hold(&mut self, code: u16) {
        match self.server_hold.take() {
            Some(ServerHold::Completion(completion)) => {
                self.finish_transfer(completion.transfer, code, false)
            }
            Some(ServerHold::Offer(offer)) => self.withdraw(offer.id),
            // The transfer that runs is ended by whoever drops what is held.
            Some(ServerHold::Start(_) | ServerHold::Ambiguous(_)) | None => {}
        }
    }

    /// Asks for a check whether the SSH session of this channel is alive. Its number.
    pub(super) fn check_liveness(&mut self, id: DataId) -> u64 {
        self.checks += 1;
        let check = self.checks;
        self.act(Action::CheckLiveness { id, check });
        check
    }

    /// The transfer that runs, or whose end is held.
    pub(super) fn latest_transfer(&self) -> Option<&Transfer> {
        let held = self.held_completion().map(|held| &held.transfer);
        held.or(self.transfer.as_ref())
    }

    /// Takes note that the client gave the latest transfer up.
    pub(super) fn mark_aborted(&mut self) {
        if let Some(ServerHold::Completion(completion)) = &mut self.server_hold {
            completion.transfer.aborted = true;
        } else if let Some(transfer) = &mut self.transfer {
            transfer.aborted = true;
        }
    }

    fn held_completion(&self) -> Option<&Completion> {
        match &self.server_hold {
            Some(ServerHold::Completion(completion)) => Some(completion),
            Some(ServerHold::Offer(_) | ServerHold::Start(_) | ServerHold::Ambiguous(_)) | None => {
                None
            }
        }
    }

    fn channel_of(&self, completion: &Completion) -> Option<&Channel> {
        self.channels.get(completion.transfer.data?)
    }

    /// Where no data connection was agreed on, none can have carried a file. A `PORT` that passed as it came is the
    /// exception: its data connection does not go through the broker.
    fn outcome_without_channel(&self, direction: Direction) -> TransferOutcome {
        if self.data_unseen || direction == Direction::Unknown {
            return TransferOutcome::Complete;
        }
        TransferOutcome::Failed(
            "No data connection was agreed on; send PASV, EPSV, PORT or EPRT before the transfer"
                .to_owned(),
        )
    }

    fn complete(&mut self, now: Instant, transfer: Transfer, code: u16, line: Vec<u8>) {
        self.server_hold = Some(ServerHold::Completion(Completion {
            transfer,
            code,
            line,
            since: now,
            check: None,
        }));
        self.review_completion();
    }

    fn verdict(&self, completion: &Completion) -> Verdict {
        let transfer = &completion.transfer;
        if completion.code >= 300 || transfer.is_refused_by_client() {
            return Verdict::Pass;
        }
        match self.outcome(transfer) {
            TransferOutcome::Complete => Verdict::Pass,
            TransferOutcome::Failed(reason) => Verdict::Replace(reason),
            TransferOutcome::Undecided if self.is_confirmed(completion) => Verdict::Pass,
            TransferOutcome::Undecided if transfer.aborted => {
                Verdict::Replace("The transfer was aborted before its end was seen".to_owned())
            }
            TransferOutcome::Undecided => Verdict::Wait,
        }
    }

    fn is_confirmed(&self, completion: &Completion) -> bool {
        let answered = |check: LivenessCheck| {
            let channel = self.channel_of(completion);
            check.decisive && channel.is_some_and(|it| it.answered(check.number))
        };
        completion.check.is_some_and(answered)
    }

    /// Asks about an upload for which the server reported success: once when that came, to learn whether it goes on, and once
    /// when the answer proves it whole.
    fn seek_confirmation(&mut self) {
        let Some(completion) = self.held_completion() else {
            return;
        };
        let direction = completion.transfer.direction;
        let channel = self.channel_of(completion);
        let joined = channel.is_some_and(|channel| channel.joined);
        let decisive = channel.is_some_and(|channel| channel.awaits_confirmation(direction));
        let is_news = match completion.check {
            Some(asked) => decisive && !asked.decisive,
            None => joined && direction != Direction::Download,
        };
        if is_news {
            self.check_completion(decisive);
        }
    }

    /// Whether an upload goes on behind a success that the server told early: its client has not ended it, and its SSH
    /// session is alive. If so it is given as much time again.
    fn goes_on(&mut self, now: Instant) -> bool {
        let alive = self.held_completion().is_some_and(|completion| {
            let channel = self.channel_of(completion);
            let answered =
                |asked: LivenessCheck| channel.is_some_and(|it| it.answered(asked.number));
            let asked = completion.check.filter(|asked| !asked.decisive);
            asked.is_some_and(answered)
        });
        if alive {
            self.check_completion(false);
            if let Some(ServerHold::Completion(completion)) = &mut self.server_hold {
                completion.since = now;
            }
        }
        alive
    }

    fn check_completion(&mut self, decisive: bool) {
        let Some(id) = self.held_completion().and_then(|held| held.transfer.data) else {
            return;
        };
        let number = self.check_liveness(id);
        if let Some(ServerHold::Completion(completion)) = &mut self.server_hold {
            completion.check = Some(LivenessCheck { number, decisive });
        }
    }

    /// Passes the completion that is held, or tells the client instead why it was not seen to be true.
    fn settle_completion(&mut self, objection: Option<String>) {
        let Some(ServerHold::Completion(completion)) = self.server_hold.take() else {
            return;
        };
        match objection {
            Some(reason) => {
                let code = self.failure_code(&completion);
                self.replace_reply(reply(code, &reason));
                self.finish_transfer(completion.transfer, code, true);
                self.incomplete = Some(reason);
            }
            None => {
                self.to_client.extend(completion.line);
                self.finish_transfer(completion.transfer, completion.code, false);
            }
        }
    }

    /// What a client is told whose data connection was never there, and what one whose data connection broke.
    fn failure_code(&self, completion: &Completion) -> u16 {
        let joined = self.channel_of(completion).is_some_and(|it| it.joined);
        if joined {
            TRANSFER_ABORTED
        } else {
            NO_DATA_CONNECTION
        }
    }
}
