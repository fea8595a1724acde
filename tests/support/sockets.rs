//! What the system knows of a process: its listening TCP ports, its age; and waiting for what nobody announces.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::fixture::SOON;

/// How often to look.
const POLL: Duration = Duration::from_millis(20);

/// The state `LISTEN` as the kernel writes it.
const LISTEN: &str = "0A";

/// The TCP ports that a process listens on; none where it has ended.
pub(crate) fn listening(pid: u32) -> BTreeSet<u16> {
    let inodes = socket_inodes(pid);
    let of_family = |table: &str| fs::read_to_string(format!("/proc/{pid}/net/{table}"));
    let tables = ["tcp", "tcp6"].map(|table| of_family(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
            (*state == LISTEN && inodes.contains(*inode)).then_some(port)
        })
        .collect()
}

fn socket_inodes(pid: u32) -> BTreeSet<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let targets = open
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    targets
        .filter_map(|target| {
            let name = target.to_str()?.strip_prefix("socket:[")?;
            Some(name.strip_suffix(']')?.to_owned())
        })
        .collect()
}

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

/// A port that nobody listens on.
pub(crate) async fn closed_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}
