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

const PLAIN: &str = "plain FTP, passive";

/// Many small files in one control session, against plain FTP over the same line.
pub(super) async fn many_files(run: &Run<'_>) -> Result<Vec<Figure>> {
    let what = |mode| format!("{FILES} files of 10 KiB over 50 ms, {mode}");
    let mut passive = Figure::against(PLAIN, &what("passive"), "s", Some(Aim::RatioAtMost(0.45)));
    let mut active = Figure::against(PLAIN, &what("active"), "s", Some(Aim::RatioAtMost(0.6)));
    let peers = run.behind(line()).await?;
    let plain = peers.plain_ftp();
    let forwarder = peers.broker().await?;
    let broker = forwarder.listen;
    for number in 1..=FILES {
        peers.make_file(&format!("small-{number:03}"), FILE_SIZE)?;
    }
    download(&peers, broker, 1).await?;
    for _ in 0..run.pairs {
        let ours = fetch_all(broker, FILES, &[]).await?;
        let theirs = fetch_all(plain, FILES, &[]).await?;
        let ours_active = fetch_all(broker, FILES, &["--ftp-port", "-"]).await?;
        passive.pair(ours, theirs);
        active.pair(ours_active, theirs);
    }
    Ok(vec![passive, active])
}

/// `lftp mirror` of a directory, one file at a time and four, against the same by plain FTP.
pub(super) async fn mirror(run: &Run<'_>) -> Result<Vec<Figure>> {
    let figure = |how| {
        let what = format!("`lftp` mirrors {MIRRORED} files of 10 KiB over 50 ms, {how}");
        Figure::against(PLAIN, &what, "s", Some(Aim::RatioAtMost(0.6)))
    };
    let (mut single, mut parallel) = (figure("one at a time"), figure("four at a time"));
    let peers = run.behind(line()).await?;
    let plain = peers.plain_ftp();
    let forwarder = peers.broker().await?;
    let broker = forwarder.listen;
    std::fs::create_dir(peers.file(MIRROR))?;
    for number in 1..=MIRRORED {
        peers.make_file(&format!("{MIRROR}/{number:03}"), FILE_SIZE)?;
    }
    download(&peers, broker, 1).await?;
    for _ in 0..run.pairs {
        for (figure, option) in [(&mut single, ""), (&mut parallel, "--parallel=4")] {
            figure.pair(
                mirrored(broker, option).await?,
                mirrored(plain, option).await?,
            );
        }
    }
    Ok(vec![single, parallel])
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
