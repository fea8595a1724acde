//! A server's answer to a command that asks for a passive reply, or to one that does not.

#![no_main]

#[path = "../../crates/ftp-proto/tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

const COMMANDS: [&[u8]; 6] = [
    b"PASV\r\n",
    b"EPSV\r\n",
    b"P@SW\r\n",
    b"PASV\r\nEPSV\r\n",
    b"NOOP\r\n",
    b"RETR a\r\n",
];

fuzz_target!(|data: &[u8]| {
    let [command, chunk, reply @ ..] = data else {
        return;
    };
    let command = COMMANDS[usize::from(*command) % COMMANDS.len()];
    oracle::answer(command, reply, &[usize::from(*chunk) + 1]);
});
