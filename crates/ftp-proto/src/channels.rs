//! The state of the data channels offered in a session.

use crate::actions::Actions;
use crate::event::{Action, DataEnd, DataEvent, DataId, Direction, Mode, Peer};

/// Why a transfer fails whose client has not asked for a data connection.
pub(crate) const NO_CONNECTION: &str =
    "There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer";

/// One data channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: DataId,
    pub(crate) mode: Mode,
    behind_ssh: Peer,
    /// The connection to the peer that announced the address is being made.
    pub(crate) opening: bool,
    /// It was open.
    pub(crate) opened: bool,
    /// Both peers were connected.
    pub(crate) joined: bool,
    /// The server's end was passed on to the client.
    pub(crate) server_done: bool,
    /// The client's end was passed on to the server.
    pub(crate) client_done: bool,
    /// The last liveness check that the channel's SSH session has answered.
    alive: Option<u64>,
    pub(crate) end: Option<DataEnd>,
}

/// The outcome of a transfer, as far as its data shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransferOutcome {
    /// All data went through in the transfer's direction, and its end was orderly.
    Complete,
    /// It failed, for this reason.
    Failed(String),
    /// The outcome is not known yet.
    Undecided,
}

impl Channel {
    /// The outcome of a transfer in this direction that ends with its data connection.
    ///
    /// Towards the peer that is not behind SSH, a transfer is complete when its end was passed on after its last byte,
    /// whatever comes after. Towards the other one, the end alone proves nothing: an SSH server ends that side in an
    /// orderly way even if the connection broke. It counts when the other side has confirmed it. An unknown command can
    /// be either.
    fn outcome(&self, direction: Direction) -> TransferOutcome {
        let whole = match direction {
            Direction::Unknown => self.is_complete(),
            _ if self.needs_confirmation(direction) => {
                self.is_handed_over(direction) && self.is_complete()
            }
            Direction::Download | Direction::Upload => {
                self.is_handed_over(direction) || self.is_complete()
            }
        };
        match &self.end {
            _ if whole => TransferOutcome::Complete,
            Some(DataEnd::Cut(reason) | DataEnd::ClientGone(reason)) => {
                TransferOutcome::Failed(reason.clone())
            }
            Some(DataEnd::Unused) => {
                TransferOutcome::Failed("Nobody opened the data connection".into())
            }
            Some(DataEnd::Complete) => TransferOutcome::Failed(
                "The server closed the data connection before the client had ended it".into(),
            ),
            None => TransferOutcome::Undecided,
        }
    }

    /// Whether a transfer in this direction is complete if the SSH session is alive now: all data was handed over, and
    /// only the other side's confirmation is missing.
    pub(crate) fn awaits_confirmation(&self, direction: Direction) -> bool {
        self.needs_confirmation(direction) && self.is_handed_over(direction) && self.end.is_none()
    }

    /// Whether a success that comes now could be one of which the receiver has seen less than the whole: an upload may
    /// have been cut on its way to the server, and a download whose end is on its way may still be cut.
    pub(crate) fn is_unclear(&self, direction: Direction) -> bool {
        match direction {
            Direction::Download => self.awaits_confirmation(direction),
            Direction::Upload | Direction::Unknown => true,
        }
    }

    /// Whether the receiver of a transfer in this direction is behind SSH, or may be.
    fn needs_confirmation(&self, direction: Direction) -> bool {
        match direction {
            Direction::Download => self.behind_ssh == Peer::Client,
            Direction::Upload => self.behind_ssh == Peer::Server,
            Direction::Unknown => true,
        }
    }

    /// Whether the sender's end was passed on.
    fn is_handed_over(&self, direction: Direction) -> bool {
        match direction {
            Direction::Download => self.server_done,
            Direction::Upload => self.client_done,
            Direction::Unknown => self.client_done || self.server_done,
        }
    }

    /// Whether the SSH session has answered this check or a later one.
    pub(crate) fn answered(&self, check: u64) -> bool {
        self.alive.is_some_and(|answered| answered >= check)
    }

    /// Whether it is certain that no connection of the client will be joined.
    pub(crate) fn was_never_joined(&self) -> bool {
        self.end.is_some() && !self.joined
    }

    fn is_complete(&self) -> bool {
        self.end == Some(DataEnd::Complete)
    }
}

/// The channels that the session still needs: the one offered last, the one of a running transfer, and those in
/// commands that the server has not answered. The session forgets all others, so there are few.
#[derive(Debug)]
pub(crate) struct Channels {
    behind_ssh: Peer,
    known: Vec<Channel>,
    next: u64,
    passive_worked: bool,
    /// The channel that the server would use for a transfer now.
    current: Option<DataId>,
    /// Whether the data connection that the server would use now bypasses the broker.
    unseen: bool,
    /// Whether the server listens for a data connection that only the session has asked for.
    unasked: bool,
    /// In MODE B and C the data itself marks its end (RFC 959, section 3.4), and the connection also serves the next
    /// transfer.
    framed: bool,
    /// The number of liveness checks so far.
    checks: u64,
    actions: Actions,
}

impl Channels {
    /// No channel yet.
    pub(crate) fn new(behind_ssh: Peer) -> Self {
        Self {
            behind_ssh,
            known: Vec::new(),
            next: 0,
            passive_worked: false,
            current: None,
            unseen: false,
            unasked: false,
            framed: false,
            checks: 0,
            actions: Actions::default(),
        }
    }

    /// The actions for the caller, about channels and otherwise, in order.
    pub(crate) fn actions(&mut self) -> &mut Actions {
        &mut self.actions
    }

    /// Creates a new channel.
    pub(crate) fn allocate(&mut self, mode: Mode) -> DataId {
        let id = DataId(self.next);
        self.next += 1;
        self.known.push(Channel {
            id,
            mode,
            behind_ssh: self.behind_ssh,
            opening: false,
            opened: false,
            joined: false,
            server_done: false,
            client_done: false,
            alive: None,
            end: None,
        });
        id
    }

    /// The channel, unless the session has forgotten it.
    pub(crate) fn get(&self, id: DataId) -> Option<&Channel> {
        self.known.iter().find(|channel| channel.id == id)
    }

    /// Forgets a channel, and returns its state.
    pub(crate) fn forget(&mut self, id: DataId) -> Option<Channel> {
        let at = self.known.iter().position(|channel| channel.id == id)?;
        Some(self.known.swap_remove(at))
    }

    /// Records an event.
    pub(crate) fn note(&mut self, id: DataId, event: DataEvent) {
        let Some(channel) = self.known.iter_mut().find(|channel| channel.id == id) else {
            return;
        };
        match event {
            DataEvent::Opening => {
                channel.opening = true;
                return;
            }
            DataEvent::Opened => channel.opened = true,
            DataEvent::Joined => channel.joined = true,
            DataEvent::ServerDone => channel.server_done = true,
            DataEvent::ClientDone => channel.client_done = true,
            DataEvent::Alive { check } => channel.alive = channel.alive.max(Some(check)),
            DataEvent::Ended(end) => {
                // A channel that failed once can fail again, so the next one is opened before its port is announced.
                let failed = matches!(end, DataEnd::Cut(_)) && !channel.joined;
                self.passive_worked &= !(failed && channel.mode == Mode::Passive);
                channel.end.get_or_insert(end);
                return;
            }
        }
        self.passive_worked |= channel.mode == Mode::Passive;
    }

    /// A path to a passive channel's server has worked.
    pub(crate) fn passive_opened(&mut self) {
        self.passive_worked = true;
    }

    /// Whether a passive channel of this session has worked.
    pub(crate) fn passive_worked(&self) -> bool {
        self.passive_worked
    }

    /// The channel that the server would use for a transfer now.
    pub(crate) fn current(&self) -> Option<DataId> {
        self.current
    }

    /// From now on the server would use this channel. Withdraws the previous one, unless it is `busy` with a transfer.
    pub(crate) fn replace_current(&mut self, new: Option<DataId>, busy: Option<DataId>) {
        let old = std::mem::replace(&mut self.current, new);
        if let Some(old) = old.filter(|_| old != busy) {
            self.withdraw(old);
        }
    }

    /// Whether the data connection that the server would use from now on goes through the broker.
    pub(crate) fn set_seen(&mut self, seen: bool) {
        self.unseen = !seen;
        self.unasked = false;
    }

    /// Whether the server would use a data connection now that only the session has asked for.
    pub(crate) fn set_unasked(&mut self, unasked: bool) {
        self.unasked = unasked;
    }

    /// See [`set_unasked`](Self::set_unasked).
    pub(crate) fn is_unasked(&self) -> bool {
        self.unasked
    }

    /// Whether the data marks its own end.
    pub(crate) fn is_framed(&self) -> bool {
        self.framed
    }

    /// Whether the server would use a channel for a transfer now.
    pub(crate) fn offers_one(&self) -> bool {
        !self.unseen && self.current.is_some_and(|id| self.get(id).is_some())
    }

    /// Nothing will be sent to the server on the channel that is offered to the client.
    pub(crate) fn half_close_current(&mut self) {
        if let Some(id) = self.current.filter(|_| self.behind_ssh == Peer::Server) {
            self.actions.push(Action::HalfClose { id });
        }
    }

    /// Whether the data itself marks its end.
    pub(crate) fn set_framed(&mut self, framed: bool) {
        self.framed = framed;
    }

    /// Stops offering a channel and forgets it.
    pub(crate) fn withdraw(&mut self, id: DataId) {
        if self.forget(id).is_some_and(|channel| channel.end.is_none()) {
            self.actions.push(Action::Withdraw { id });
        }
    }

    /// Requests a check whether the SSH session of this channel is alive. Returns the number of the check.
    pub(crate) fn check_liveness(&mut self, id: DataId) -> u64 {
        self.checks += 1;
        let check = self.checks;
        self.actions.push(Action::CheckLiveness { id, check });
        check
    }

    /// The outcome of a transfer in this direction on this channel.
    pub(crate) fn outcome(&self, id: Option<DataId>, direction: Direction) -> TransferOutcome {
        let Some(id) = id else {
            return self.outcome_without_channel(direction);
        };
        match self.get(id).map(|channel| channel.outcome(direction)) {
            Some(TransferOutcome::Undecided) if self.framed => TransferOutcome::Complete,
            Some(outcome) => outcome,
            None => TransferOutcome::Failed("The broker closed the data connection".to_owned()),
        }
    }

    /// Without a negotiated data connection, no file can have been transferred. A `PORT` that passed unchanged is the
    /// exception: its data connection bypasses the broker.
    fn outcome_without_channel(&self, direction: Direction) -> TransferOutcome {
        let unknown = direction == Direction::Unknown && !self.unasked;
        if self.unseen || unknown {
            return TransferOutcome::Complete;
        }
        TransferOutcome::Failed(NO_CONNECTION.to_owned())
    }

    /// A transfer on this channel is over. Forgets the channel if it was used. Otherwise it stays offered, unless it
    /// was replaced meanwhile.
    pub(crate) fn release(&mut self, id: DataId, complete: bool) {
        let used_up = |channel: &Channel| channel.end.is_some() || (channel.joined && !self.framed);
        if self.get(id).is_none_or(used_up) {
            self.current = self.current.filter(|current| *current != id);
            self.let_go(id, complete);
        } else if self.current != Some(id) {
            self.withdraw(id);
        }
    }

    /// Forgets a used channel. A server can keep its end of a complete upload open, which would keep the channel open.
    fn let_go(&mut self, id: DataId, complete: bool) {
        let left_open =
            |channel: Channel| channel.end.is_none() && channel.client_done && !channel.server_done;
        if self.forget(id).is_some_and(left_open) && complete {
            self.actions.push(Action::Release { id });
        }
    }
}
