//! Moving large files: how fast, and with how much processor time

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::client::curl;

use super::Run;
use super::figure::{Aim, Figure};
use super::peers::{BenchPeers, Forwarder};
use super::usage::{cpu_seconds, family_cpu_seconds};

pub(super) const MIB: f64 = 1024.0 * 1024.0;
pub(super) const GIB: f64 = 1024.0 * MIB;
/// Longer than anything here takes on the slowest machine worth measuring.
pub(super) const LIMIT: Duration = Duration::from_secs(600);
/// What the comparison is called.
pub(super) const SSH: &str = "`ssh -L`";

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Down,
    Up,
}

/// One transfer at a time.
pub(super) async fn one(run: &Run<'_>, direction: Direction) -> Result<Vec<Figure>> {
    let (what, aim, cpu_aim) = match direction {
        Direction::Down => ("download", 1.0, 0.9),
        Direction::Up => ("upload", 1.4, 0.5),
    };
    let mut rate = Figure::against(
        SSH,
        &format!("one {what}"),
        "MiB/s",
        Some(Aim::RatioAtLeast(aim)),
    );
    let mut cpu = Figure::against(
        SSH,
        &format!("processor time, {what}"),
        "s/GiB",
        Some(Aim::RatioAtMost(cpu_aim)),
    );
    let mut server_cpu = Figure::against(
        SSH,
        &format!("processor time of sshd, {what}"),
        "s/GiB",
        Some(Aim::RatioAtMost(1.0)),
    );
    let (broker, ssh) = run.peers.both().await?;
    for forwarder in [&broker, &ssh] {
        // At full size: the first file to fill so much memory waits for it, whichever comes first.
        move_file(&run.peers, forwarder, direction, run.size).await?;
    }
    for _ in 0..run.pairs {
        let a = move_file(&run.peers, &broker, direction, run.size).await?;
        let b = move_file(&run.peers, &ssh, direction, run.size).await?;
        let size = run.size as f64;
        rate.pair(size / MIB / a.seconds, size / MIB / b.seconds);
        cpu.pair(a.cpu / size * GIB, b.cpu / size * GIB);
        server_cpu.pair(a.server_cpu / size * GIB, b.server_cpu / size * GIB);
    }
    Ok(vec![rate, cpu, server_cpu])
}

/// Four downloads at once.
pub(super) async fn four(run: &Run<'_>) -> Result<Vec<Figure>> {
    let mut rate = Figure::against(
        SSH,
        "four downloads at once, in total",
        "MiB/s",
        Some(Aim::RatioAtLeast(1.1)),
    );
    let (broker, ssh) = run.peers.both().await?;
    let size = run.size / 2;
    for forwarder in [&broker, &ssh] {
        four_downloads(&run.peers, forwarder.listen, size).await?;
    }
    for _ in 0..run.pairs {
        let a = four_downloads(&run.peers, broker.listen, size).await?;
        let b = four_downloads(&run.peers, ssh.listen, size).await?;
        let total = 4.0 * size as f64 / MIB;
        rate.pair(total / a, total / b);
    }
    Ok(vec![rate])
}

/// Seconds that four downloads at once take together.
pub(super) async fn four_downloads(peers: &BenchPeers, ftp: SocketAddr, size: u64) -> Result<f64> {
    let began = Instant::now();
    let one = || download(peers, ftp, size);
    tokio::try_join!(one(), one(), one(), one())?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds that one download takes, from the client's start to its end.
pub(super) async fn download(peers: &BenchPeers, ftp: SocketAddr, size: u64) -> Result<f64> {
    let name = format!("down-{size}");
    peers.make_file(&name, size)?;
    timed_curl(["-o", "/dev/null", &format!("ftp://{ftp}/{name}")]).await
}

/// Seconds that curl takes.
pub(super) async fn timed_curl<S: Into<OsString>>(
    arguments: impl IntoIterator<Item = S>,
) -> Result<f64> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let began = Instant::now();
    curl(arguments, LIMIT).await?.success()?;
    Ok(began.elapsed().as_secs_f64())
}

struct Moved {
    seconds: f64,
    /// Of the forwarder.
    cpu: f64,
    /// Of sshd's processes for all connections, of which only one is used.
    server_cpu: f64,
}

async fn move_file(
    peers: &BenchPeers,
    forwarder: &Forwarder,
    direction: Direction,
    size: u64,
) -> Result<Moved> {
    // Made before the clock starts, whichever way it goes.
    let file = peers.make_file(&format!("down-{size}"), size)?;
    let used = || {
        let of_server = family_cpu_seconds(peers.servers.ssh.process());
        Ok::<_, anyhow::Error>((cpu_seconds(forwarder.pid())?, of_server))
    };
    let before = used()?;
    let seconds = match direction {
        Direction::Down => download(peers, forwarder.listen, size).await?,
        Direction::Up => upload(peers, forwarder.listen, &file, size).await?,
    };
    let after = used()?;
    Ok(Moved {
        seconds,
        cpu: after.0 - before.0,
        server_cpu: after.1 - before.1,
    })
}

/// Seconds that one upload takes, which must arrive whole.
pub(super) async fn upload(
    peers: &BenchPeers,
    ftp: SocketAddr,
    file: &Path,
    size: u64,
) -> Result<f64> {
    let url = format!("ftp://{ftp}/up");
    let seconds = timed_curl([Path::new("-T"), file, Path::new(&url)]).await?;
    let arrived = peers.file("up");
    ensure!(
        arrived.metadata()?.len() == size,
        "the upload arrived in part"
    );
    // A file that is overwritten costs the time of emptying it.
    std::fs::remove_file(arrived)?;
    Ok(seconds)
}
