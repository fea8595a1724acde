//! Nothing left: what the daemon, sshd and the FTP servers must have let go of after a round

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use testkit::sockets::{Connection, Sockets};
use tokio::time::{Instant, sleep};

use super::peers::{ChaosPeers, IDLE_TIMEOUT};

/// By then everything has gone. Shorter than the time after which idle connections are closed: their end must not take
/// with it what was left on them.
const LIMIT: Duration = Duration::from_secs(IDLE_TIMEOUT / 2);
/// How often everybody is asked.
const POLL: Duration = Duration::from_millis(10);

/// What the daemon holds open beside TCP sockets: files, pipes, its local socket. The same at all times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline(usize);

#[derive(Deserialize)]
struct Status {
    sessions: u64,
    channels: u64,
    transfers: Transfers,
}

#[derive(Deserialize)]
struct Transfers {
    active: u64,
}

/// Takes the baseline of a daemon that has served before and serves nobody now.
///
/// # Errors
/// When it does not become quiet.
pub(super) async fn baseline(peers: &ChaosPeers) -> Result<Baseline> {
    let left = wait(peers, None, LIMIT).await?;
    ensure!(left.is_empty(), "not quiet at the start: {left:?}");
    let held = Sockets::now()?.held_by(&[peers.broker.process().pid()]);
    Ok(Baseline(held.others))
}

/// Waits until nothing is left of a round but idle SSH connections; tells what else is left when that takes too long.
///
/// # Errors
/// When somebody cannot be asked.
pub(super) async fn after_round(peers: &mut ChaosPeers, baseline: Baseline) -> Result<Vec<String>> {
    peers.find_tunnels().await?;
    wait(peers, Some(baseline), LIMIT).await
}

/// Waits until the idle SSH connections are gone too.
///
/// # Errors
/// When somebody cannot be asked.
pub(super) async fn at_the_end(peers: &ChaosPeers, baseline: Baseline) -> Result<Vec<String>> {
    let limit = LIMIT + Duration::from_secs(IDLE_TIMEOUT);
    // A remote tunnel keeps its control connection.
    let stays = |connection: &Value| {
        peers.remote && connection.get("kind") == Some(&Value::from("control"))
    };
    let gone = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(stays));
    if let Err(error) = peers
        .broker
        .wait_json(&["list-connections"], limit, gone)
        .await
    {
        return Ok(vec![format!("idle connections stay: {error:#}")]);
    }
    wait(peers, Some(baseline), LIMIT).await
}

async fn wait(
    peers: &ChaosPeers,
    baseline: Option<Baseline>,
    limit: Duration,
) -> Result<Vec<String>> {
    let deadline = Instant::now() + limit;
    loop {
        let left = left(peers, baseline).await?;
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        sleep(POLL).await;
    }
}

/// Everything that should not be there.
async fn left(peers: &ChaosPeers, baseline: Option<Baseline>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    told(peers, &mut left).await?;
    let connections = connections(peers, &mut left).await?;
    let sockets = Sockets::now()?;
    held_by_daemon(peers, &sockets, baseline, connections, &mut left);
    held_by_sshd(peers, &sockets, connections, &mut left);
    let sessions = peers.servers.ftp.session_pids();
    if !sessions.is_empty() {
        left.push(format!("sessions of vsftpd: {sessions:?}"));
    }
    let sessions = peers.quirky.sessions();
    if sessions > 0 {
        left.push(format!("sessions of the other FTP server: {sessions}"));
    }
    Ok(left)
}

/// What the daemon says of itself.
async fn told(peers: &ChaosPeers, left: &mut Vec<String>) -> Result<()> {
    let status: Status = serde_json::from_value(peers.broker.json(&["status"]).await?)?;
    let counts = [status.sessions, status.channels, status.transfers.active];
    if counts != [0; 3] {
        left.push(format!(
            "status counts sessions, channels, transfers: {counts:?}"
        ));
    }
    let channels = peers.broker.list(&["list-channels"]).await?;
    if !channels.is_empty() {
        left.push(format!("list-channels: {channels:?}"));
    }
    Ok(())
}

/// How many SSH connections the daemon lists; none may be on its way.
async fn connections(peers: &ChaosPeers, left: &mut Vec<String>) -> Result<usize> {
    let list = peers.broker.list(&["list-connections"]).await?;
    let on_the_way = |connection: &&Value| {
        let state = connection.get("state").and_then(Value::as_str);
        matches!(state, Some("connecting" | "closing"))
    };
    let unsettled = list.iter().filter(on_the_way).count();
    if unsettled > 0 {
        left.push(format!(
            "SSH connections that are neither made nor gone: {unsettled}"
        ));
    }
    Ok(list.len())
}

fn held_by_daemon(
    peers: &ChaosPeers,
    sockets: &Sockets,
    baseline: Option<Baseline>,
    connections: usize,
    left: &mut Vec<String>,
) {
    let held = sockets.held_by(&[peers.broker.process().pid()]);
    let own = match peers.remote {
        true => Vec::new(),
        false => peers.tunnel_ports(),
    };
    if held.listening != own {
        left.push(format!(
            "the daemon listens on {:?}, its tunnels are {own:?}",
            held.listening,
        ));
    }
    let ports = peers.ssh_ports();
    let (to_ssh, others) = held
        .connections
        .into_iter()
        .partition::<Vec<Connection>, _>(|connection| ports.contains(&connection.remote));
    if to_ssh.len() != connections {
        left.push(format!(
            "the daemon holds {} connections to sshd and lists {connections}",
            to_ssh.len()
        ));
    }
    if !others.is_empty() {
        left.push(format!("connections held by the daemon: {others:?}"));
    }
    if let Some(Baseline(expected)) = baseline
        && held.others != expected
    {
        left.push(format!(
            "the daemon holds {} other files, {expected} at the start",
            held.others
        ));
    }
}

fn held_by_sshd(peers: &ChaosPeers, sockets: &Sockets, connections: usize, left: &mut Vec<String>) {
    let port = peers.servers.ssh.addr().port();
    let families = peers.servers.ssh.process().families();
    if families.len() != connections {
        left.push(format!(
            "sshd has {} sessions, the daemon lists {connections} connections",
            families.len()
        ));
    }
    let everybody: Vec<u32> = families
        .concat()
        .into_iter()
        .chain([peers.servers.ssh.pid()])
        .collect();
    let held = sockets.held_by(&everybody);
    let tunnels = match peers.remote {
        true => peers.tunnel_ports(),
        false => Vec::new(),
    };
    let expected = |p: &u16| *p == port || tunnels.contains(p);
    let forwards: Vec<_> = held.listening.iter().filter(|p| !expected(p)).collect();
    if !forwards.is_empty() {
        left.push(format!("remote forwards in sshd: {forwards:?}"));
    }
    let onward = held.connections.iter().filter(|c| c.local != port);
    let onward: Vec<_> = onward.collect();
    if !onward.is_empty() {
        left.push(format!(
            "connections from sshd to the FTP server: {onward:?}"
        ));
    }
}
