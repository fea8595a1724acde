//! How much a server may send ahead on a channel
//!
//! The SSH library has one window for all channels of a connection, chosen when it connects. It grants the second half
//! anew when the first half has come, so half a window comes in each round trip. What the server's TCP does not take from
//! its SSH server, that one keeps: OpenSSH up to 16 MiB for each channel, and when these are full it moves them about for
//! every packet. So the first connection has a window that does not fill them, and the next ones have what the line was
//! seen to need.

use std::time::Duration;

use russh::ChannelId;
use tokio::time::Instant;

/// Window of a control channel: short lines only, so small.
pub(crate) const CONTROL: u32 = 2 << 20;

/// The smallest for data. It fills a 1 Gbit/s network with a round trip of up to 8 ms, and keeps both ends busy within
/// one host.
const LEAST: u32 = 2 << 20;

/// The largest as long as nobody knows what the line carries. From there on, an OpenSSH that cannot send as fast takes
/// several times as much processor time for each byte.
const MOST_UNSEEN: u32 = 13_000_000;

/// The largest.
const MOST: u32 = 64 << 20;

/// Bytes per second at 1 Gbit/s.
const GIGABIT: f64 = 125e6;

/// How many times the bytes in flight a window holds that fills a line: twice, since the second half is granted while the
/// first is in flight, and a reserve for what comes late.
const FILLS: f64 = 2.4;

/// How often in a row half a window has to come in the same way before that counts. A connection that has just begun to
/// send is slower.
const SIGNS: u32 = 4;

/// If halves come at most so many round trips apart, the server waits for the window.
const WAITS: f64 = 1.15;
/// If they are this far apart, the line carries half of what the window would allow.
const AMPLE: f64 = 2.0;

/// A window that is found to be too small becomes so many times as large.
const GROWTH: u32 = 4;
/// How much larger than necessary a window is that is found to be too large.
const RESERVE: f64 = 1.3;
/// Windows of which the smaller one is this part of the larger one, or more, are as good as each other.
const AS_GOOD: f64 = 0.75;

/// The window for data on a connection with this round trip, while nothing else is known.
pub(crate) fn unseen(round_trip: Duration) -> u32 {
    filling(round_trip).clamp(LEAST, MOST_UNSEEN)
}

/// Carries 1 Gbit/s.
fn filling(round_trip: Duration) -> u32 {
    bytes(round_trip.as_secs_f64() * GIGABIT * FILLS)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest number that there is"
)]
fn bytes(count: f64) -> u32 {
    count as u32
}

/// Watches how fast the window of a connection is used.
#[derive(Debug)]
pub(crate) struct WindowGauge {
    window: u32,
    round_trip: Duration,
    last: Option<(ChannelId, Instant)>,
    fit: Fit,
    /// How many halves in a row had this fit, and the shortest time of one.
    signs: u32,
    shortest: Duration,
}

/// How a window fits to what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Small,
    Right,
    Large,
}

impl WindowGauge {
    /// For a connection with this window and the round trip for which it was chosen.
    pub(crate) fn new(window: u32, round_trip: Duration) -> Self {
        Self {
            window,
            round_trip,
            last: None,
            fit: Fit::Right,
            signs: 0,
            shortest: Duration::MAX,
        }
    }

    /// Notes that half of a channel's window has come. Returns a window that later connections are better off with, once
    /// that is clear. `known`: a round trip that was measured since. Channels that take turns show nothing.
    pub(crate) fn half_used(
        &mut self,
        channel: ChannelId,
        now: Instant,
        known: Option<Duration>,
    ) -> Option<u32> {
        self.round_trip = known.unwrap_or(self.round_trip);
        let last = self.last.replace((channel, now));
        let (_, before) = last.filter(|(of, _)| *of == channel)?;
        let took = now.duration_since(before);
        let fit = self.fit_of(took);
        if fit != self.fit {
            (self.fit, self.signs, self.shortest) = (fit, 0, Duration::MAX);
        }
        self.signs += 1;
        self.shortest = self.shortest.min(took);
        if self.signs < SIGNS {
            return None;
        }
        let window = f64::from(self.window);
        match self.fit {
            Fit::Small => Some(self.larger()).filter(|it| window < f64::from(*it) * AS_GOOD),
            Fit::Right => None,
            Fit::Large => Some(self.smaller()).filter(|it| f64::from(*it) < window * AS_GOOD),
        }
    }

    /// Begins anew: what came until now does not count.
    pub(crate) fn forget(&mut self) {
        (self.last, self.signs, self.shortest) = (None, 0, Duration::MAX);
    }

    fn fit_of(&self, took: Duration) -> Fit {
        if took <= self.round_trip.mul_f64(WAITS) {
            Fit::Small
        } else if took < self.round_trip.mul_f64(AMPLE) {
            Fit::Right
        } else {
            Fit::Large
        }
    }

    fn larger(&self) -> u32 {
        let bound = filling(self.round_trip).min(MOST);
        self.window.saturating_mul(GROWTH).min(bound)
    }

    fn smaller(&self) -> u32 {
        let used = self.round_trip.as_secs_f64() / self.shortest.as_secs_f64();
        bytes(f64::from(self.window) * used * RESERVE).max(LEAST)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
