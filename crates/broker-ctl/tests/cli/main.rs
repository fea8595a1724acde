//! The program as a user runs it, against a daemon that is only a table of answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: a failure must fail the test"
)]

mod changes;
mod check;
mod completions;
mod fake;
mod help;
mod hostkeys;
mod import;
mod lists;
mod long;
mod requests;
mod ssh_config;
mod words;

use snapbox::cmd::Command;

/// The program, with nothing of the tester's surroundings that could change what it says.
fn broker_ctl() -> Command {
    Command::new(snapbox::cmd::cargo_bin!("broker-ctl"))
        .env_remove("SSH_BROKER_SOCKET")
        .env_remove("SSH_SECSH_BROKER")
        .env_remove("COMPLETE")
        .env_remove("COLUMNS")
}
