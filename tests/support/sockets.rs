//! What the system knows of processes, and waiting for what nobody announces.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::ports::unused_port;
use tokio::time::{Instant, sleep};

use super::fixture::SOON;

/// How often to look.
const POLL: Duration = Duration::from_millis(20);

/// When a process was started, in ticks since the system was; none where it has ended.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which may hold anything, stands in parentheses; the time is the 20th field behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Waits for something in other processes that nobody announces.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while !done() {
        ensure!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        // tidy: sleeps because other processes' sockets and descriptors tell of no change
        sleep(POLL).await;
    }
    Ok(())
}

/// Waits until a log has this text so many times. It comes through a pipe, perhaps after what it tells of.
pub(crate) async fn logged(
    log: impl Fn() -> String,
    text: &str,
    times: usize,
) -> anyhow::Result<()> {
    let told = eventually(text, || log().matches(text).count() >= times).await;
    told.with_context(&log)
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, unused_port()?).into())
}
