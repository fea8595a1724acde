//! What each round does, from the seed and the round's number alone

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The largest file.
pub(super) const MAX_SIZE: usize = 64 << 20;
/// The contents of files begin at a random place, so that no file is like the one before.
pub(super) const MAX_OFFSET: usize = 1 << 20;
/// The transfer after a cut is only there to see that it works.
const NEXT_SIZE: usize = 64 << 10;
/// On this machine a transfer of the usual size is over by then.
const MAX_WAIT: Duration = Duration::from_millis(60);
/// By then buffers are full while a client stands still.
const MAX_HOLD: Duration = Duration::from_millis(200);
/// All buffers between the FTP server and a client that stands still take about half of this.
const PAST_BUFFERS: usize = 32 << 20;

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
    DaemonStopped,
    DaemonPastGrace,
    DaemonKilled,
}

/// A deck is dealt in random order, then the next, so that a run of one deck's length meets everything.
const DECK: [(Cut, usize); 15] = [
    (Cut::Nothing, 4),
    (Cut::SshdData, 6),
    (Cut::SshdControl, 4),
    (Cut::SshdBoth, 3),
    // Silence takes seconds to be noticed.
    (Cut::LineSilent, 1),
    (Cut::DataSilent, 1),
    (Cut::LineReset, 4),
    (Cut::LineClosed, 2),
    (Cut::FtpSession, 4),
    (Cut::FtpServer, 2),
    (Cut::ClientGone, 3),
    (Cut::ClientData, 2),
    (Cut::DaemonStopped, 2),
    (Cut::DaemonPastGrace, 1),
    (Cut::DaemonKilled, 1),
];

impl Cut {
    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
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
    fn is_on_the_line(self) -> bool {
        matches!(
            self,
            Self::LineSilent | Self::DataSilent | Self::LineReset | Self::LineClosed
        )
    }
}

/// When the cut is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// As soon as the client has come this far.
    Step(Step),
    /// As soon as the client has taken or given this many bytes.
    Bytes(usize),
    /// So long after the client has asked for the transfer.
    After(Duration),
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
    /// RETR or STOR is sent.
    Asked,
    /// The server has said that it begins.
    Started,
    DataEnded,
    Over,
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

/// One file to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) direction: Direction,
    pub(super) mode: Mode,
    /// EPSV or EPRT rather than PASV or PORT.
    pub(super) extended: bool,
    /// After an upload the client waits for the server's end of the data connection, rather than closing at once.
    pub(super) waits: bool,
    pub(super) size: usize,
    /// Where its contents begin.
    pub(super) offset: usize,
}

/// One round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) cut: Cut,
    pub(super) moment: Moment,
    /// The client stands still at the moment, so that buffers fill and servers believe they are done; the cut is made so
    /// long after, and then the client goes on.
    pub(super) hold: Option<Duration>,
    /// Which of the two ways to make a cut that can be made in two.
    pub(super) coin: bool,
    /// Whether the line to sshd goes through the relay.
    pub(super) relayed: bool,
    pub(super) transfer: Transfer,
    /// The plain transfer afterwards, which must work.
    pub(super) next: Transfer,
}

impl Plan {
    /// Round `number`, counted from 1.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        let cut = deal(seed, number);
        let mut rng = generator(seed, number, 1);
        let hold = hold(&mut rng, cut);
        let size = size(&mut rng, cut, hold.is_some());
        let moment = moment(&mut rng, cut, size, hold.is_some());
        Self {
            number,
            cut,
            moment,
            hold,
            coin: rng.random(),
            relayed: cut.is_on_the_line() || rng.random_ratio(1, 5),
            transfer: transfer(&mut rng, size),
            next: transfer(&mut rng, NEXT_SIZE),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            cut,
            moment,
            hold,
            transfer,
            ..
        } = self;
        let Transfer {
            mode,
            direction,
            size,
            ..
        } = transfer;
        let way = if self.relayed {
            ", through the relay"
        } else {
            ""
        };
        let hold = hold.map_or_else(String::new, |wait| format!(", held for {wait:?}"));
        let coin = if self.coin { 2 } else { 1 };
        let cut = cut.name();
        write!(
            f,
            "round {number}: {cut} (way {coin}) at {moment:?}{hold} of a {mode:?} {direction:?} of {size} bytes{way}"
        )
    }
}

/// Independent numbers for each purpose of each round.
fn generator(seed: u64, number: u64, purpose: u64) -> SmallRng {
    // Odd constants keep neighbouring seeds and rounds apart.
    let mixed = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(number.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_add(purpose);
    SmallRng::seed_from_u64(mixed)
}

fn deal(seed: u64, number: u64) -> Cut {
    let mut deck: Vec<Cut> = DECK
        .into_iter()
        .flat_map(|(cut, count)| std::iter::repeat_n(cut, count))
        .collect();
    let length = deck.len() as u64;
    let index = number.saturating_sub(1);
    deck.shuffle(&mut generator(seed, index / length, 2));
    let place = usize::try_from(index % length).unwrap_or_default();
    deck.get(place).copied().unwrap_or(Cut::Nothing)
}

/// Mostly small, so that a round is quick; every order of magnitude, empty files and the largest occur.
fn size(rng: &mut SmallRng, cut: Cut, held: bool) -> usize {
    let size = match rng.random_range(0..16) {
        0 => 0,
        1 => rng.random_range(1..100),
        2 => MAX_SIZE,
        // Between 1 byte and the largest, each doubling as likely as any other.
        3..8 => 2_f64.powf(rng.random_range(0.0..26.0)) as usize,
        _ => (MAX_SIZE as f64 * rng.random_range(0.0_f64..1.0).powi(4)) as usize,
    };
    if cut == Cut::DaemonPastGrace {
        size.max(PAST_BUFFERS)
    } else if held {
        size.max(rng.random_range(0..PAST_BUFFERS))
    } else {
        size
    }
}

fn moment(rng: &mut SmallRng, cut: Cut, size: usize, held: bool) -> Moment {
    if cut == Cut::DaemonPastGrace {
        return Moment::Bytes(rng.random_range(0..=size - PAST_BUFFERS));
    }
    if held {
        return Moment::Bytes(size - rng.random_range(0..=size.min(PAST_BUFFERS)));
    }
    match rng.random_range(0..20) {
        0 if rng.random() => Moment::Step(Step::Greeted),
        0 => Moment::Step(Step::LoggedIn),
        1 if rng.random() => Moment::Step(Step::Offered),
        1 => Moment::Step(Step::DataEnded),
        2..5 => Moment::Bytes(size),
        5..9 => Moment::After(MAX_WAIT.mul_f64(rng.random_range(0.0_f64..1.0).powi(3))),
        _ => Moment::Bytes(rng.random_range(0..=size)),
    }
}

fn hold(rng: &mut SmallRng, cut: Cut) -> Option<Duration> {
    let by_others = !matches!(cut, Cut::Nothing | Cut::ClientGone | Cut::ClientData);
    let holds = cut == Cut::DaemonPastGrace || rng.random_ratio(1, 3);
    let wait = MAX_HOLD.mul_f64(rng.random_range(0.0..1.0));
    (by_others && holds).then_some(wait)
}

fn transfer(rng: &mut SmallRng, size: usize) -> Transfer {
    Transfer {
        direction: if rng.random() {
            Direction::Download
        } else {
            Direction::Upload
        },
        mode: if rng.random() {
            Mode::Passive
        } else {
            Mode::Active
        },
        extended: rng.random(),
        waits: rng.random(),
        size,
        offset: rng.random_range(0..MAX_OFFSET),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_the_same_each_time_and_different_from_others() {
        let shown = |seed, number| Plan::of(seed, number).to_string();
        assert_eq!(shown(7, 12), shown(7, 12));
        assert_ne!(shown(7, 12), shown(7, 13));
        assert_ne!(shown(7, 12), shown(8, 12));
    }

    #[test]
    fn one_deck_meets_every_cut() {
        let mut met: Vec<Cut> = (1..=40).map(|number| Plan::of(3, number).cut).collect();
        met.sort();
        met.dedup();
        assert_eq!(met.len(), DECK.len());
        assert_eq!(DECK.iter().map(|(_, count)| count).sum::<usize>(), 40);
    }

    #[test]
    fn sizes_reach_from_nothing_to_the_largest() {
        let sizes: Vec<_> = (1..500).map(|n| Plan::of(1, n).transfer.size).collect();
        assert_eq!(sizes.iter().min(), Some(&0));
        assert_eq!(sizes.iter().max(), Some(&MAX_SIZE));
    }
}
