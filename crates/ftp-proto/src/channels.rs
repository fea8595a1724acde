//! What is known of the data channels offered in a session.

use crate::event::{DataEnd, DataEvent, DataId, Direction, Mode};

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
    pub(crate) fn outcome(&self, direction: Direction) -> TransferOutcome {
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
}

impl Channels {
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
}
