//! What each round does, from the seed and the round's number alone

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::fault::{Cut, Fault, Server, deck};
use super::transfer::{Deed, Direction, Interruption, Mode, Moment, Step, Transfer, Urgency, Verb};

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
/// Any number that all numbers of a server's habits divide.
const VARIANTS: usize = 12;
/// All buffers between the FTP server and a client that stands still take about half of this.
const PAST_BUFFERS: usize = 32 << 20;

/// One round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) fault: Fault,
    /// Chooses among the habits of a server that has several.
    pub(super) variant: usize,
    pub(super) moment: Moment,
    /// What the client itself does at a moment of its own.
    pub(super) interruption: Option<Interruption>,
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
        let fault = deal(seed, number);
        let Fault { cut, server } = fault;
        let mut rng = generator(seed, number, 1);
        let hold = hold(&mut rng, cut);
        let size = size(&mut rng, fault, hold.is_some());
        let moment = moment(&mut rng, cut, size, hold.is_some());
        let coin = rng.random();
        let relayed = cut.is_on_the_line() || rng.random_ratio(1, 5);
        let (transfer, next) = (transfer(&mut rng, size), transfer(&mut rng, NEXT_SIZE));
        let variant = rng.random_range(0..VARIANTS);
        let must_haste = server.asks_for_haste(variant);
        Self {
            number,
            fault,
            variant,
            moment,
            interruption: interruption(&mut rng, fault, moment, size),
            hold,
            coin,
            relayed,
            transfer: Transfer {
                hasty: must_haste || transfer.hasty,
                ..fitting(transfer, fault, coin)
            },
            next: next_after(next, must_haste),
        }
    }
}

impl Plan {
    /// A round whose next transfer is one like any other.
    pub(super) fn warm_up(&self, relayed: bool) -> Self {
        Self {
            fault: Fault::NONE,
            relayed,
            next: Transfer {
                hasty: false,
                ..self.next
            },
            ..*self
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            fault,
            variant,
            moment,
            interruption,
            hold,
            transfer,
            ..
        } = self;
        let Transfer {
            mode,
            verb,
            size,
            hasty,
            ..
        } = transfer;
        let way = if self.relayed {
            ", through the relay"
        } else {
            ""
        };
        let hold = hold.map_or_else(String::new, |wait| format!(", held for {wait:?}"));
        let coin = if self.coin { 2 } else { 1 };
        let haste = if *hasty { " without waiting" } else { "" };
        let deed =
            interruption.map_or_else(String::new, |i| format!(", {:?} at {:?}", i.deed, i.moment));
        let verb = verb.name();
        write!(
            f,
            "round {number}: {fault} (way {coin}, variant {variant}) at {moment:?}{hold}{deed} of a {mode:?} {verb} of {size} bytes{haste}{way}"
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

/// A deck is dealt in random order, then the next, so that a run of one deck's length meets everything.
fn deal(seed: u64, number: u64) -> Fault {
    let mut deck = deck();
    let length = deck.len() as u64;
    let index = number.saturating_sub(1);
    deck.shuffle(&mut generator(seed, index / length, 2));
    let place = usize::try_from(index % length).unwrap_or_default();
    deck.get(place).copied().unwrap_or(Fault::NONE)
}

/// Mostly small, so that a round is quick; every order of magnitude, empty files and the largest occur.
fn size(rng: &mut SmallRng, Fault { cut, server }: Fault, held: bool) -> usize {
    let size = match rng.random_range(0..16) {
        0 => 0,
        1 => rng.random_range(1..100),
        2 => MAX_SIZE,
        // Between 1 byte and the largest, each doubling as likely as any other.
        3..8 => 2_f64.powf(rng.random_range(0.0..26.0)) as usize,
        _ => (MAX_SIZE as f64 * rng.random_range(0.0_f64..1.0).powi(4)) as usize,
    };
    let large = match (cut, server) {
        // It must have much to write yet.
        (Cut::DaemonPastGrace, _) | (_, Server::WritesOn) => true,
        (Cut::Abort, _) => rng.random(),
        _ => false,
    };
    let least = if large {
        PAST_BUFFERS
    } else if held {
        rng.random_range(0..PAST_BUFFERS)
    } else {
        // Something must be there for the box to pass on.
        usize::from(cut == Cut::BoxResets)
    };
    size.max(least)
}

fn moment(rng: &mut SmallRng, cut: Cut, size: usize, held: bool) -> Moment {
    if cut == Cut::DaemonPastGrace {
        return Moment::Bytes(rng.random_range(0..=size - PAST_BUFFERS));
    }
    if cut == Cut::BoxResets {
        return Moment::Bytes(rng.random_range(1..=size));
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
    let holds = cut == Cut::DaemonPastGrace || rng.random_ratio(1, 3);
    let wait = MAX_HOLD.mul_f64(rng.random_range(0.0..1.0));
    (cut.can_strike_a_held_client() && holds).then_some(wait)
}

fn interruption(
    rng: &mut SmallRng,
    Fault { cut, server }: Fault,
    moment: Moment,
    size: usize,
) -> Option<Interruption> {
    let middle = Moment::Bytes(rng.random_range(0..=size));
    // A server that looks up only when a write fails must not be through by itself.
    let early = Moment::Bytes(rng.random_range(0..=size.saturating_sub(PAST_BUFFERS)));
    let phases: &[Moment] = if server == Server::WritesOn {
        &[Moment::Step(Step::Asked), early]
    } else {
        &[
            Moment::Step(Step::Asked),
            middle,
            Moment::Bytes(size),
            Moment::Step(Step::DataEnded),
            Moment::Step(Step::Answered),
        ]
    };
    let urgencies = [Urgency::Plain, Urgency::Urgent, Urgency::Telnet];
    let phase = phases.choose(rng).copied().unwrap_or(middle);
    let urgency = urgencies.choose(rng).copied().unwrap_or(Urgency::Plain);
    let deed = match (cut, urgency) {
        (Cut::Abort | Cut::AbortAndSshdData, _) => Deed::Abort(urgency),
        (Cut::ClientHalfData, _) => Deed::HalfData,
        (Cut::ClientHalfControl, _) => Deed::HalfControl,
        _ => return None,
    };
    let moment = match (cut, moment) {
        (Cut::Abort, _) => phase,
        (Cut::AbortAndSshdData, Moment::Bytes(_)) => moment,
        // Before the cut, whose moment may be one at which the client still logs in.
        (Cut::AbortAndSshdData, _) => Moment::Step(Step::Asked),
        _ => middle,
    };
    Some(Interruption { moment, deed })
}

fn transfer(rng: &mut SmallRng, size: usize) -> Transfer {
    let verbs = [Verb::Retr, Verb::Retr, Verb::Stor, Verb::Appe];
    let mode = if rng.random() {
        Mode::Passive
    } else {
        Mode::Active
    };
    Transfer {
        verb: verbs.choose(rng).copied().unwrap_or(Verb::Retr),
        mode,
        extended: rng.random(),
        waits: rng.random(),
        hasty: rng.random_ratio(1, 8),
        size,
        offset: rng.random_range(0..MAX_OFFSET),
    }
}

/// A transfer that cannot fail.
fn next_after(plain: Transfer, must_haste: bool) -> Transfer {
    let verb = if must_haste { Verb::Retr } else { plain.verb };
    Transfer {
        verb,
        hasty: must_haste,
        ..plain
    }
}

/// The transfer as the fault can strike it.
fn fitting(plain: Transfer, Fault { cut, server }: Fault, coin: bool) -> Transfer {
    let verb = match (cut, server) {
        (Cut::ClientRefuses, _) if coin && plain.verb == Verb::Retr => Verb::List,
        (Cut::ClientHalfData, _) | (_, Server::WritesOn) => Verb::Retr,
        (Cut::BoxResets | Cut::AbortAndSshdData, _)
        | (_, Server::HalfCloses | Server::KeepsSocket)
            if plain.direction() == Direction::Download =>
        {
            Verb::Stor
        }
        _ => plain.verb,
    };
    let mode = match (cut, plain.mode) {
        (Cut::ClientRefuses, _) => Mode::Active,
        (Cut::BoxResets, _) => Mode::Passive,
        (_, mode) => mode,
    };
    Transfer {
        verb,
        mode,
        ..plain
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
    fn one_deck_meets_every_fault() {
        let length = deck().len();
        let mut met: Vec<Fault> = (1..=length as u64).map(|number| deal(3, number)).collect();
        met.sort();
        assert_eq!(met, {
            let mut all = deck();
            all.sort();
            all
        });
    }

    #[test]
    fn sizes_reach_from_nothing_to_the_largest() {
        let sizes: Vec<_> = (1..500).map(|n| Plan::of(1, n).transfer.size).collect();
        assert_eq!(sizes.iter().min(), Some(&0));
        assert_eq!(sizes.iter().max(), Some(&MAX_SIZE));
    }

    fn has_abort(plan: &Plan) -> bool {
        plan.interruption.is_some_and(|i| i.deed.is_abort())
    }

    #[test]
    fn a_fault_strikes_a_transfer_that_it_can_strike() {
        for plan in (1..500).map(|number| Plan::of(2, number)) {
            let (cut, transfer) = (plan.fault.cut, plan.transfer);
            let (mode, direction) = (transfer.mode, transfer.direction());
            assert_eq!(
                cut == Cut::Abort,
                has_abort(&plan) && cut != Cut::AbortAndSshdData
            );
            assert!(cut != Cut::ClientRefuses || mode == Mode::Active);
            assert!(cut == Cut::ClientRefuses || transfer.verb != Verb::List);
            assert!(cut != Cut::ClientHalfData || direction == Direction::Download);
            let by_the_box = (mode, direction) == (Mode::Passive, Direction::Upload);
            assert!(cut != Cut::BoxResets || by_the_box);
        }
    }
}
