//! The project's own chores: `cargo xtask test`, `tidy`, `demo`, `chaos`, `fuzz`, `bench`, `docs` and `dist`

// A chore prints for the person who runs it, and may end in a panic where a test would.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod apt;
mod bench;
mod cargo;
mod chaos;
mod demo;
mod dist;
mod docs;
mod fuzz;
mod needs;
mod process;
mod test;
mod tidy;
mod unpacked;

use std::process::ExitCode;

use clap::Parser;

/// The project's own chores
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    /// Run every test, after making sure of the programs that the tests need
    Test(test::Options),
    /// See the broker at work between an FTP client and an FTP server, and what the wire saw of it
    Demo(demo::Options),
    /// Cut many transfers at random moments, and see that none that is short was reported complete and nothing is left
    Chaos(chaos::Options),
    /// Feed what reads strangers' bytes with random ones, and see that no lenient reader is led elsewhere by what comes out
    Fuzz(fuzz::Options),
    /// Measure the broker beside OpenSSH's port forwarding and plain FTP
    Bench(bench::Options),
    /// The FTP server of some benchmarks, which does nothing but greet
    #[command(hide = true)]
    Greeter,
    /// Write manual pages and shell completions
    Docs(docs::Options),
    /// Make an archive and a Debian package
    Dist(dist::Options),
    /// Check what the compiler does not: purposes, lengths, leftovers, layers, import cycles, links
    Tidy,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Test(options) => test::run(&options).await,
        Chore::Demo(options) => demo::run(&options).await,
        Chore::Chaos(options) => chaos::run(&options).await,
        Chore::Fuzz(options) => fuzz::run(&options).await,
        Chore::Bench(options) => bench::run(&options).await,
        Chore::Greeter => bench::greeter::serve().await.map(|()| ExitCode::SUCCESS),
        Chore::Docs(options) => docs::run(&options),
        Chore::Dist(options) => dist::run(&options).await,
        Chore::Tidy => tidy::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
