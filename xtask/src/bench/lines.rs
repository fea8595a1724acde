//! Large files over long lines

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::client::curl;
use testkit::line::LineOptions;

use super::Run;
use super::figure::{Aim, Figure};
use super::peers::BenchPeers;
use super::transfers::{MIB, SSH, download, upload};

/// A round trip across an ocean.
const OCEAN: Duration = Duration::from_millis(100);
/// A round trip around half of the world, on a bad line.
const WORLD: Duration = Duration::from_millis(300);
const GIGABIT: u64 = 1_000_000_000;

/// How long a download is watched: ten times as long as the slowest start takes.
const OCEAN_TIME: Duration = Duration::from_secs(10);
const WORLD_TIME: Duration = Duration::from_secs(20);

/// More than a line carries in the time of a download, and no memory.
const ENDLESS: u64 = 8 << 30;
const ENDLESS_NAME: &str = "endless";
/// curl's exit status when its time is over.
const OUT_OF_TIME: i32 = 28;

/// One download over 100 ms, with servers as they come and with those that are set up for such lines.
pub(super) async fn long_line(run: &Run<'_>) -> Result<Vec<Figure>> {
    let what = "one download over 100 ms, 1 Gbit/s";
    let peers = run.behind(long(OCEAN)).await?;
    let usual = Figure::against(SSH, &format!("{what}, usual server"), "MiB/s", None);
    let usual = downloads(run, &peers, usual, OCEAN_TIME).await?;
    peers.prepare_for_long_lines()?;
    let prepared = Figure::against(SSH, what, "MiB/s", Some(Aim::RatioAtLeast(4.5)));
    Ok(vec![
        usual,
        downloads(run, &peers, prepared, OCEAN_TIME).await?,
    ])
}

/// One download over 300 ms.
pub(super) async fn longest_line(run: &Run<'_>) -> Result<Vec<Figure>> {
    let what = "one download over 300 ms, 1 Gbit/s";
    let figure = Figure::against(SSH, what, "MiB/s", Some(Aim::RatioAtLeast(12.0)));
    let peers = run.behind(long(WORLD)).await?;
    peers.prepare_for_long_lines()?;
    Ok(vec![downloads(run, &peers, figure, WORLD_TIME).await?])
}

/// One upload over 100 ms. OpenSSH's own window of 2 MiB for each channel limits both sides.
pub(super) async fn long_upload(run: &Run<'_>) -> Result<Vec<Figure>> {
    let what = "one upload over 100 ms, 1 Gbit/s";
    let mut rate = Figure::against(SSH, what, "MiB/s", None);
    let peers = run.behind(long(OCEAN)).await?;
    let (broker, ssh) = peers.both().await?;
    // A quarter takes some fifteen seconds.
    let size = run.size / 4;
    let file = peers.make_file("long-upload", size)?;
    for forwarder in [&broker, &ssh] {
        download(&peers, forwarder.listen, 1).await?;
    }
    for _ in 0..run.pairs {
        let a = upload(&peers, broker.listen, &file, size).await?;
        let b = upload(&peers, ssh.listen, &file, size).await?;
        let size = size as f64 / MIB;
        rate.pair(size / a, size / b);
    }
    Ok(vec![rate])
}

fn long(round_trip: Duration) -> LineOptions {
    LineOptions {
        delay: round_trip / 2,
        rate: Some(GIGABIT),
        ..LineOptions::default()
    }
}

/// Downloads of so much time each.
async fn downloads(
    run: &Run<'_>,
    peers: &BenchPeers,
    mut rate: Figure,
    time: Duration,
) -> Result<Figure> {
    peers.make_sparse_file(ENDLESS_NAME, ENDLESS)?;
    let (broker, ssh) = peers.both().await?;
    for forwarder in [&broker, &ssh] {
        download(peers, forwarder.listen, 1).await?;
    }
    for _ in 0..run.pairs {
        rate.pair(
            watched(broker.listen, time).await?,
            watched(ssh.listen, time).await?,
        );
    }
    Ok(rate)
}

/// MiB a second of a download that is given up after this time, from its first byte on: a login takes round trips, not
/// bandwidth.
async fn watched(ftp: SocketAddr, time: Duration) -> Result<f64> {
    let url = format!("ftp://{ftp}/{ENDLESS_NAME}");
    let time = time.as_secs().to_string();
    let shown = "%{size_download} %{time_starttransfer} %{time_total}";
    let arguments = ["-o", "/dev/null", "--max-time", &time, "-w", shown, &url];
    // curl ends by itself; the limit is for one that does not.
    let output = curl(arguments, WORLD_TIME * 3).await?;
    ensure!(
        output.status.code() == Some(OUT_OF_TIME),
        "{}: {}",
        output.status,
        output.stderr
    );
    steady_rate(&output.text())
}

/// MiB a second, of bytes, seconds to the first of them, and seconds in all.
fn steady_rate(shown: &str) -> Result<f64> {
    let numbers: Vec<f64> = shown
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("curl shows {shown:?}"))?;
    let &[bytes, first, total] = numbers.as_slice() else {
        anyhow::bail!("curl shows {shown:?}");
    };
    ensure!(bytes > 0.0 && total > first, "nothing came: {shown:?}");
    Ok(bytes / MIB / (total - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_from_the_first_byte() {
        assert_eq!(steady_rate("10485760 0.5 5.5").unwrap(), 2.0);
        for nothing in ["0 0 10", "12 3 3", "12 3", "a b c"] {
            assert!(steady_rate(nothing).is_err(), "{nothing}");
        }
    }
}
