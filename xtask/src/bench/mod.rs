//! `cargo xtask bench`: the broker beside `ssh -L`, `ssh -D` and plain FTP, pair by pair

mod answers;
mod figure;
mod growth;
mod lines;
mod peers;
mod report;
mod streams;
mod transfers;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::cargo;
use figure::Figure;
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
    /// One download: rate and processor time
    Download,
    /// One upload: rate and processor time
    Upload,
    /// Four downloads at once
    Four,
    /// One download over a long fat line
    LongLine,
    /// Many small files over a long line
    ManyFiles,
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
struct Run {
    peers: BenchPeers,
    pairs: usize,
    /// Bytes of the file that is moved.
    size: u64,
}

/// Measures and prints.
///
/// # Errors
/// When a program is missing, does not start or fails in the middle.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    ensure!(options.pairs > 0, "no pairs: nothing to measure");
    let machine = Machine::look();
    let programs = match &options.programs {
        Some(directory) => directory.clone(),
        None => build_release().await?,
    };
    let run = Run {
        peers: BenchPeers::start(programs).await?,
        pairs: options.pairs,
        size: options.size << 20,
    };
    report::print_machine(&machine, options.pairs, options.size);
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
        report::write_json(path, &machine, options.size, &figures)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(run: &Run, row: Row) -> Result<Vec<Figure>> {
    match row {
        Row::Download => transfers::one(run, Direction::Down).await,
        Row::Upload => transfers::one(run, Direction::Up).await,
        Row::Four => transfers::four(run).await,
        Row::LongLine => lines::long_line(run).await,
        Row::ManyFiles => lines::many_files(run).await,
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
        Row::LongLine => "long-line",
        Row::ManyFiles => "many-files",
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
