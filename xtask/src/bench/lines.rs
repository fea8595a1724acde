//! Long lines: one large file, and many small ones

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Run;
use super::figure::{Aim, Figure};
use super::transfers::{SSH, download, timed_curl};

/// Round trip and rate of a line across an ocean.
const FAR: Duration = Duration::from_millis(100);
const GIGABIT: u64 = 125_000_000;
/// Round trip of a line across a continent.
const NEAR: Duration = Duration::from_millis(50);

const FILES: usize = 200;
const FILE_SIZE: u64 = 10 << 10;
const PLAIN: &str = "plain FTP, passive";

const MIB: f64 = 1024.0 * 1024.0;

/// One download over a long fat line.
pub(super) async fn long_line(run: &Run) -> Result<Vec<Figure>> {
    let mut rate = Figure::against(
        SSH,
        "one download over 100 ms, 1 Gbit/s",
        "MiB/s",
        Some(Aim::RatioAtLeast(3.5)),
    );
    let line = run.peers.line_to_ssh(FAR, Some(GIGABIT)).await?;
    let broker = run.peers.broker(line.addr()).await?;
    let ssh = run.peers.forwarding(line.addr()).await?;
    let size = run.size / 2;
    for forwarder in [&broker, &ssh] {
        download(run, forwarder.listen, 1).await?;
    }
    for _ in 0..run.pairs {
        let a = download(run, broker.listen, size).await?;
        let b = download(run, ssh.listen, size).await?;
        let size = size as f64 / MIB;
        rate.pair(size / a, size / b);
    }
    Ok(vec![rate])
}

/// Many small files in one control session, against plain FTP over a line just as long.
pub(super) async fn many_files(run: &Run) -> Result<Vec<Figure>> {
    let what = |mode| format!("{FILES} files of 10 KiB over 50 ms, {mode}");
    let mut passive = Figure::against(PLAIN, &what("passive"), "s", Some(Aim::RatioAtMost(0.75)));
    let mut active = Figure::against(PLAIN, &what("active"), "s", Some(Aim::RatioAtMost(1.0)));
    for number in 1..=FILES {
        run.peers
            .make_file(&format!("small-{number:03}"), FILE_SIZE)?;
    }
    let line = run.peers.line_to_ssh(NEAR, None).await?;
    let broker = run.peers.broker(line.addr()).await?;
    let plain_line = run.peers.line_to_ftp(NEAR).await?;
    let plain = plain_line.first().context("a line without an end")?.addr();
    fetch_all(broker.listen, 2, &[]).await?;
    for _ in 0..run.pairs {
        let ours = fetch_all(broker.listen, FILES, &[]).await?;
        let theirs = fetch_all(plain, FILES, &[]).await?;
        let ours_active = fetch_all(broker.listen, FILES, &["--ftp-port", "-"]).await?;
        passive.pair(ours, theirs);
        active.pair(ours_active, theirs);
    }
    Ok(vec![passive, active])
}

/// Seconds that so many files take, one after the other in one session.
async fn fetch_all(ftp: SocketAddr, count: usize, options: &[&str]) -> Result<f64> {
    let url = format!("ftp://{ftp}/small-[001-{count:03}]");
    timed_curl([&["-o", "/dev/null", url.as_str()], options].concat()).await
}
