//! What the daemon holds, and what a session costs where there are many

use std::iter::repeat_n;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::ftp_client::FtpClient;
use tokio::time::sleep;

use super::Run;
use super::answers::milliseconds;
use super::figure::{Aim, Figure, summary};
use super::greeter::Greeter;
use super::peers::Forwarder;
use super::transfers::{SSH, four_downloads};
use super::usage::{peak_kib, resident_kib};

/// Sessions that are open already when one more is opened.
const SESSIONS: [usize; 5] = [1, 10, 100, 300, MANY];
const MANY: usize = 1000;
/// Idle sessions, of whose memory each has its part.
const IDLE: [usize; 2] = [MANY, MOST_IDLE];
const MOST_IDLE: usize = 10_000;
/// The sessions of one profile: the broker carries at most 2048 of them to one SSH server.
const EACH_PROFILE: usize = 1900;
/// Tunnels, on the first of which a session is opened.
const TUNNELS: [usize; 3] = [1, 50, 500];
/// Sessions whose opening makes one sample.
const OPENED: usize = 20;
/// What a daemon has to do after it is ready, or after its last session, is done by then.
const SETTLED: Duration = Duration::from_secs(1);

/// Memory of the daemon: at rest, for each session, and at its peak.
pub(super) async fn memory(run: &Run<'_>) -> Result<Vec<Figure>> {
    let mut idle = Figure::alone("memory, idle daemon", "MiB", Some(Aim::AtMost(16.0)));
    let mut each = IDLE.map(|count| {
        let what = format!("memory, each of {count} idle FTP sessions");
        Figure::alone(&what, "KiB", Some(Aim::AtMost(32.0)))
    });
    let what = "memory, peak with four downloads";
    let mut peak = Figure::alone(what, "MiB", Some(Aim::AtMost(64.0)));
    let peer = Greeter::start().await?;
    for _ in 0..run.pairs {
        let profiles = MOST_IDLE.div_ceil(EACH_PROFILE) + 1;
        let (daemon, listens) = run.peers.broker_of_profiles(peer.addr, profiles).await?;
        for (figure, taken) in each.iter_mut().zip(each_session(daemon, &listens).await?) {
            figure.broker.push(taken);
        }

        let daemon = run.peers.broker().await?;
        sleep(SETTLED).await;
        idle.broker.push(resident_kib(daemon.pid())? / 1024.0);
        four_downloads(&run.peers, daemon.listen, run.size / 2).await?;
        peak.broker.push(peak_kib(daemon.pid())? / 1024.0);
    }
    let each = each.into_iter();
    Ok([idle].into_iter().chain(each).chain([peak]).collect())
}

/// KiB that each of so many sessions adds, from few to many. The first one, which opens the SSH connection, does not count.
///
/// The profiles fill one after the other.
async fn each_session(daemon: Forwarder, listens: &[SocketAddr]) -> Result<Vec<f64>> {
    let listens = listens
        .iter()
        .flat_map(|listen| repeat_n(*listen, EACH_PROFILE));
    let mut listens = listens.cycle();
    let mut open = async || open_session(listens.next().unwrap_or(daemon.listen)).await;
    let mut sessions = vec![open().await?];
    sleep(SETTLED).await;
    let before = resident_kib(daemon.pid())?;
    let mut each = Vec::new();
    for count in IDLE {
        while sessions.len() <= count {
            sessions.push(open().await?);
        }
        sleep(SETTLED).await;
        each.push((resident_kib(daemon.pid())? - before) / count as f64);
    }
    Ok(each)
}

/// The time a session takes to open, among many sessions and among many tunnels.
pub(super) async fn sessions_and_tunnels(run: &Run<'_>) -> Result<Vec<Figure>> {
    let peer = Greeter::start().await?;
    let mut sessions = SESSIONS.map(|others| {
        let what = format!("opening a session beside {others} others");
        Figure::against(SSH, &what, "ms", None)
    });
    let mut tunnels = TUNNELS.map(|tunnels| {
        let what = format!("opening a session on one of {tunnels} tunnels");
        Figure::alone(&what, "ms", None)
    });
    for _ in 0..run.pairs {
        let broker = run.peers.broker_to(peer.addr, 1).await?;
        let broker = beside_others(broker).await?;
        let forwarding = run.peers.forwarding_to(peer.addr, []).await?;
        let forwarding = beside_others(forwarding).await?;
        for (figure, (a, b)) in sessions.iter_mut().zip(broker.into_iter().zip(forwarding)) {
            figure.pair(a, b);
        }
        for (figure, tunnels) in tunnels.iter_mut().zip(TUNNELS) {
            let many = run.peers.broker_to(peer.addr, tunnels).await?;
            let _first = open_session(many.listen).await?;
            figure.broker.push(open_some(many.listen).await?);
        }
    }
    Ok(sessions.into_iter().chain(tunnels).collect())
}

/// What opening takes beside so many others, from few to many. The forwarder ends with them, before anything else is measured.
async fn beside_others(forwarder: Forwarder) -> Result<Vec<f64>> {
    let mut others = Vec::new();
    let mut taken = Vec::new();
    for count in SESSIONS {
        while others.len() < count {
            others.push(open_session(forwarder.listen).await?);
        }
        taken.push(open_some(forwarder.listen).await?);
    }
    drop((others, forwarder));
    sleep(SETTLED).await;
    Ok(taken)
}

/// The median of some openings. What was opened is closed again.
async fn open_some(ftp: SocketAddr) -> Result<f64> {
    let mut open = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..OPENED {
        let began = Instant::now();
        open.push(open_session(ftp).await?);
        taken.push(milliseconds(began));
    }
    Ok(summary(&taken).median)
}

async fn open_session(ftp: SocketAddr) -> Result<FtpClient> {
    let mut session = FtpClient::connect(ftp).await?;
    session.ask("USER bench", "230").await?;
    Ok(session)
}
