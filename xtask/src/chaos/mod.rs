//! `cargo xtask chaos`: cuts transfers at random moments and sees that none that is short was reported complete

mod client;
mod fault;
mod peers;
mod plan;
mod quiet;
mod round;
mod table;
mod transfer;

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::time::Instant;

use self::peers::ChaosPeers;
use self::plan::{MAX_OFFSET, MAX_SIZE, Plan};
use self::quiet::Baseline;
use self::round::Outcome;
use self::table::Table;

/// Lines of the daemon's log that are shown of a round that went wrong.
const LOG_LINES: usize = 200;
/// How often a run says how far it is.
const NEWS: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// How many transfers to cut
    #[arg(long, default_value_t = 80)]
    rounds: u64,
    /// What decides on everything random [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Play this one round only
    #[arg(long, value_name = "ROUND")]
    only: Option<u64>,
    /// Let the SSH server listen for the clients
    #[arg(long)]
    remote: bool,
    /// Tell of each round
    #[arg(long, short)]
    verbose: bool,
}

/// Plays the rounds and prints what came of them; fails when a short transfer was reported complete, or anything was
/// left over or went wrong.
///
/// # Errors
/// When sshd, vsftpd or the daemon cannot be started.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let seed = options.seed.map_or_else(seed_from_time, Ok)?;
    let rounds = match options.only {
        Some(round) => round..=round,
        None => 1..=options.rounds,
    };
    let side = if options.remote { "remote" } else { "local" };
    println!(
        "seed {seed}, rounds {} to {}, {side} tunnels",
        rounds.start(),
        rounds.end()
    );
    let began = Instant::now();
    // Dropped, the rounds take every daemon with them.
    let table = tokio::select! {
        played = play(seed, rounds, options) => played?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    let took = began.elapsed();

    let [rounds, short, leaks, faults] = table.totals();
    println!("\n{table}");
    println!(
        "{rounds} rounds with {} MiB in {:.0} s; reported complete and short: {short}; leaks: {leaks}; other faults: {faults}",
        table.bytes() >> 20,
        took.as_secs_f64()
    );
    Ok(if short + leaks + faults == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn seed_from_time() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(now.context("the clock stands before 1970")?.as_secs())
}

async fn play(seed: u64, rounds: RangeInclusive<u64>, options: &Options) -> Result<Table> {
    let remote = options.remote;
    let content = testkit::files::pattern(seed, MAX_SIZE + MAX_OFFSET);
    let first = Plan::of(seed, *rounds.start());
    let mut table = Table::default();
    let (mut peers, mut baseline) = begin(&first, &content, remote).await?;
    let mut news = Instant::now();
    for number in rounds {
        let plan = Plan::of(seed, number);
        let log_before = peers.broker.log().len();
        let outcome = round::play(&mut peers, baseline, &plan, &content).await?;
        table.add(&plan, &outcome);
        if options.verbose {
            tell(&plan, &outcome);
        }
        if !outcome.is_good() {
            accuse(seed, &plan, &outcome, &peers, log_before);
            // What is left over must not spoil the rounds to come.
            (peers, baseline) = begin(&plan, &content, remote).await?;
        }
        if news.elapsed() > NEWS {
            let [rounds, short, leaks, faults] = table.totals();
            println!("{rounds} rounds, short {short}, leaks {leaks}, other faults {faults}");
            news = Instant::now();
        }
    }
    let left = quiet::at_the_end(&peers, baseline).await?;
    for text in &left {
        println!("LEAK when all SSH connections are gone: {text}");
    }
    table.add_left(&left);
    Ok(table)
}

async fn begin(plan: &Plan, content: &[u8], remote: bool) -> Result<(ChaosPeers, Baseline)> {
    let mut peers = ChaosPeers::start(remote).await?;
    round::warm_up(&mut peers, plan, content).await?;
    let baseline = quiet::baseline(&peers).await?;
    Ok((peers, baseline))
}

fn tell(plan: &Plan, outcome: &Outcome) {
    let Outcome {
        ending,
        seen,
        transfer_took,
        took,
        ..
    } = outcome;
    let (answer, data) = (seen.answer, &seen.data_end);
    println!(
        "{plan}\n  {ending:?}, answer {answer:?}, data {data:?}, {:.3} s, with all {:.3} s",
        transfer_took.as_secs_f64(),
        took.as_secs_f64()
    );
}

/// Shows everything about a round that went wrong, and how to see it again.
fn accuse(seed: u64, plan: &Plan, outcome: &Outcome, peers: &ChaosPeers, log_before: usize) {
    println!("\nFAILED {plan}");
    tell(plan, outcome);
    let short = outcome.short.iter().map(|text| ("SHORT", text));
    let leaks = outcome.leaks.iter().map(|text| ("LEAK", text));
    let faults = outcome.faults.iter().map(|text| ("FAULT", text));
    for (kind, text) in short.chain(leaks).chain(faults) {
        println!("  {kind}: {text}");
    }
    println!("  the conversation:");
    for line in &outcome.seen.transcript {
        println!("    {line}");
    }
    let log = peers.broker.log();
    // A daemon that was started again has a new log.
    let log = log.get(log_before..).unwrap_or(&log);
    println!("  the daemon's log:");
    let lines: Vec<&str> = log.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        println!("    {line}");
    }
    println!(
        "  again: cargo xtask chaos --seed {seed} --only {}\n",
        plan.number
    );
}
