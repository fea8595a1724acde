//! The data of a session: the offered channels, the running transfer, and the replies that wait for them.

mod ambiguous;
mod completion;
mod passive;
mod prepared;
mod start;
mod transfer;

use std::net::SocketAddr;
use std::time::Instant;

use super::announcement::NO_DATA_CONNECTION;
use super::reply_part::ReplyPart;
use super::server::SERVICE_CLOSING;
use crate::actions::Actions;
use crate::channels::{Channel, Channels, TransferOutcome};
use crate::config::DataOpen;
use crate::event::{
    Action, Announced, DataEvent, DataId, Direction, Mode, Peer, Told, TransferFacts,
};
use crate::kind::CommandKind;
use crate::sent::Sent;
use crate::text::reply;
use ambiguous::{AmbiguousReply, Finding, finding, finding_before_the_start};
use completion::{Completion, Verdict};
pub(super) use passive::AskedReply;
use passive::{HeldOffer, HeldReply};
pub(super) use prepared::Failure;
use prepared::Prepared;
use start::{Start, waits_for};
use transfer::Transfer;

/// The code for a broken transfer (RFC 959, section 5.4).
const TRANSFER_ABORTED: u16 = 426;

/// The data of a session. At most one of `offer`, `start`, `completion` and `ambiguous` holds a reply, and with it the
/// further input of the server.
#[derive(Debug)]
pub(super) struct Data {
    channels: Channels,
    /// Whether new data connections of the client use TLS.
    protected: bool,
    /// The running transfer, or the one whose end is held.
    transfer: Option<Transfer>,
    /// Why the last transfer was not complete, if so.
    incomplete: Option<String>,
    /// A reply that waits for its endpoint.
    offer: Option<HeldOffer>,
    /// The channel that the client has not asked for yet.
    prepared: Option<Prepared>,
    /// The transfers that have ended.
    ended: u64,
    /// The start of a transfer that waits for the client's data connection.
    start: Option<Start>,
    /// The report of a complete transfer that waits for the data channel's end.
    completion: Option<Completion>,
    /// A success that can belong to a transfer, and waits for a sign that its data channel is alive.
    ambiguous: Option<AmbiguousReply>,
}

/// The decision about a reply.
#[derive(Debug)]
pub(super) enum Release {
    /// This line passes.
    Pass(Vec<u8>),
    /// This reply replaces it.
    Replace(Vec<u8>),
    /// It can be a transfer's success, and there is no contrary evidence.
    Harmless(ReplyPart),
    /// It counts as the end of a transfer that is known to be broken.
    Broken(ReplyPart),
}

impl Data {
    /// The state before any data.
    pub(super) fn new(behind_ssh: Peer) -> Self {
        Self {
            channels: Channels::new(behind_ssh),
            protected: false,
            transfer: None,
            incomplete: None,
            offer: None,
            prepared: None,
            ended: 0,
            start: None,
            completion: None,
            ambiguous: None,
        }
    }

    /// The actions for the caller, about data channels and otherwise, in order.
    pub(super) fn actions(&mut self) -> &mut Actions {
        self.channels.actions()
    }

    /// Whether a reply is held.
    pub(super) fn holds_reply(&self) -> bool {
        self.offer.is_some()
            || self.start.is_some()
            || self.completion.is_some()
            || self.ambiguous.is_some()
    }

    /// Whether the only held reply is the report of a complete transfer.
    pub(super) fn holds_completion(&self) -> bool {
        self.completion.is_some()
    }

    /// How many transfers have ended.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// Whether a transfer runs.
    pub(super) fn has_transfer(&self) -> bool {
        self.transfer.is_some()
    }

    /// Handles an event on a channel. `asked`: the direction of the first unanswered transfer command. Returns the
    /// decision about the reply held for it, if it is no longer held.
    pub(super) fn event(
        &mut self,
        now: Instant,
        id: DataId,
        event: DataEvent,
        asked: Option<Direction>,
    ) -> Option<Release> {
        self.channels.note(id, event);
        self.review_start()
            .or_else(|| self.review_completion())
            .or_else(|| self.review_ambiguous(now, asked))
    }

    /// The time until which a reply can be held.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let completion = self.completion.as_ref().zip(self.transfer.as_ref());
        completion
            .and_then(|(completion, transfer)| completion.deadline(transfer, &self.channels))
            .or(self.start.as_ref().map(Start::deadline))
    }

    /// Releases a reply whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Release> {
        if let Some(start) = self.start.take_if(|start| now >= start.deadline()) {
            return Some(Release::Pass(start.line));
        }
        let transfer = self.transfer.as_ref()?;
        let completion = self.completion.as_mut()?;
        let reason = completion.expire(now, transfer, &mut self.channels)?;
        self.settle(Some(reason))
    }

    /// Sets whether data connections use TLS on the client's side. True if that is a change. The session stops offering one with the other
    /// setting: the two ends would not understand each other.
    pub(super) fn protect(&mut self, protected: bool) -> bool {
        let changed = std::mem::replace(&mut self.protected, protected) != protected;
        if changed {
            self.replace_current(None);
        }
        changed
    }

    /// Requests an endpoint to announce instead of the client's address.
    pub(super) fn offer_active(&mut self, target: Announced, other_family: bool) -> DataId {
        self.offer_channel(Mode::Active, Some(target), false, other_family, false)
    }

    /// Holds a passive reply, and requests an endpoint to announce instead of the server's address.
    pub(super) fn offer_passive(&mut self, reply: AskedReply, data_open: DataOpen) {
        // The server no longer listens there (RFC 959 allows one data port at a time).
        self.replace_current(None);
        let open_first = match data_open {
            DataOpen::Auto => !self.channels.passive_worked(),
            DataOpen::Eager => true,
            DataOpen::Lazy => false,
        };
        let target = reply.found.announced;
        let id = self.offer_channel(Mode::Passive, Some(target), open_first, false, false);
        self.offer = Some(HeldOffer {
            id,
            reply: HeldReply::Passive(reply),
            open_first,
        });
    }

    /// Handles an endpoint, or the failure to make one. Returns the client's reply, if one waits for it.
    pub(super) fn offered(
        &mut self,
        id: DataId,
        answer: Result<SocketAddr, String>,
    ) -> Option<Vec<u8>> {
        if answer.as_ref().is_ok_and(|at| self.endpoint_ready(id, *at)) {
            return None;
        }
        let Some(offer) = self.offer.take_if(|offer| offer.id == id) else {
            if answer.is_ok() {
                self.channels.actions().push(Action::Withdraw { id });
            } else {
                self.channels.forget(id);
            }
            return None;
        };
        if answer.is_err() {
            self.forget(id);
        } else if offer.open_first {
            self.channels.passive_opened();
        }
        match answer.and_then(|address| offer.reply.announce(address)) {
            Ok(text) => {
                self.replace_current(Some(id));
                self.channels.set_seen(true);
                Some(text)
            }
            Err(reason) => {
                self.withdraw(id);
                let refusal = reply(NO_DATA_CONNECTION, &reason);
                self.channels.actions().tell_refusal(&refusal);
                Some(refusal)
            }
        }
    }

    /// Whether a reply waits for the endpoint of this channel.
    pub(super) fn awaits_endpoint(&self, id: DataId) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.id == id)
    }

    /// Forgets a channel that could not be offered.
    pub(super) fn forget(&mut self, id: DataId) {
        self.channels.forget(id);
    }

    /// Stops offering a channel.
    pub(super) fn withdraw(&mut self, id: DataId) {
        self.channels.withdraw(id);
    }

    /// The server answered this command, which is not a transfer.
    pub(super) fn answered(&mut self, sent: &Sent, accepted: bool) {
        if !accepted {
            sent.offer.into_iter().for_each(|id| self.withdraw(id));
            return;
        }
        if let Some(framed) = sent.kind.framed() {
            self.channels.set_framed(framed);
        }
        self.assume_accepted(sent);
    }

    /// The server accepted this command, or continued without an answer to it. It would use the channel in the command.
    pub(super) fn assume_accepted(&mut self, sent: &Sent) {
        if sent.kind == CommandKind::Port {
            self.channels.set_seen(sent.offer.is_some());
            self.replace_current(sent.offer);
        }
    }

    /// The server has begun this transfer. `aborted`: the client has sent `ABOR` after its command. `was_answered`:
    /// another reply seemed to be its end.
    pub(super) fn begin(&mut self, facts: TransferFacts, aborted: bool, was_answered: bool) {
        // If the session missed the end of an earlier transfer, that one is over now.
        self.finish(Told::default());
        if was_answered && self.incomplete.is_some() {
            self.transfer = Some(Transfer::refuted(facts));
            return;
        }
        let mut transfer = self.new_transfer(facts, aborted);
        transfer.start(self.channels.actions());
        transfer.stop_refused(&mut self.channels);
        self.transfer = Some(transfer);
    }

    /// The line that announces the start of the transfer to the client, once that is true on its side.
    pub(super) fn pass_start(&mut self, part: ReplyPart) -> Option<Release> {
        if self.is_refuted() {
            return Some(Release::Replace(Vec::new()));
        }
        if self.transfer_channel().is_some_and(waits_for) {
            self.start = Some(Start::new(part.line, part.at));
            return None;
        }
        Some(Release::Pass(part.line))
    }

    /// The client aborts its transfer.
    pub(super) fn abort(&mut self) -> Option<Release> {
        let start = self.start.take().map(|start| Release::Pass(start.line));
        if let Some(transfer) = &mut self.transfer {
            transfer.abort(&self.channels);
            transfer.stop_refused(&mut self.channels);
        }
        start.or_else(|| self.review_completion())
    }

    /// The client has left, and does not learn how a running transfer ends.
    pub(super) fn client_lost(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            transfer.leave();
        }
    }

    /// A reply ended the running transfer.
    pub(super) fn complete(&mut self, part: ReplyPart) -> Option<Release> {
        if self.transfer.is_none() {
            return Some(Release::Pass(part.line));
        }
        if self.is_refuted() && part.code != SERVICE_CLOSING {
            self.transfer = None;
            self.incomplete = None;
            return Some(Release::Replace(Vec::new()));
        }
        self.completion = Some(Completion::new(part));
        self.review_completion()
    }

    /// A reply ended a transfer whose start no reply had announced.
    pub(super) fn complete_unannounced(
        &mut self,
        facts: TransferFacts,
        aborted: bool,
        part: ReplyPart,
    ) -> Option<Release> {
        let mut transfer = self.new_transfer(facts, aborted);
        if part.code < 400 {
            transfer.start(self.channels.actions());
        }
        self.transfer = Some(transfer);
        self.complete(part)
    }

    /// See [`Transfer::refuted`].
    fn is_refuted(&self) -> bool {
        self.transfer.as_ref().is_some_and(Transfer::is_refuted)
    }

    /// Whether nothing is left to do for the running transfer, so the server's final reply is due.
    pub(super) fn awaits_last_word(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| {
            let over = transfer.outcome(&self.channels) != TransferOutcome::Undecided;
            // Its channel cannot tell, since the session has let go of it.
            !transfer.is_refuted() && (over || transfer.awaits_confirmation(&self.channels))
        })
    }

    /// Decides about a success that can belong to a transfer, at once or when more is known.
    pub(super) fn consider(
        &mut self,
        part: ReplyPart,
        asked: Option<Direction>,
    ) -> Option<Release> {
        match self.finding(asked) {
            Finding::Harmless => return Some(Release::Harmless(part)),
            Finding::Broken => return Some(Release::Broken(part)),
            Finding::Unclear(data) => {
                let mut ambiguous = AmbiguousReply::new(part, data);
                ambiguous.ask(&mut self.channels);
                self.ambiguous = Some(ambiguous);
            }
        }
        None
    }

    /// Handles an unsolicited success. If the last transfer was not complete, the success can belong to it, whatever
    /// reply counted as its end before. Then the client receives this failure.
    pub(super) fn refute_unasked_success(&self) -> Option<Release> {
        let reason = self.incomplete.as_ref()?;
        Some(Release::Replace(reply(TRANSFER_ABORTED, reason)))
    }

    /// The server will send nothing more. `told` is what the client received for a running transfer.
    pub(super) fn close(&mut self, told: Told) {
        if let Some(offer) = self.offer.take() {
            self.withdraw(offer.id);
        }
        self.drop_prepared();
        self.start = None;
        self.completion = None;
        self.ambiguous = None;
        self.finish(told);
        self.channels.replace_current(None, None);
    }

    fn offer_channel(
        &mut self,
        mode: Mode,
        target: Option<Announced>,
        open_first: bool,
        other_family: bool,
        ahead: bool,
    ) -> DataId {
        let id = self.channels.allocate(mode);
        self.channels.actions().push(Action::Offer {
            id,
            mode,
            target,
            open_first,
            other_family,
            protected: self.protected,
            ahead,
        });
        id
    }

    fn new_transfer(&mut self, facts: TransferFacts, aborted: bool) -> Transfer {
        self.incomplete = None;
        Transfer::new(facts, self.channels.current(), aborted)
    }

    fn replace_current(&mut self, new: Option<DataId>) {
        let busy = self.transfer.as_ref().and_then(|transfer| transfer.data);
        self.channels.replace_current(new, busy);
    }

    fn transfer_channel(&self) -> Option<&Channel> {
        self.transfer.as_ref()?.channel(&self.channels)
    }

    fn finding(&self, asked: Option<Direction>) -> Finding {
        match (&self.transfer, asked) {
            (Some(transfer), _) => finding(transfer, &self.channels),
            (None, Some(direction)) => finding_before_the_start(direction, &self.channels),
            (None, None) => Finding::Harmless,
        }
    }

    /// Decides again about a held start. If the client's connection never came, its transfer has not begun, and the
    /// client learns only how it ended.
    fn review_start(&mut self) -> Option<Release> {
        let channel = self.transfer_channel();
        let waits = channel.is_some_and(waits_for);
        let never_joined = channel.is_some_and(Channel::was_never_joined);
        let start = self.start.take_if(|_| !waits)?;
        Some(if never_joined {
            Release::Replace(Vec::new())
        } else {
            Release::Pass(start.line)
        })
    }

    /// Decides again about a held completion.
    fn review_completion(&mut self) -> Option<Release> {
        let transfer = self.transfer.as_ref()?;
        let completion = self.completion.as_mut()?;
        match completion.review(transfer, &mut self.channels) {
            Verdict::Wait => None,
            Verdict::Pass => self.settle(None),
            Verdict::Replace(reason) => self.settle(Some(reason)),
        }
    }

    /// Decides again about a held ambiguous reply.
    fn review_ambiguous(&mut self, now: Instant, asked: Option<Direction>) -> Option<Release> {
        let finding = self.finding(asked);
        let mut ambiguous = self.ambiguous.take()?;
        // A completion that waits for it from now on has its full time.
        ambiguous.part.at = now;
        match finding {
            Finding::Broken => return Some(Release::Broken(ambiguous.part)),
            Finding::Unclear(_) if !ambiguous.is_settled(&self.channels) => {
                ambiguous.ask(&mut self.channels);
                self.ambiguous = Some(ambiguous);
            }
            Finding::Unclear(_) | Finding::Harmless => {
                return Some(Release::Harmless(ambiguous.part));
            }
        }
        None
    }

    /// Passes the held completion, or sends the client the reason why the transfer was not complete.
    fn settle(&mut self, objection: Option<String>) -> Option<Release> {
        let completion = self.completion.take()?;
        let Some(reason) = objection else {
            self.finish(completion.told());
            return Some(Release::Pass(completion.line));
        };
        let code = self.failure_code();
        let replaced = reply(code, &reason);
        self.finish(Told::instead(code, &replaced));
        self.incomplete = Some(reason);
        Some(Release::Replace(replaced))
    }

    /// The code for a client without a data connection, and the code for a broken data connection.
    fn failure_code(&self) -> u16 {
        if self
            .transfer_channel()
            .is_some_and(|channel| channel.joined)
        {
            TRANSFER_ABORTED
        } else {
            NO_DATA_CONNECTION
        }
    }

    /// The transfer is over, and the client received this. A transfer that never began has not used its channel.
    fn finish(&mut self, told: Told) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        self.ended += 1;
        if transfer.is_started() {
            let objection = transfer.objection(&self.channels);
            self.incomplete = objection.filter(|_| !told.is_success());
            if let Some(id) = transfer.data {
                self.channels.release(id, self.incomplete.is_none());
            }
        }
        transfer.end(told, self.channels.actions());
    }
}
