//! What goes wrong in a round: who cuts or disturbs the transfer, and which FTP server it is with

use std::fmt;
use std::time::Duration;

use testkit::quirky_ftp::{Aborts, Quirks, Success};

/// What is done to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    Nothing,
    SshdData,
    SshdControl,
    SshdBoth,
    LineSilent,
    DataSilent,
    LineReset,
    LineClosed,
    FtpSession,
    FtpServer,
    ClientGone,
    ClientData,
    ClientHalfData,
    ClientHalfControl,
    ClientRefuses,
    BoxResets,
    Abort,
    AbortAndSshdData,
    DaemonStopped,
    DaemonPastGrace,
    DaemonKilled,
}

/// The FTP server of a round: a real one, or one with a habit that real ones have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Server {
    Vsftpd,
    HalfCloses,
    KeepsSocket,
    OddStart,
    NoStart,
    OddSuccess,
    EarlySuccess,
    LateSuccess,
    WritesOn,
}

/// What a round is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    pub(super) cut: Cut,
    pub(super) server: Server,
}

/// A deck is dealt in random order, then the next, so that a run of one deck's length meets everything.
const DECK: [(Cut, Server, usize); 35] = [
    (Cut::Nothing, Server::Vsftpd, 4),
    (Cut::SshdData, Server::Vsftpd, 6),
    (Cut::SshdControl, Server::Vsftpd, 4),
    (Cut::SshdBoth, Server::Vsftpd, 3),
    // Silence takes seconds to be noticed.
    (Cut::LineSilent, Server::Vsftpd, 1),
    (Cut::DataSilent, Server::Vsftpd, 1),
    (Cut::LineReset, Server::Vsftpd, 4),
    (Cut::LineClosed, Server::Vsftpd, 2),
    (Cut::FtpSession, Server::Vsftpd, 4),
    (Cut::FtpServer, Server::Vsftpd, 2),
    (Cut::ClientGone, Server::Vsftpd, 3),
    (Cut::ClientData, Server::Vsftpd, 5),
    (Cut::ClientHalfData, Server::Vsftpd, 1),
    (Cut::ClientHalfControl, Server::Vsftpd, 2),
    (Cut::ClientRefuses, Server::Vsftpd, 4),
    (Cut::BoxResets, Server::Vsftpd, 3),
    (Cut::Abort, Server::Vsftpd, 4),
    (Cut::AbortAndSshdData, Server::Vsftpd, 3),
    (Cut::DaemonStopped, Server::Vsftpd, 2),
    (Cut::DaemonPastGrace, Server::Vsftpd, 1),
    (Cut::DaemonKilled, Server::Vsftpd, 1),
    (Cut::SshdData, Server::HalfCloses, 2),
    (Cut::ClientData, Server::HalfCloses, 1),
    (Cut::Nothing, Server::KeepsSocket, 1),
    (Cut::SshdData, Server::KeepsSocket, 2),
    (Cut::Nothing, Server::OddStart, 1),
    (Cut::SshdData, Server::OddStart, 3),
    (Cut::Nothing, Server::NoStart, 1),
    (Cut::SshdData, Server::NoStart, 1),
    (Cut::SshdData, Server::OddSuccess, 2),
    (Cut::Nothing, Server::EarlySuccess, 1),
    (Cut::SshdData, Server::EarlySuccess, 1),
    (Cut::Nothing, Server::LateSuccess, 1),
    (Cut::SshdData, Server::LateSuccess, 1),
    (Cut::Abort, Server::WritesOn, 2),
];

/// Announcements of a transfer whose last line is not what its first promises, each seen of some server.
const ODD_STARTS: [&[&str]; 4] = [
    &["150-Note", "125 Opening"],
    &["553-", "553- Directory excluded (precheck).", "150 Opening"],
    &["200-Note", "150 Opening"],
    &["150-Opening", "150-more"],
];

/// How late a late success comes.
const LATE: Duration = Duration::from_millis(500);

impl Cut {
    /// What the table calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::SshdData => "sshd: data session killed",
            Self::SshdControl => "sshd: control session killed",
            Self::SshdBoth => "sshd: both killed",
            Self::LineSilent => "line silent",
            Self::DataSilent => "line of data silent",
            Self::LineReset => "line reset",
            Self::LineClosed => "line closed",
            Self::FtpSession => "FTP server: session killed",
            Self::FtpServer => "FTP server killed",
            Self::ClientGone => "client gone",
            Self::ClientData => "client resets data",
            Self::ClientHalfData => "client half-closes data",
            Self::ClientHalfControl => "client half-closes control",
            Self::ClientRefuses => "client's active port refuses",
            Self::BoxResets => "box before the broker resets data",
            Self::Abort => "ABOR",
            Self::AbortAndSshdData => "ABOR, then sshd: data session killed",
            Self::DaemonStopped => "daemon stopped, no grace",
            Self::DaemonPastGrace => "daemon stopped past grace",
            Self::DaemonKilled => "daemon killed",
        }
    }

    /// Whether the daemon is another one afterwards.
    pub(super) fn ends_the_daemon(self) -> bool {
        matches!(
            self,
            Self::DaemonStopped | Self::DaemonPastGrace | Self::DaemonKilled
        )
    }

    /// Whether it happens between the broker and sshd, where a relay stands.
    pub(super) fn is_on_the_line(self) -> bool {
        matches!(
            self,
            Self::LineSilent | Self::DataSilent | Self::LineReset | Self::LineClosed
        )
    }

    /// Whether everybody else must do as if nothing had happened.
    pub(super) fn is_harmless(self) -> bool {
        matches!(self, Self::Nothing | Self::ClientHalfData)
    }

    /// Whether it strikes while the client stands still, if the round wants that.
    pub(super) fn can_strike_a_held_client(self) -> bool {
        !matches!(
            self,
            Self::Nothing
                | Self::ClientGone
                | Self::ClientData
                | Self::ClientHalfData
                | Self::ClientHalfControl
                | Self::ClientRefuses
                | Self::BoxResets
                | Self::Abort
        )
    }
}

impl Server {
    /// Whether the client cannot wait for the reply that announces a transfer: none comes, or it never ends.
    pub(super) fn asks_for_haste(self, variant: usize) -> bool {
        self == Self::NoStart || (self == Self::OddStart && odd_start(variant) == ODD_STARTS[3])
    }

    /// What the server of the testkit has to be told of the habit. `variant` chooses where there are several.
    pub(super) fn quirks(self, variant: usize) -> Quirks {
        let usual = Quirks::default();
        match self {
            Self::Vsftpd => usual,
            Self::HalfCloses => Quirks {
                half_closes: true,
                ..usual
            },
            Self::KeepsSocket => Quirks {
                keeps_data_socket: true,
                ..usual
            },
            Self::OddStart => Quirks {
                start: odd_start(variant),
                ..usual
            },
            Self::NoStart => Quirks {
                start: &[],
                ..usual
            },
            Self::OddSuccess if variant.is_multiple_of(2) => Quirks {
                done: &["200 OK, stored"],
                ..usual
            },
            Self::OddSuccess => Quirks {
                done: &["250-Stored", "250 as asked"],
                ..usual
            },
            Self::EarlySuccess => Quirks {
                success: Success::BeforeData,
                ..usual
            },
            Self::LateSuccess => Quirks {
                success: Success::Late(LATE),
                ..usual
            },
            Self::WritesOn => Quirks {
                aborts: Aborts::AfterTransfer,
                ..usual
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Vsftpd => "",
            Self::HalfCloses => "server half-closes; ",
            Self::KeepsSocket => "server keeps data sockets; ",
            Self::OddStart => "replies end oddly; ",
            Self::NoStart => "no 150; ",
            Self::OddSuccess => "200 or 250 for 226; ",
            Self::EarlySuccess => "226 before the data; ",
            Self::LateSuccess => "226 late; ",
            Self::WritesOn => "server reads nothing while it writes; ",
        }
    }
}

fn odd_start(variant: usize) -> &'static [&'static str] {
    let start = ODD_STARTS.get(variant % ODD_STARTS.len());
    start.copied().unwrap_or_default()
}

impl Fault {
    pub(super) const NONE: Self = Self {
        cut: Cut::Nothing,
        server: Server::Vsftpd,
    };
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server.name(), self.cut.name())
    }
}

/// Every fault as often as one deck has it, in order.
pub(super) fn deck() -> Vec<Fault> {
    let copies = |(cut, server, count)| std::iter::repeat_n(Fault { cut, server }, count);
    DECK.into_iter().flat_map(copies).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_that_never_ends_is_not_waited_for() {
        let hasty = |server: Server| (0..4).filter(|v| server.asks_for_haste(*v)).count();
        assert_eq!(hasty(Server::NoStart), 4);
        assert_eq!(hasty(Server::OddStart), 1);
        assert_eq!(hasty(Server::Vsftpd), 0);
    }
}
