//! A client's commands, of which a server may take some for one that names an address.

#![no_main]

#[path = "../../crates/ftp-proto/tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [chunk, commands @ ..] = data else {
        return;
    };
    oracle::command(commands, &[usize::from(*chunk) + 1]);
});
