//! What sshd keeps in memory for a client that has stopped to read

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::ftp_client::FtpClient;
use tokio::time::{Instant, sleep};

use super::Run;
use super::figure::{Aim, Figure};
use super::peers::Forwarder;
use super::transfers::SSH;
use super::usage::family_own_kib;

/// Downloads that stall at the same time.
const STALLED: usize = 4;
/// More than everything on the way can hold for all of them, and no memory.
const ENDLESS: u64 = 1 << 30;
const ENDLESS_NAME: &str = "stalled";

/// Memory that has not changed so often, this far apart, has settled: a window of 64 MiB is full within a second.
const SAME: usize = 8;
const PAUSE: Duration = Duration::from_millis(250);
/// A busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(60);

/// The growth of sshd for each stalled download.
pub(super) async fn stalled(run: &Run<'_>) -> Result<Vec<Figure>> {
    let what = format!("memory of sshd, each of {STALLED} stalled downloads");
    let mut each = Figure::against(SSH, &what, "MiB", Some(Aim::AboveAtMost(2.0)));
    run.peers.make_sparse_file(ENDLESS_NAME, ENDLESS)?;
    for _ in 0..run.pairs {
        let a = growth(run, run.peers.broker().await?).await?;
        let b = growth(run, run.peers.forwarding().await?).await?;
        each.pair(a, b);
    }
    Ok(vec![each])
}

/// MiB that each stalled download adds. The forwarder's connections end with it.
async fn growth(run: &Run<'_>, forwarder: Forwarder) -> Result<f64> {
    let mut sessions = Vec::new();
    for _ in 0..STALLED {
        sessions.push(FtpClient::login(forwarder.listen).await?);
    }
    let before = settled(run).await?;
    let mut stalled = Vec::new();
    for session in &mut sessions {
        stalled.push(
            session
                .begin("EPSV", &format!("RETR {ENDLESS_NAME}"))
                .await?,
        );
    }
    let after = settled(run).await?;
    drop((stalled, sessions, forwarder));
    run.peers.connections_ended().await?;
    Ok((after - before) / 1024.0 / STALLED as f64)
}

/// KiB of all connections at sshd, once they no longer change.
async fn settled(run: &Run<'_>) -> Result<f64> {
    let resident = || family_own_kib(run.peers.servers.ssh.process());
    let began = Instant::now();
    let (mut last, mut same) = (resident(), 0);
    while same < SAME {
        ensure!(
            began.elapsed() < LIMIT,
            "the memory of sshd does not settle"
        );
        sleep(PAUSE).await;
        let now = resident();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}
