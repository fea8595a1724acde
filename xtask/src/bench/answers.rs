//! How soon an answer comes: to NOOP beside a transfer, and the first byte of a listing

use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::ftp_client::FtpClient;
use tokio::time::sleep;

use super::Run;
use super::figure::{Aim, Figure, percentile_99, summary};
use super::transfers::{SSH, download};

/// Between two NOOPs: often enough for hundreds beside one transfer, seldom enough not to be the load.
const NOOP_PAUSE: Duration = Duration::from_millis(4);
/// Listings that one warm sample is the median of.
const LISTINGS: usize = 20;

/// NOOP in one session while a download runs in another.
pub(super) async fn noop(run: &Run<'_>) -> Result<Vec<Figure>> {
    let figure = |aim| {
        let what = "NOOP beside a download at full speed, 99th percentile";
        Figure::against(SSH, what, "ms", Some(aim))
    };
    let mut absolute = figure(Aim::AtMost(5.0));
    let mut relative = figure(Aim::RatioAtMost(0.5));
    let (broker, ssh) = run.peers.both().await?;
    for _ in 0..run.pairs {
        let a = noops_beside_download(run, broker.listen).await?;
        let b = noops_beside_download(run, ssh.listen).await?;
        absolute.pair(a, b);
        relative.pair(a, b);
    }
    Ok(vec![absolute, relative])
}

async fn noops_beside_download(run: &Run<'_>, ftp: SocketAddr) -> Result<f64> {
    let mut session = FtpClient::login(ftp).await?;
    let mut taken = Vec::new();
    let noops = async {
        loop {
            let began = Instant::now();
            session.ask("NOOP", "200").await?;
            taken.push(milliseconds(began));
            sleep(NOOP_PAUSE).await;
        }
    };
    until(download(&run.peers, ftp, run.size), noops).await?;
    Ok(percentile_99(&taken))
}

/// Runs `work` to its end with `beside` at its side, which must not fail.
async fn until<T>(
    work: impl Future<Output = Result<T>>,
    beside: impl Future<Output = Result<()>>,
) -> Result<T> {
    tokio::select! {
        done = work => done,
        failed = beside => {
            failed?;
            anyhow::bail!("what runs beside has ended")
        }
    }
}

/// The first byte of a listing, without an SSH connection and with one.
pub(super) async fn listing(run: &Run<'_>) -> Result<Vec<Figure>> {
    let mut cold = Figure::against(
        "`ssh -W` to the FTP server's greeting",
        "first byte of a listing, cold, with login",
        "ms",
        Some(Aim::RatioAtMost(1.2)),
    );
    let what = "first byte of a listing, warm";
    let mut warm = Figure::against(SSH, what, "ms", Some(Aim::AtMost(3.0)));
    run.peers.make_file("listed", 1)?;
    for _ in 0..run.pairs {
        let daemon = run.peers.broker().await?;
        let began = Instant::now();
        let mut session = FtpClient::login(daemon.listen).await?;
        list(&mut session).await?;
        cold.pair(milliseconds(began), ssh_to_greeting(run).await?);
    }
    let (broker, ssh) = run.peers.both().await?;
    let mut sessions = (
        FtpClient::login(broker.listen).await?,
        FtpClient::login(ssh.listen).await?,
    );
    for _ in 0..run.pairs {
        let a = warm_listing(&mut sessions.0).await?;
        warm.pair(a, warm_listing(&mut sessions.1).await?);
    }
    Ok(vec![cold, warm])
}

/// The median of some listings, after one that does not count.
async fn warm_listing(session: &mut FtpClient) -> Result<f64> {
    list(session).await?;
    let mut taken = Vec::new();
    for _ in 0..LISTINGS {
        taken.push(list(session).await?);
    }
    Ok(summary(&taken).median)
}

/// Lists the directory to its end, and returns the milliseconds from the first command to the first byte.
async fn list(session: &mut FtpClient) -> Result<f64> {
    let began = Instant::now();
    let mut data = session.passive("EPSV").await?;
    session.control().send("LIST\r\n").await?;
    data.bytes(1).await.context("an empty listing")?;
    let first = milliseconds(began);
    data.rest().await?;
    for expected in ["150", "226"] {
        session.reply(expected).await?;
    }
    Ok(first)
}

/// Milliseconds until `ssh` has connected, logged in and opened a channel, through which the FTP server greets.
pub(super) async fn ssh_to_greeting(run: &Run<'_>) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let mut command = run.peers.ssh(directory.path())?;
    command
        .arg("-W")
        .arg(run.peers.ftp().to_string())
        .arg(run.peers.ssh_host())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let measured = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let mut child = command.spawn().context("cannot start ssh")?;
        let mut first = [0];
        let output = child.stdout.as_mut().context("ssh has no output")?;
        let read = output.read_exact(&mut first);
        let taken = milliseconds(began);
        // It may have ended by itself, which reading has shown.
        let _ = child.kill();
        child.wait()?;
        read.context("ssh -W brought no greeting")?;
        Ok(taken)
    });
    measured.await?
}

/// Milliseconds since then.
pub(super) fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
