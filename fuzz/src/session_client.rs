//! A whole session of a client that says anything, with a server that answers in usual ways.

#![no_main]

#[path = "../../crates/ftp-proto/tests/oracle/mod.rs"]
mod oracle;
mod turns;

use libfuzzer_sys::fuzz_target;
use oracle::Turn;

const REPLIES: [&[u8]; 8] = [
    b"",
    b"220 ready\r\n",
    b"200 ok\r\n",
    b"230 in\r\n",
    b"227 Entering Passive Mode (10,0,0,1,4,5)\r\n",
    b"150 go\r\n226 done\r\n",
    b"500 what?\r\n",
    b"211-x\r\n y\r\n211 end\r\n",
];

fuzz_target!(|data: &[u8]| {
    let turns = turns::of(data, &REPLIES, Turn::Client, Turn::Server);
    oracle::judge(&turns, &oracle::play(&turns, &[usize::MAX]));
});
