//! What is known of the data channels offered in a session.

use crate::actions::Actions;
use crate::event::{Action, DataEnd, DataEvent, DataId, Direction, Mode};

/// One data channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: DataId,
    pub(crate) mode: Mode,
    /// Both peers were connected.
    pub(crate) joined: bool,
    /// The server's end reached the client.
    pub(crate) server_done: bool,
    /// The client's end went to the server.
    pub(crate) client_done: bool,
    /// The last check that the channel's SSH session has answered.
    alive: Option<u64>,
    pub(crate) end: Option<DataEnd>,
}

/// What became of a transfer, as far as its data shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransferOutcome {
    /// All of it went through in the transfer's direction, and its end came in order.
    Complete,
    /// It did not, for this reason.
    Failed(String),
    /// Neither is known yet.
    Undecided,
}

impl Channel {
    /// What is known of a transfer in this direction that ends with its data connection.
    ///
    /// A download is whole once its end was passed on behind its last byte, whatever comes after. The end of an upload
    /// proves nothing by itself: an SSH server ends the FTP server's side in order also where the line was cut. It counts
    /// once the other side has confirmed it. Of a command that is not known either may be true.
    fn outcome(&self, direction: Direction) -> TransferOutcome {
        let whole = match direction {
            Direction::Download => self.server_done || self.is_complete(),
            Direction::Upload => self.client_done && self.is_complete(),
            Direction::Unknown => self.is_complete(),
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

    /// Whether a transfer in this direction would be whole if the SSH session is alive now: all of it was handed over, and
    /// the only thing missing is the other side's word.
    pub(crate) fn awaits_confirmation(&self, direction: Direction) -> bool {
        let handed_over = match direction {
            Direction::Download => false,
            Direction::Upload => self.client_done,
            Direction::Unknown => self.client_done || self.server_done,
        };
        handed_over && self.end.is_none()
    }

    /// Whether the SSH session has answered this check, or a later one.
    pub(crate) fn answered(&self, check: u64) -> bool {
        self.alive.is_some_and(|answered| answered >= check)
    }

    /// Whether it is known that no connection of the client will be joined.
    pub(crate) fn was_never_joined(&self) -> bool {
        self.end.is_some() && !self.joined
    }

    fn is_complete(&self) -> bool {
        self.end == Some(DataEnd::Complete)
    }
}

/// The channels that the session still cares about: the one offered last, one of a running transfer, and those in
/// commands that the server has not answered. Others are forgotten, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    known: Vec<Channel>,
    next: u64,
    passive_worked: bool,
    /// The channel that the server would use for a transfer now.
    current: Option<DataId>,
    /// The data connection that the server would use now does not go through the broker.
    unseen: bool,
    /// In MODE B and C the data itself says where it ends (RFC 959, section 3.4), and the connection serves the next transfer
    /// too.
    framed: bool,
    /// How many liveness checks were asked for.
    checks: u64,
    actions: Actions,
}

impl Channels {
    /// What the caller is to do, about channels and otherwise, in order.
    pub(crate) fn actions(&mut self) -> &mut Actions {
        &mut self.actions
    }

    /// Names a new channel.
    pub(crate) fn allocate(&mut self, mode: Mode) -> DataId {
        let id = DataId(self.next);
        self.next += 1;
        self.known.push(Channel {
            id,
            mode,
            joined: false,
            server_done: false,
            client_done: false,
            alive: None,
            end: None,
        });
        id
    }

    /// The channel, unless it was forgotten.
    pub(crate) fn get(&self, id: DataId) -> Option<&Channel> {
        self.known.iter().find(|channel| channel.id == id)
    }

    /// Forgets a channel; gives what was known of it.
    pub(crate) fn forget(&mut self, id: DataId) -> Option<Channel> {
        let at = self.known.iter().position(|channel| channel.id == id)?;
        Some(self.known.swap_remove(at))
    }

    /// Takes note of what happened.
    pub(crate) fn note(&mut self, id: DataId, event: DataEvent) {
        let Some(channel) = self.known.iter_mut().find(|channel| channel.id == id) else {
            return;
        };
        match event {
            DataEvent::Opened => {}
            DataEvent::Joined => channel.joined = true,
            DataEvent::ServerDone => channel.server_done = true,
            DataEvent::ClientDone => channel.client_done = true,
            DataEvent::Alive { check } => channel.alive = channel.alive.max(Some(check)),
            DataEvent::Ended(end) => {
                // What failed once may fail again: the next one is opened before its port is told.
                let failed = matches!(end, DataEnd::Cut(_)) && !channel.joined;
                self.passive_worked &= !(failed && channel.mode == Mode::Passive);
                channel.end.get_or_insert(end);
                return;
            }
        }
        self.passive_worked |= channel.mode == Mode::Passive;
    }

    /// The way to a passive channel's server was seen to work.
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

    /// From now on the server would use this channel. The one before is withdrawn, unless it is `busy`: a transfer runs on
    /// it.
    pub(crate) fn replace_current(&mut self, new: Option<DataId>, busy: Option<DataId>) {
        let old = std::mem::replace(&mut self.current, new);
        if let Some(old) = old.filter(|_| old != busy) {
            self.withdraw(old);
        }
    }

    /// Whether the data connection that the server would use from now on goes through the broker.
    pub(crate) fn set_seen(&mut self, seen: bool) {
        self.unseen = !seen;
    }

    /// Whether the data itself says where it ends.
    pub(crate) fn set_framed(&mut self, framed: bool) {
        self.framed = framed;
    }

    /// Stops offering a channel and forgets it.
    pub(crate) fn withdraw(&mut self, id: DataId) {
        if self.forget(id).is_some_and(|channel| channel.end.is_none()) {
            self.actions.push(Action::Withdraw { id });
        }
    }

    /// Asks for a check whether the SSH session of this channel is alive. Its number.
    pub(crate) fn check_liveness(&mut self, id: DataId) -> u64 {
        self.checks += 1;
        let check = self.checks;
        self.actions.push(Action::CheckLiveness { id, check });
        check
    }

    /// What became of a transfer in this direction on this channel.
    pub(crate) fn outcome(&self, id: Option<DataId>, direction: Direction) -> TransferOutcome {
        let Some(id) = id else {
            return self.outcome_without_channel(direction);
        };
        match self.get(id).map(|channel| channel.outcome(direction)) {
            Some(TransferOutcome::Undecided) if self.framed => TransferOutcome::Complete,
            Some(outcome) => outcome,
            None => TransferOutcome::Failed("The data connection was given up".to_owned()),
        }
    }

    /// Where no data connection was agreed on, none can have carried a file. A `PORT` that passed as it came is the
    /// exception: its data connection does not go through the broker.
    fn outcome_without_channel(&self, direction: Direction) -> TransferOutcome {
        if self.unseen || direction == Direction::Unknown {
            return TransferOutcome::Complete;
        }
        TransferOutcome::Failed(
            "No data connection was agreed on; send PASV, EPSV, PORT or EPRT before the transfer"
                .to_owned(),
        )
    }

    /// A transfer on this channel is over. Forgets the channel if it was used up. Otherwise it stays on offer, unless it
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

    /// Forgets a channel that was used up. A server may keep its end of a complete upload open, which would hold the
    /// channel.
    fn let_go(&mut self, id: DataId, complete: bool) {
        let left_open =
            |channel: Channel| channel.end.is_none() && channel.client_done && !channel.server_done;
        if self.forget(id).is_some_and(left_open) && complete {
            self.actions.push(Action::Release { id });
        }
    }
}
