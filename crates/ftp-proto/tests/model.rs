//! A random model of client, server and line holds the rule: no success is told of a transfer that was not whole.
//!
//! Each session is pipelined at random. The server believes every end of data that it sees, as FTP servers do, and has
//! random habits: it answers in the middle of transfers, skips replies, says `200` or `250`, never ends a reply of several
//! lines, half-closes, leaves its data connection open. The line is cut, the client resets, refuses or never comes.
//!
//! `MODEL_SESSIONS` and `MODEL_SEED` choose how many sessions are played and the first seed. A session that breaks the rule is
//! named by its seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a model with a fault must fail its test"
)]

mod script;

#[path = "model/channel.rs"]
mod channel;
#[path = "model/random.rs"]
mod random;
#[path = "model/server.rs"]
mod server;
#[path = "model/world.rs"]
mod world;

use std::thread::available_parallelism;

use world::{Tally, World};

/// Sessions played where nothing else is asked for.
const SESSIONS: u64 = 1_000_000;

fn setting(name: &str, usual: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn no_success_is_told_of_a_transfer_that_was_not_whole() {
    let (sessions, first) = (
        setting("MODEL_SESSIONS", SESSIONS),
        setting("MODEL_SEED", 1),
    );
    let threads = available_parallelism().map_or(1, |count| count.get() as u64);
    let tally = std::thread::scope(|scope| {
        let play = |thread: u64| {
            let seeds = (first..first + sessions).filter(move |seed| seed % threads == thread);
            scope.spawn(move || seeds.map(World::play).sum::<Tally>())
        };
        let playing: Vec<_> = (0..threads).map(play).collect();
        let tallies = playing.into_iter().map(|thread| thread.join().unwrap());
        tallies.sum::<Tally>()
    });
    println!("{sessions} sessions: {tally:?}");
    assert_eq!(tally.lies, Vec::<String>::new());
    assert_eq!(tally.spoilt, Vec::<String>::new());
    assert_eq!(tally.unasked, Vec::<String>::new());
    assert_eq!(tally.unanswered, Vec::<String>::new());
    // A model in which nothing happens proves nothing.
    let enough = sessions / 10;
    assert!(tally.complete > enough && tally.corrected > enough / 4 && tally.checked > enough / 10);
    assert!(tally.announced > enough / 50 && tally.announced_active > enough / 100);
}
