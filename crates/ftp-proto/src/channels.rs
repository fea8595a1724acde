//! What is known of the data channels offered in a session.

use crate::event::{DataEnd, DataEvent, DataId, Mode};

/// One data channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: DataId,
    pub(crate) mode: Mode,
    /// Both peers were connected.
    pub(crate) joined: bool,
    /// The server's end reached the client.
    pub(crate) server_done: bool,
    pub(crate) end: Option<DataEnd>,
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
