//! The kinds of commands, and the replies that can answer each.

use std::ops::RangeInclusive;

use crate::event::Direction;

/// Codes that report a failure.
pub(crate) const FAILURE: RangeInclusive<u16> = 400..=599;

/// The general success code, which some servers also use for transfers.
const COMMAND_OKAY: u16 = 200;

/// Codes of a server that does not know a command, or does not support it with the address family of its control
/// connection. RFC 2428 has `522` for the latter, but servers use any of these.
const UNSUPPORTED: [u16; 6] = [425, 500, 501, 502, 504, 522];

/// The success code of transfers. Otherwise only `ABOR` uses it.
pub(crate) const COMPLETED: u16 = 226;

/// The reply that a passive command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PassiveForm {
    /// `PASV`: 227, with an IPv4 address (RFC 959).
    Short,
    /// `LPSV`: 228, with an address of any family (RFC 1639).
    Long,
    /// `EPSV`: 229, with the port alone (RFC 2428).
    Extended,
    /// `EPSV ALL`: an acknowledgement. From then on the client uses `EPSV` alone (RFC 2428, section 4).
    All,
    /// `SPSV`: a reply that no standard describes.
    Other,
}

/// The meaning of a command for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// No command: the server sends its greeting unasked.
    Greeting,
    Transfer(Direction),
    Abort,
    Passive(PassiveForm),
    Port,
    /// `MODE`: whether the data itself marks its end from then on (RFC 959, section 3.4).
    Mode {
        framed: bool,
    },
    Auth,
    Reinitialize,
    /// `PASS`, `ACCT` and similar commands, whose argument is a secret. 200 confirms it.
    Secret,
    /// No effect on the session; 200 confirms it (RFC 959, section 5.4).
    Confirmed,
    /// Works on files and directories; 250 confirms it, on some servers 200.
    File,
    /// No effect on the session; answered with other codes.
    Plain,
    /// Unknown. Servers accept odd spellings, so it can be any command.
    Unknown,
}

impl CommandKind {
    /// The kind of the command with this verb, which is in capitals.
    pub(crate) fn of(verb: &str, argument: &[u8]) -> Self {
        match verb {
            "RETR" | "LIST" | "NLST" | "MLSD" => Self::Transfer(Direction::Download),
            "STOR" | "STOU" | "APPE" => Self::Transfer(Direction::Upload),
            "ABOR" => Self::Abort,
            "PASV" => Self::Passive(PassiveForm::Short),
            "EPSV" if !argument.eq_ignore_ascii_case(b"ALL") => {
                Self::Passive(PassiveForm::Extended)
            }
            "LPSV" => Self::Passive(PassiveForm::Long),
            "EPSV" => Self::Passive(PassiveForm::All),
            "SPSV" => Self::Passive(PassiveForm::Other),
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

    /// The direction of the data; `None` for a command that is not known to begin a transfer.
    pub(crate) fn direction(self) -> Option<Direction> {
        if let Self::Transfer(direction) = self {
            return Some(direction);
        }
        None
    }

    pub(crate) fn is_transfer(self) -> bool {
        self.direction().is_some()
    }

    /// Whether servers carry out such a command only after a login.
    pub(crate) fn needs_login(self) -> bool {
        self.is_transfer() || matches!(self, Self::Passive(_) | Self::Port | Self::File)
    }

    /// Whether the data marks its end after the server has accepted this command; `None` if that does not change.
    pub(crate) fn framed(self) -> Option<bool> {
        if let Self::Mode { framed } = self {
            return Some(framed);
        }
        (self == Self::Reinitialize).then_some(false)
    }

    /// Whether a final reply with this code can answer such a command.
    pub(crate) fn fits(self, code: u16) -> bool {
        let failed = FAILURE.contains(&code);
        match self {
            Self::Greeting | Self::Reinitialize => failed || code == 220,
            Self::Transfer(_) => failed || is_completion(code),
            Self::Abort => failed || matches!(code, 225 | COMPLETED),
            Self::Passive(_) => failed || matches!(code, 200 | 227..=229),
            Self::Port | Self::Mode { .. } => failed || matches!(code, 200..=219 | 250),
            Self::Auth => failed || matches!(code, 234 | 334),
            Self::Secret | Self::Confirmed | Self::File | Self::Plain => code != COMPLETED,
            Self::Unknown => true,
        }
    }

    /// Whether a reply with this code can answer such a command that was sent during a transfer. The server answers a
    /// transfer before the next one, and before the command that aborts it.
    pub(crate) fn explains(self, code: u16) -> bool {
        match self {
            Self::Greeting | Self::Transfer(_) | Self::Abort => false,
            Self::Secret | Self::Confirmed => code != 250,
            Self::Plain => !matches!(code, 200 | 250),
            Self::Port | Self::Mode { .. } => self.fits(code) && code != 250,
            Self::File | Self::Passive(_) | Self::Auth | Self::Reinitialize | Self::Unknown => {
                self.fits(code)
            }
        }
    }
}

/// Whether a server that knows another form of the command can have sent this code.
pub(crate) fn is_unsupported(code: u16) -> bool {
    UNSUPPORTED.contains(&code)
}

/// Whether a code can report a completed transfer (RFC 959, section 5.4).
pub(crate) fn is_completion(code: u16) -> bool {
    matches!(code, COMPLETED | 250)
}

/// Whether servers are known to report a transfer's success with this code.
pub(crate) fn reports_success(code: u16) -> bool {
    is_completion(code) || code == COMMAND_OKAY
}
