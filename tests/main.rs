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

mod abandoned_sessions;
mod active;
mod authentication;
mod bad_ssh_servers;
mod balanced_relays;
mod bursts;
mod client_matrix;
mod client_tls;
mod commands;
mod ctl;
mod cut_transfers;
mod data_ahead;
mod dead_lines;
mod diagnosis;
mod diagnosis_network;
mod doctor;
mod doctor_tunnels;
mod early_close;
mod embedded;
mod event_kinds;
mod events;
mod families;
mod faults;
mod gateways;
mod greetings;
mod hooks;
mod host_certificates;
mod host_keys;
mod instances;
mod interface;
mod interface_page;
mod isolation;
mod lftp;
mod lifecycle;
mod load;
mod log;
mod low_latency;
mod metrics;
mod monitoring;
mod namespace;
mod on_demand;
mod open_tunnel;
mod other_users;
mod package;
mod ports;
mod prompts;
mod proxies;
mod python_ftplib;
mod reconnect;
mod rekey;
mod relays;
mod reload;
mod reload_faults;
mod remote_tunnels;
mod rewriting;
mod server_quirks;
mod socks;
mod socks_clients;
mod support;
mod systemd;
mod tcp_tunnels;
mod tls;
mod top;
mod transfer_outcome;
mod transfers;
mod tunnel_command;
mod units;
mod upgrade;
mod windows;

/// The capabilities, each with the function that lists its trials.
const CAPABILITIES: &[fn() -> Vec<Trial>] = &[
    client_matrix::trials,
    bursts::trials,
    hooks::trials,
    embedded::trials,
    python_ftplib::trials,
    lftp::trials,
    tcp_tunnels::trials,
    top::trials,
    socks::trials,
    socks_clients::trials,
    remote_tunnels::trials,
    tls::trials,
    client_tls::trials,
    load::trials,
    rewriting::trials,
    active::trials,
    families::trials,
    namespace::trials,
    relays::trials,
    balanced_relays::trials,
    faults::trials,
    cut_transfers::trials,
    transfer_outcome::trials,
    server_quirks::trials,
    dead_lines::trials,
    isolation::trials,
    reconnect::trials,
    lifecycle::trials,
    on_demand::trials,
    instances::trials,
    interface::trials,
    interface_page::trials,
    systemd::trials,
    tunnel_command::trials,
    units::trials,
    upgrade::trials,
    windows::trials,
    reload::trials,
    reload_faults::trials,
    package::trials,
    ctl::trials,
    data_ahead::trials,
    diagnosis::trials,
    diagnosis_network::trials,
    commands::trials,
    doctor::trials,
    doctor_tunnels::trials,
    event_kinds::trials,
    events::trials,
    log::trials,
    low_latency::trials,
    metrics::trials,
    monitoring::trials,
    transfers::trials,
    open_tunnel::trials,
    ports::trials,
    other_users::trials,
    early_close::trials,
    abandoned_sessions::trials,
    prompts::trials,
    proxies::trials,
    gateways::trials,
    greetings::trials,
    bad_ssh_servers::trials,
    authentication::trials,
    rekey::trials,
    host_keys::trials,
    host_certificates::trials,
];

/// Trials run at once, unless the command line says otherwise. They wait for other programs more than they compute.
const TRIALS_AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TRIALS_AT_ONCE);
    let trials = CAPABILITIES.iter().flat_map(|list| list()).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
