//! When a window is found too small or too large, and what it becomes.

use super::*;

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_window_fills_the_line_within_bounds() {
    for (millis, expected) in [
        (0, LEAST),
        (4, LEAST),
        (20, 6_000_000),
        (100, MOST_UNSEEN),
        (60_000, MOST_UNSEEN),
    ] {
        assert_eq!(unseen(MILLI * millis), expected, "{millis} ms");
    }
}

/// What a connection with this window and round trip, in milliseconds, finds when halves take so many milliseconds.
fn found(window: u32, round_trip: u32, halves: &[u32]) -> Option<u32> {
    let mut gauge = WindowGauge::new(window, MILLI * round_trip);
    let channel = channel(1);
    let mut now = Instant::now();
    let mut found = gauge.half_used(channel, now, None);
    for half in halves {
        assert_eq!(found, None, "too early");
        now += MILLI * *half;
        found = gauge.half_used(channel, now, None);
    }
    found
}

/// The library makes no numbers of channels but its own.
fn channel(number: u32) -> ChannelId {
    let mut bytes = &number.to_be_bytes()[..];
    russh::keys::ssh_encoding::Decode::decode(&mut bytes).unwrap()
}

#[test]
fn a_window_that_the_server_waits_for_grows_up_to_what_fills_the_line() {
    assert_eq!(found(13_000_000, 100, &[100; 4]), Some(30_000_000));
    assert_eq!(found(13_000_000, 300, &[301; 4]), Some(52_000_000));
    assert_eq!(found(26_000_000, 300, &[330; 4]), Some(MOST));
    assert_eq!(found(13_000_000, 50, &[55; 4]), None, "no gain");
    // It carries 1 Gbit/s.
    assert_eq!(found(30_000_000, 100, &[106; 4]), None);
}

#[test]
fn a_window_of_which_half_is_enough_shrinks_to_what_is_used() {
    // 25 MB/s over 100 ms: 2.5 MB come in a round trip, and the window is twice that and some more.
    assert_eq!(found(13_000_000, 100, &[260; 4]), Some(6_500_000));
    assert_eq!(found(6_500_000, 100, &[130; 4]), None);
    assert_eq!(found(13_000_000, 100, &[9000; 4]), Some(LEAST));
    assert_eq!(found(2_500_000, 10, &[900; 4]), None, "no gain");
    assert_eq!(found(LEAST, 0, &[1; 4]), None, "on one host");
}

#[test]
fn only_the_same_sign_several_times_in_a_row_counts() {
    assert_eq!(found(13_000_000, 100, &[100; 3]), None);
    assert_eq!(found(13_000_000, 100, &[100, 100, 100, 150, 100]), None);
    assert_eq!(found(13_000_000, 100, &[900, 900, 900, 100, 900]), None);
}

#[test]
fn channels_that_take_turns_show_nothing() {
    let mut gauge = WindowGauge::new(13_000_000, MILLI * 100);
    let mut now = Instant::now();
    for turn in 0..20 {
        assert_eq!(gauge.half_used(channel(turn % 2), now, None), None);
        now += MILLI * 100;
    }
}

#[test]
fn what_is_forgotten_does_not_count() {
    let mut gauge = WindowGauge::new(13_000_000, MILLI * 100);
    let mut now = Instant::now();
    for turn in 0..20 {
        assert_eq!(gauge.half_used(channel(1), now, None), None);
        now += MILLI * 100;
        if turn % 4 == 3 {
            gauge.forget();
        }
    }
}

#[test]
fn the_round_trip_that_is_known_last_counts() {
    let mut gauge = WindowGauge::new(13_000_000, MILLI * 200);
    let mut now = Instant::now();
    for _ in 0..9 {
        assert_eq!(gauge.half_used(channel(1), now, Some(MILLI * 100)), None);
        now += MILLI * 150;
    }
}
