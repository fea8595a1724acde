//! Large files over long lines

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::client::curl;
use testkit::line::LineOptions;
use tokio::time::sleep;

use super::Run;
use super::figure::{Aim, Figure};
use super::peers::{BenchPeers, Forwarder};
use super::transfers::{GIB, MIB, SSH, download, upload};
use super::usage::{family_cpu_seconds, family_own_kib};

/// A round trip within a city.
const CITY: Duration = Duration::from_millis(1);
/// A round trip across a continent.
const CONTINENT: Duration = Duration::from_millis(50);
/// A round trip across an ocean.
const OCEAN: Duration = Duration::from_millis(100);
/// A round trip around half of the world, on a bad line.
const WORLD: Duration = Duration::from_millis(300);
const GIGABIT: u64 = 1_000_000_000;

/// How long a download is watched: several times as long as the slowest start takes.
const SHORT_TIME: Duration = Duration::from_secs(5);
const OCEAN_TIME: Duration = Duration::from_secs(10);
const WORLD_TIME: Duration = Duration::from_secs(20);

/// More than a line carries in the time of a download, and no memory.
const ENDLESS: u64 = 8 << 30;
const ENDLESS_NAME: &str = "endless";
/// curl's exit status when its time is over.
const OUT_OF_TIME: i32 = 28;
/// How often the memory of sshd is looked at.
const LOOK: Duration = Duration::from_millis(100);

const PLAIN: &str = "plain FTP";

/// One download over 1 ms and one over 50 ms.
pub(super) async fn near_lines(run: &Run<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for round_trip in [CITY, CONTINENT] {
        let peers = run.behind(long(round_trip)).await?;
        peers.prepare_for_long_lines()?;
        let line = LongLine::new(what(round_trip), SHORT_TIME);
        figures.extend(line.downloads(run, &peers).await?);
    }
    Ok(figures)
}

/// One download over 100 ms, with servers as they come and with those that are set up for such lines.
pub(super) async fn long_line(run: &Run<'_>) -> Result<Vec<Figure>> {
    let peers = run.behind(long(OCEAN)).await?;
    let what = what(OCEAN);
    let usual = LongLine::new(format!("{what}, usual server"), OCEAN_TIME);
    let mut figures = usual.downloads(run, &peers).await?;
    peers.prepare_for_long_lines()?;
    let first = LongLine {
        begins: Begins::Fresh,
        ..LongLine::new(format!("{what}, the first of a daemon"), OCEAN_TIME)
    };
    figures.extend(first.downloads(run, &peers).await?);
    let later = LongLine {
        aim: Some(Aim::RatioAtLeast(4.5)),
        ..LongLine::new(what, OCEAN_TIME)
    };
    figures.extend(later.downloads(run, &peers).await?);
    Ok(figures)
}

/// One download over 300 ms.
pub(super) async fn longest_line(run: &Run<'_>) -> Result<Vec<Figure>> {
    let peers = run.behind(long(WORLD)).await?;
    peers.prepare_for_long_lines()?;
    let line = LongLine {
        aim: Some(Aim::RatioAtLeast(12.0)),
        ..LongLine::new(what(WORLD), WORLD_TIME)
    };
    line.downloads(run, &peers).await
}

fn what(round_trip: Duration) -> String {
    let millis = round_trip.as_millis();
    format!("one download over {millis} ms, 1 Gbit/s")
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

/// Downloads over one line.
struct LongLine {
    what: String,
    /// How long each download takes.
    time: Duration,
    begins: Begins,
    /// For the rate.
    aim: Option<Aim>,
}

/// What came before a download.
#[derive(Debug, Clone, Copy)]
enum Begins {
    /// A transfer too small to show what the line carries.
    Fresh,
    /// Another such download.
    Seen,
}

impl LongLine {
    fn new(what: String, time: Duration) -> Self {
        Self {
            what,
            time,
            begins: Begins::Seen,
            aim: None,
        }
    }

    async fn downloads(&self, run: &Run<'_>, peers: &BenchPeers) -> Result<Vec<Figure>> {
        let what = &self.what;
        let mut rate = Figure::against(SSH, what, "MiB/s", self.aim);
        let mut beside_plain = Figure::against(PLAIN, &format!("{what}, the same"), "MiB/s", None);
        let of_sshd =
            |name, unit| Figure::against(SSH, &format!("{name} of sshd, {what}"), unit, None);
        let mut cpu = of_sshd("processor time", "s/GiB");
        let mut memory = of_sshd("memory", "MiB");
        peers.make_sparse_file(ENDLESS_NAME, ENDLESS)?;
        for _ in 0..run.pairs {
            let a = self.forwarded(peers, peers.broker().await?).await?;
            let b = self.forwarded(peers, peers.forwarding().await?).await?;
            let plain = watched(peers.plain_ftp(), self.time).await?;
            rate.pair(a.fetched.rate(), b.fetched.rate());
            beside_plain.pair(a.fetched.rate(), plain.rate());
            cpu.pair(a.server_cpu, b.server_cpu);
            memory.pair(a.server_memory, b.server_memory);
        }
        Ok(vec![rate, beside_plain, cpu, memory])
    }

    /// One download. The forwarder ends with it, and its connections too.
    async fn forwarded(&self, peers: &BenchPeers, forwarder: Forwarder) -> Result<Forwarded> {
        let sshd = peers.servers.ssh.process();
        download(peers, forwarder.listen, 1).await?;
        let memory = family_own_kib(sshd);
        if let Begins::Seen = self.begins {
            watched(forwarder.listen, self.time).await?;
        }
        let cpu = family_cpu_seconds(sshd);
        let mut most = family_own_kib(sshd);
        let looking = async {
            loop {
                sleep(LOOK).await;
                most = most.max(family_own_kib(sshd));
            }
        };
        let fetched = tokio::select! {
            fetched = watched(forwarder.listen, self.time) => fetched?,
            never = looking => never,
        };
        let used = family_cpu_seconds(sshd) - cpu;
        drop(forwarder);
        peers.connections_ended().await?;
        Ok(Forwarded {
            server_cpu: used / fetched.bytes * GIB,
            server_memory: (most - memory) / 1024.0,
            fetched,
        })
    }
}

/// What a download through SSH came to.
struct Forwarded {
    fetched: Fetched,
    /// Seconds of sshd for each GiB.
    server_cpu: f64,
    /// MiB by which sshd grew.
    server_memory: f64,
}

/// What curl fetched before its time was over.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fetched {
    bytes: f64,
    /// From the first byte on: a login takes round trips, not bandwidth.
    seconds: f64,
}

impl Fetched {
    /// MiB a second.
    fn rate(self) -> f64 {
        self.bytes / MIB / self.seconds
    }
}

/// A download that is given up after this time.
async fn watched(ftp: SocketAddr, time: Duration) -> Result<Fetched> {
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
    fetched(&output.text())
}

/// Reads bytes, seconds to the first of them, and seconds in all.
fn fetched(shown: &str) -> Result<Fetched> {
    let numbers: Vec<f64> = shown
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("curl shows {shown:?}"))?;
    let &[bytes, first, total] = numbers.as_slice() else {
        anyhow::bail!("curl shows {shown:?}");
    };
    ensure!(bytes > 0.0 && total > first, "nothing came: {shown:?}");
    Ok(Fetched {
        bytes,
        seconds: total - first,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_from_the_first_byte() {
        assert_eq!(fetched("10485760 0.5 5.5").unwrap().rate(), 2.0);
        for nothing in ["0 0 10", "12 3 3", "12 3", "a b c"] {
            assert!(fetched(nothing).is_err(), "{nothing}");
        }
    }
}
