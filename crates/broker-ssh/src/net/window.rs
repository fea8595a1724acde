//! How much a server may send ahead on a channel
//!
//! The SSH library has one window for all channels of a connection, and grants more when half of it is used. What it grants
//! and nobody reads, the server holds: OpenSSH up to 16 MiB for each transfer that stands still. So a short line has a
//! small window.

use std::time::Duration;

/// Window of a control channel: lines only, so small.
pub(crate) const CONTROL: u32 = 2 << 20;

/// The least for data. It fills a line of 1 Gbit/s up to a round trip of 8 ms, and keeps both ends of a line within one host
/// busy.
const LEAST: u32 = 2 << 20;

/// The most: what is in flight on the longest fat line worth filling (1 Gbit/s at 256 ms), and as much again.
const MOST: u32 = 64 << 20;

/// Bytes a second of a line worth filling, 1 Gbit/s, twice: the second half is granted while the first is on its way.
const RATE: f64 = 2.0 * 125e6;

/// The window for data on a line with this round trip.
pub(crate) fn for_data(round_trip: Duration) -> u32 {
    let wanted = (round_trip.as_secs_f64() * RATE).clamp(f64::from(LEAST), f64::from(MOST));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between the bounds"
    )]
    let bytes = wanted as u32;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_fills_the_line_within_bounds() {
        for (millis, expected) in [
            (0, LEAST),
            (4, LEAST),
            (20, 5_000_000),
            (100, 25_000_000),
            (300, MOST),
            (60_000, MOST),
        ] {
            let window = for_data(Duration::from_millis(millis));
            assert_eq!(window, expected, "{millis} ms");
        }
    }
}
