//! Kinds of commands, and which replies can answer each.

use std::ops::RangeInclusive;

use crate::event::Direction;

/// Codes that report a failure.
pub(crate) const FAILURE: RangeInclusive<u16> = 400..=599;

/// The code for success in general, with which some servers report a transfer's as well.
const COMMAND_OKAY: u16 = 200;

/// The code that reports a transfer's success and nothing else's but that of an `ABOR`.
pub(crate) const COMPLETED: u16 = 226;

/// What a command means to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// None: the server greets without being asked.
    Greeting,
    Transfer(Direction),
    Abort,
    Passive,
    Port,
    /// `MODE`: whether the data itself says from then on where it ends (RFC 959, section 3.4).
    Mode {
        framed: bool,
    },
    Auth,
    Reinitialize,
    /// `PASS`, `ACCT` and the like: its argument is a secret. 200 confirms it.
    Secret,
    /// Of no consequence here; 200 confirms it (RFC 959, section 5.4).
    Confirmed,
    /// Works on files and directories; 250 confirms it, with some servers 200.
    File,
    /// Of no consequence here, and answered with other codes.
    Plain,
    /// Not known. Servers accept odd spellings, so it may be anything.
    Unknown,
}

impl CommandKind {
    /// The kind of a command with this verb, in capitals.
    pub(crate) fn of(verb: &str, argument: &[u8]) -> Self {
        match verb {
            "RETR" | "LIST" | "NLST" | "MLSD" => Self::Transfer(Direction::Download),
            "STOR" | "STOU" | "APPE" => Self::Transfer(Direction::Upload),
            "ABOR" => Self::Abort,
            "PASV" | "EPSV" | "LPSV" | "SPSV" => Self::Passive,
            "PORT" | "EPRT" | "LPRT" => Self::Port,
            "MODE" => Self::Mode {
                framed: matches!(argument, [b'B' | b'b' | b'C' | b'c', ..]),
            },
            "AUTH" => Self::Auth,
            "REIN" => Self::Reinitialize,
            "PASS" | "ACCT" | "ADAT" | "CONF" | "ENC" | "MIC" | "SITE" => Self::Secret,
            "ALLO" | "CCC" | "CLNT" | "CSID" | "HASH" | "LANG" | "NOOP" | "OPTS" | "PBSZ"
            | "PROT" | "STRU" | "TYPE" => Self::Confirmed,
            "CDUP" | "CWD" | "DELE" | "MKD" | "MLST" | "RMD" | "RNTO" | "SMNT" | "XCUP"
            | "XCWD" | "XMKD" | "XRMD" => Self::File,
            "AVBL" | "FEAT" | "HELP" | "HOST" | "MDTM" | "MFCT" | "MFF" | "MFMT" | "PWD"
            | "QUIT" | "REST" | "RNFR" | "SIZE" | "STAT" | "SYST" | "USER" | "XPWD" => Self::Plain,
            _ => Self::Unknown,
        }
    }

    /// Which way the data goes; `None` for a command that is not known to begin a transfer.
    pub(crate) fn direction(self) -> Option<Direction> {
        if let Self::Transfer(direction) = self {
            return Some(direction);
        }
        None
    }

    pub(crate) fn is_transfer(self) -> bool {
        self.direction().is_some()
    }

    /// Whether servers carry such a command out only for who has logged in.
    pub(crate) fn needs_login(self) -> bool {
        self.is_transfer() || matches!(self, Self::Passive | Self::Port | Self::File)
    }

    /// Whether the data says where it ends once the server has accepted this; `None` where that stays as it is.
    pub(crate) fn framed(self) -> Option<bool> {
        if let Self::Mode { framed } = self {
            return Some(framed);
        }
        (self == Self::Reinitialize).then_some(false)
    }

    /// Whether such a command can be answered by a final reply of this code.
    pub(crate) fn fits(self, code: u16) -> bool {
        let failed = FAILURE.contains(&code);
        match self {
            Self::Greeting | Self::Reinitialize => failed || code == 220,
            Self::Transfer(_) => failed || is_completion(code),
            Self::Abort => failed || matches!(code, 225 | COMPLETED),
            Self::Passive => failed || matches!(code, 200 | 227..=229),
            Self::Port | Self::Mode { .. } => failed || matches!(code, 200..=219 | 250),
            Self::Auth => failed || matches!(code, 234 | 334),
            Self::Secret | Self::Confirmed | Self::File | Self::Plain => code != COMPLETED,
            Self::Unknown => true,
        }
    }

    /// Whether such a command, sent while a transfer runs, may be what a reply of this code is about. A transfer is
    /// answered before the next one, and before what aborts it.
    pub(crate) fn explains(self, code: u16) -> bool {
        match self {
            Self::Greeting | Self::Transfer(_) | Self::Abort => false,
            Self::Secret | Self::Confirmed => code != 250,
            Self::Plain => !matches!(code, 200 | 250),
            Self::Port | Self::Mode { .. } => self.fits(code) && code != 250,
            Self::File | Self::Passive | Self::Auth | Self::Reinitialize | Self::Unknown => {
                self.fits(code)
            }
        }
    }
}

/// Whether a code can say that a transfer was completed (RFC 959, section 5.4).
pub(crate) fn is_completion(code: u16) -> bool {
    matches!(code, COMPLETED | 250)
}

/// Whether servers are known to report a transfer's success with this code.
pub(crate) fn reports_success(code: u16) -> bool {
    is_completion(code) || code == COMMAND_OKAY
}
