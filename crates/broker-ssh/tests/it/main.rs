//! Runs the pool, channels and splices against SSH servers: the embedded one, and OpenSSH's where it is installed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that cannot go on should say so by panicking, and its tasks end with its runtime"
)]

mod forward;
mod login;
mod low_latency;
mod openssh_login;
mod peers;
mod pool;
mod servers;
mod spare_forward;
mod splice;
mod sshd;
mod stalls;
mod trust;
