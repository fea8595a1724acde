//! Peers for tests, the demo and the benchmarks: servers in process, launchers for real daemons and clients, faulty wires.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test that cannot go on should say so by panicking"
    )
)]

pub mod account;
pub mod broker;
pub mod certificates;
pub mod client;
mod daemon;
pub mod dropbear;
pub mod environment;
pub mod files;
pub mod fixture;
pub mod ftp_client;
pub mod ftp_daemon;
pub mod ftp_server;
pub mod haproxy;
pub mod host_copy;
pub mod keys;
pub mod lan;
pub mod line;
pub mod netns;
#[cfg(test)]
mod openssh_client;
mod overlay;
pub mod peer;
mod peer_runtime;
pub mod ports;
pub mod process;
pub mod profile;
pub mod programs;
pub mod proxy;
pub mod quirky_ftp;
pub mod relay;
pub mod scripted;
pub mod server_logs;
pub mod service_manager;
mod shadow;
pub mod sockets;
pub mod ssh_server;
pub mod sshd;
pub mod terminal;
pub mod vsftpd;
