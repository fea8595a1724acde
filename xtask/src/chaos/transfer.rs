//! A transfer as a client makes it: what it asks for, how far it has come, and what it does in between

use std::time::Duration;

/// When the cut is made, or the client does something else than to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// As soon as the client has come this far.
    Step(Step),
    /// As soon as the client has taken or given this many bytes.
    Bytes(usize),
    /// So long after the client has asked for the transfer.
    After(Duration),
}

impl Moment {
    /// Whether a client that has come so far has passed it, or is through; the time after a step is another matter.
    pub(super) fn has_come(self, progress: Progress) -> bool {
        let (step, bytes) = match self {
            Self::Step(step) => (step, 0),
            Self::Bytes(bytes) => (Step::Started, bytes),
            Self::After(_) => (Step::Asked, 0),
        };
        progress.step == Step::Over || (progress.step >= step && progress.bytes >= bytes)
    }
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    #[default]
    Begun,
    Greeted,
    LoggedIn,
    /// The data connection is agreed on.
    Offered,
    /// The transfer is asked for.
    Asked,
    /// The server has said that it begins, or the client does not wait for that.
    Started,
    DataEnded,
    /// The server has said how the transfer ended.
    Answered,
    Over,
}

/// How far a client has come, for whoever waits for a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) step: Step,
    /// Bytes of the file taken or given.
    pub(super) bytes: usize,
    /// Whether the client has done what it was to do in between.
    pub(super) interrupted: bool,
}

/// Which way a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Download,
    Upload,
}

/// Who connects for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Passive,
    Active,
}

/// How a transfer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Retr,
    /// What it brings is not compared, so that it is asked for only where nothing may come.
    List,
    Stor,
    /// To a file that is not there yet.
    Appe,
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Retr => "RETR",
            Self::List => "LIST",
            Self::Stor => "STOR",
            Self::Appe => "APPE",
        }
    }
}

/// What a client does in the middle of a transfer, which it then goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Abort(Urgency),
    /// It ends its half of the data connection, on which it gives nothing.
    HalfData,
    /// It ends its half of the control connection.
    HalfControl,
}

impl Deed {
    pub(super) fn is_abort(self) -> bool {
        matches!(self, Self::Abort(_))
    }
}

/// How an ABOR is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Plain,
    Urgent,
    /// Behind Telnet's own interruption, of which one byte is urgent.
    Telnet,
}

/// A deed and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interruption {
    pub(super) moment: Moment,
    pub(super) deed: Deed,
}

/// One file to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) verb: Verb,
    pub(super) mode: Mode,
    /// EPSV or EPRT rather than PASV or PORT.
    pub(super) extended: bool,
    /// The client does not wait for the reply that announces the transfer.
    pub(super) hasty: bool,
    /// After an upload the client waits for the server's end of the data connection, rather than closing at once.
    pub(super) waits: bool,
    pub(super) size: usize,
    /// Where its contents begin.
    pub(super) offset: usize,
}

impl Transfer {
    /// Whether the client may have closed before anybody has looked at it. Not every system can then say whose its
    /// connection was, so that the transfer may fail.
    pub(super) fn may_be_too_quick(&self) -> bool {
        self.hasty && self.mode == Mode::Passive && self.direction() == Direction::Upload
    }

    pub(super) fn direction(&self) -> Direction {
        match self.verb {
            Verb::Retr | Verb::List => Direction::Download,
            Verb::Stor | Verb::Appe => Direction::Upload,
        }
    }
}
