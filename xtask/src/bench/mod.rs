//! `cargo xtask bench`: the broker beside `ssh -L`, `ssh -D` and plain FTP, pair by pair

mod answers;
mod figure;
pub(crate) mod greeter;
mod growth;
mod hosts;
mod lines;
mod peers;
mod report;
mod small_files;
mod stalls;
mod streams;
mod transfers;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use testkit::line::LineOptions;

use crate::cargo;
use figure::Figure;
use hosts::Host;
use peers::BenchPeers;
use report::Machine;
use streams::Kind;
use transfers::Direction;

#[derive(Args)]
pub(crate) struct Options {
    /// Measure only this; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Row>,
    /// How often each figure is taken on either side, in turns
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Size of the file that is moved
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    size: u64,
    /// Write every sample to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the brokerd of this directory instead of building one
    #[arg(long, value_name = "DIRECTORY")]
    programs: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// One download: rate, and processor time here and at sshd
    Download,
    /// One upload: the same
    Upload,
    /// Four downloads at once
    Four,
    /// One download over 1 ms and one over 50 ms
    NearLines,
    /// One download over 100 ms
    LongLine,
    /// One download over 300 ms
    LongestLine,
    /// One upload over 100 ms
    LongUpload,
    /// Many small files over 50 ms
    ManyFiles,
    /// A mirror of small files over 50 ms
    Mirror,
    /// Memory of sshd while downloads stall
    Stalled,
    /// Answers to NOOP while a transfer runs
    Noop,
    /// The first byte of a listing
    Listing,
    /// One stream and many short ones through a TCP tunnel
    Tcp,
    /// The same through a SOCKS tunnel
    Socks,
    /// Memory of the daemon
    Memory,
    /// What a session costs among many sessions and tunnels
    Growth,
}

/// What every row needs.
struct Run<'a> {
    host: &'a Host,
    programs: PathBuf,
    /// The servers on the broker's own host.
    peers: BenchPeers,
    pairs: usize,
    /// Bytes of the file that is moved.
    size: u64,
}

impl Run<'_> {
    /// Servers at the far end of a line.
    async fn behind(&self, line: LineOptions) -> Result<BenchPeers> {
        let (far, line) = self.host.far(line)?;
        BenchPeers::start_behind(self.programs.clone(), far, line).await
    }
}

/// Measures and prints.
///
/// # Errors
/// When a program is missing, does not start or fails in the middle.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    ensure!(options.pairs > 0, "no pairs: nothing to measure");
    let machine = Machine::look();
    let programs = match &options.programs {
        Some(directory) => std::path::absolute(directory)?,
        None => build_release().await?,
    };
    let host = Host::make()?;
    host.run(measure_all(options, &machine, &host, programs))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure_all(
    options: &Options,
    machine: &Machine,
    host: &Host,
    programs: PathBuf,
) -> Result<()> {
    let run = Run {
        host,
        programs: programs.clone(),
        peers: BenchPeers::start(programs).await?,
        pairs: options.pairs,
        size: options.size << 20,
    };
    report::print_machine(machine, options.pairs, options.size);
    report::print_head();
    let mut figures = Vec::new();
    for row in Row::value_variants() {
        if options.only.is_empty() || options.only.contains(row) {
            for figure in measure(&run, *row).await.with_context(|| name(*row))? {
                report::print_row(&figure);
                figures.push((name(*row), figure));
            }
        }
    }
    if let Some(path) = &options.json {
        report::write_json(path, machine, options.size, &figures)?;
    }
    Ok(())
}

async fn measure(run: &Run<'_>, row: Row) -> Result<Vec<Figure>> {
    match row {
        Row::Download => transfers::one(run, Direction::Down).await,
        Row::Upload => transfers::one(run, Direction::Up).await,
        Row::Four => transfers::four(run).await,
        Row::NearLines => lines::near_lines(run).await,
        Row::LongLine => lines::long_line(run).await,
        Row::LongestLine => lines::longest_line(run).await,
        Row::LongUpload => lines::long_upload(run).await,
        Row::ManyFiles => small_files::many_files(run).await,
        Row::Mirror => small_files::mirror(run).await,
        Row::Stalled => stalls::stalled(run).await,
        Row::Noop => answers::noop(run).await,
        Row::Listing => answers::listing(run).await,
        Row::Tcp => streams::streams(run, Kind::Tcp).await,
        Row::Socks => streams::streams(run, Kind::Socks).await,
        Row::Memory => growth::memory(run).await,
        Row::Growth => growth::sessions_and_tunnels(run).await,
    }
}

fn name(row: Row) -> &'static str {
    match row {
        Row::Download => "download",
        Row::Upload => "upload",
        Row::Four => "four",
        Row::NearLines => "near-lines",
        Row::LongLine => "long-line",
        Row::LongestLine => "longest-line",
        Row::LongUpload => "long-upload",
        Row::ManyFiles => "many-files",
        Row::Mirror => "mirror",
        Row::Stalled => "stalled",
        Row::Noop => "noop",
        Row::Listing => "listing",
        Row::Tcp => "tcp",
        Row::Socks => "socks",
        Row::Memory => "memory",
        Row::Growth => "growth",
    }
}

/// Builds the daemon as it is shipped, and returns its directory.
async fn build_release() -> Result<PathBuf> {
    let directory = cargo::build(&["--release", "-p", "brokerd"]).await?;
    // This program itself stands in the directory of another profile.
    let target = directory
        .parent()
        .context("the programs stand in no directory")?;
    Ok(target.join("release"))
}
