//! End-to-end tests: real clients, through the real daemon, to real servers. One module a capability.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so by panicking"
)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

mod active;
mod authentication;
mod certificates;
mod cpython;
mod ctl;
mod early;
mod embedded;
mod faults;
mod gateways;
mod honesty;
mod hostkeys;
mod impostors;
mod isolation;
mod left;
mod lftp;
mod lifecycle;
mod load;
mod matrix;
mod namespace;
mod opening;
mod prompts;
mod proxies;
mod quirks;
mod reconnect;
mod rekey;
mod rewriting;
mod silence;
mod support;
mod tcp;
mod tls;
mod truth;
mod users;

/// The capabilities, each with the function that lists its trials.
const CAPABILITIES: &[fn() -> Vec<Trial>] = &[
    matrix::trials,
    embedded::trials,
    cpython::trials,
    lftp::trials,
    tcp::trials,
    tls::trials,
    load::trials,
    rewriting::trials,
    active::trials,
    namespace::trials,
    faults::trials,
    truth::trials,
    honesty::trials,
    quirks::trials,
    silence::trials,
    isolation::trials,
    reconnect::trials,
    lifecycle::trials,
    ctl::trials,
    opening::trials,
    users::trials,
    early::trials,
    left::trials,
    prompts::trials,
    proxies::trials,
    gateways::trials,
    impostors::trials,
    authentication::trials,
    rekey::trials,
    hostkeys::trials,
    certificates::trials,
];

/// Trials run at once, unless the command line says otherwise. They wait for other programs more than they compute.
const TRIALS_AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TRIALS_AT_ONCE);
    let trials = CAPABILITIES.iter().flat_map(|list| list()).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
