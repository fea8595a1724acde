//! How much a server may send ahead on a channel
//!
//! The SSH library has one window size for all channels of a connection, and extends a window when half of it is used.
//! The server buffers what it is granted and nobody reads: OpenSSH up to 16 MiB for each stalled transfer. So a
//! connection with a short round trip has a small window.

use std::time::Duration;

/// Window of a control channel: short lines only, so small.
pub(crate) const CONTROL: u32 = 2 << 20;

/// The smallest for data. It fills a 1 Gbit/s network with a round trip of up to 8 ms, and keeps both ends busy within
/// one host.
const LEAST: u32 = 2 << 20;

/// The largest: the bytes in flight at 1 Gbit/s and a round trip of 256 ms, twice.
const MOST: u32 = 64 << 20;

/// Bytes per second at 1 Gbit/s, twice: the second half is granted while the first is in flight.
const RATE: f64 = 2.0 * 125e6;

/// The window for data on a connection with this round trip.
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
