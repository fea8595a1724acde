//! A whole session with a server that says anything, of a client that asks in usual ways.

#![no_main]

#[path = "../../crates/ftp-proto/tests/oracle/mod.rs"]
mod oracle;
mod turns;

use libfuzzer_sys::fuzz_target;
use oracle::Turn;

const COMMANDS: [&[u8]; 8] = [
    b"",
    b"USER joe\r\n",
    b"PASV\r\n",
    b"EPSV\r\n",
    b"RETR a\r\n",
    b"NOOP\r\n",
    b"PORT 127,0,0,1,200,5\r\n",
    b"ABOR\r\n",
];

fuzz_target!(|data: &[u8]| {
    let turns = turns::of(data, &COMMANDS, Turn::Server, Turn::Client);
    oracle::judge(&turns, &oracle::play(&turns, &[usize::MAX]));
});
