//! Small files over a long line, where round trips are all that counts

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::client::lftp;
use testkit::line::LineOptions;

use super::Run;
use super::figure::{Aim, Figure};
use super::peers::memory_directory;
use super::transfers::{LIMIT, download, timed_curl};

/// A round trip across a continent.
const CONTINENT: Duration = Duration::from_millis(50);

const FILE_SIZE: u64 = 10 << 10;
/// Files that curl fetches in one session.
const FILES: usize = 100;
/// Files that lftp mirrors.
const MIRRORED: usize = 300;
const MIRROR: &str = "mirror";
/// How many files lftp mirrors at a time.
const ONE: &str = "";
const FOUR: &str = "--parallel=4";

const PLAIN: &str = "plain FTP, passive";
const LOW_LATENCY: &str = ", `low-latency`";

/// Many small files in one control session, against plain FTP over the same line, with `low-latency` and without. The daemon
/// is connected.
pub(super) async fn many_files(run: &Run<'_>) -> Result<Vec<Figure>> {
    let figure = |mode: &str, how: &str, aim| {
        let what = format!("{FILES} files of 10 KiB over 50 ms, {mode}{how}");
        Figure::against(PLAIN, &what, "s", Some(Aim::RatioAtMost(aim)))
    };
    let figures = |how| [figure("passive", how, 0.45), figure("active", how, 0.6)];
    let mut measured = ["", LOW_LATENCY].map(figures);
    let peers = run.behind(line()).await?;
    for number in 1..=FILES {
        peers.make_file(&format!("small-{number:03}"), FILE_SIZE)?;
    }
    let forwarders = [peers.broker().await?, peers.low_latency_broker().await?];
    for _ in 0..run.pairs {
        let theirs = fetch_all(peers.plain_ftp(), FILES, &[]).await?;
        for ([passive, active], forwarder) in measured.iter_mut().zip(&forwarders) {
            download(&peers, forwarder.listen, 1).await?;
            passive.pair(fetch_all(forwarder.listen, FILES, &[]).await?, theirs);
            let options = ["--ftp-port", "-"];
            active.pair(fetch_all(forwarder.listen, FILES, &options).await?, theirs);
        }
    }
    Ok(measured.into_iter().flatten().collect())
}

/// `lftp mirror` of a directory, one file at a time and four, against the same by plain FTP.
pub(super) async fn mirror(run: &Run<'_>) -> Result<Vec<Figure>> {
    let figure = |parallel: &str, how: &str| {
        let what = format!("`lftp` mirrors {MIRRORED} files of 10 KiB over 50 ms, {parallel}{how}");
        Figure::against(PLAIN, &what, "s", Some(Aim::RatioAtMost(0.6)))
    };
    let figures = |how| [figure("one at a time", how), figure("four at a time", how)];
    let mut measured = ["", LOW_LATENCY].map(figures);
    let peers = run.behind(line()).await?;
    std::fs::create_dir(peers.file(MIRROR))?;
    for number in 1..=MIRRORED {
        peers.make_file(&format!("{MIRROR}/{number:03}"), FILE_SIZE)?;
    }
    let forwarders = [peers.broker().await?, peers.low_latency_broker().await?];
    let plain = peers.plain_ftp();
    for _ in 0..run.pairs {
        let theirs = [mirrored(plain, ONE).await?, mirrored(plain, FOUR).await?];
        for (figures, forwarder) in measured.iter_mut().zip(&forwarders) {
            download(&peers, forwarder.listen, 1).await?;
            for ((figure, option), theirs) in figures.iter_mut().zip([ONE, FOUR]).zip(theirs) {
                figure.pair(mirrored(forwarder.listen, option).await?, theirs);
            }
        }
    }
    Ok(measured.into_iter().flatten().collect())
}

fn line() -> LineOptions {
    LineOptions {
        delay: CONTINENT / 2,
        ..LineOptions::default()
    }
}

/// Seconds that so many files take, one after the other in one session.
async fn fetch_all(ftp: SocketAddr, count: usize, options: &[&str]) -> Result<f64> {
    let url = format!("ftp://{ftp}/small-[001-{count:03}]");
    timed_curl([&["-o", "/dev/null", url.as_str()], options].concat()).await
}

/// Seconds that a mirror takes.
async fn mirrored(ftp: SocketAddr, option: &str) -> Result<f64> {
    let directory = memory_directory()?;
    let script = format!("open ftp://{ftp}; mirror {option} {MIRROR} mirrored");
    let began = Instant::now();
    lftp(&script, directory.path(), LIMIT).await?.success()?;
    let seconds = began.elapsed().as_secs_f64();
    let copied = std::fs::read_dir(directory.path().join("mirrored"))
        .context("lftp has made no directory")?
        .count();
    ensure!(
        copied == MIRRORED,
        "lftp has fetched {copied} files of {MIRRORED}"
    );
    Ok(seconds)
}
