//! `cargo xtask demo`: the real daemon between an FTP client and an FTP server, and a look at the wire

mod client;
mod peers;
mod screen;
mod wire;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use suppaftp::types::Mode;
use testkit::files;

use crate::cargo;
use client::Client;
use peers::DemoPeers;
use screen::Progress;

const MIB: usize = 1024 * 1024;
/// Large enough that the closer look half-way sees a transfer at work, small enough not to be waited for.
const FILE_SIZE: usize = 64 * MIB;
const FILE_NAME: &str = "holiday.tar";
const USER: &str = "alice";

/// In the development profile, which shares what was built for xtask itself: a release build of all
/// dependencies takes a newcomer minutes more, for transfers that last a second as it is.
const PROGRAMS: [&str; 2] = ["--workspace", "--bins"];

#[derive(Args)]
pub(crate) struct Options {
    /// Leave everything running and print commands to try; Ctrl-C ends it
    #[arg(long)]
    keep: bool,
}

/// Shows the broker at work.
///
/// # Errors
/// If anything does not work as it should.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let started = Instant::now();
    screen::heading("Building brokerd and broker-ctl");
    let programs = cargo::build(&PROGRAMS).await?;
    screen::fact("programs in", programs.display());

    let peers = Arc::new(DemoPeers::start().await?);
    peers.introduce()?;

    let outcome = tokio::select! {
        outcome = perform(Arc::clone(&peers)) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    if let Err(error) = outcome {
        screen::command("brokerd's log", &peers.log());
        peers.abandon();
        return Err(error);
    }

    if options.keep {
        keep(&peers, &programs).await?;
    }
    let peers = Arc::into_inner(peers).context("the peers are still in use")?;
    peers.stop().await?;
    screen::heading(&format!(
        "All of it worked, in {} s",
        started.elapsed().as_secs()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Moves files, then looks at what could be seen of it.
async fn perform(peers: Arc<DemoPeers>) -> Result<()> {
    let shown = Arc::clone(&peers);
    tokio::task::spawn_blocking(move || transfers(&shown))
        .await
        .context("the FTP client failed")??;
    screen::heading("What the wire saw");
    check_wire(&peers)?;
    check_channels(&peers)
}

/// Lists, uploads and downloads in both modes.
fn transfers(peers: &DemoPeers) -> Result<()> {
    let mut file = files::pattern(1, FILE_SIZE);
    wire::mark(&mut file);
    let mut client = Client::connect(peers.tunnel(), USER, peers.password())?;

    for (mode, name) in [
        (Mode::ExtendedPassive, "passive mode (EPSV)"),
        (Mode::Active, "active mode (PORT)"),
    ] {
        screen::heading(&format!("A directory and a file of 64 MiB in {name}"));
        client.set_mode(mode);
        screen::block(&client.list()?.join("\n"));
        let look = || peers.look();
        client.upload(
            FILE_NAME,
            &file,
            Progress::new("upload", FILE_SIZE as u64, Some(&look)),
        )?;
        let fetched =
            client.download(FILE_NAME, Progress::new("download", FILE_SIZE as u64, None))?;
        check_copies(&file, &fetched, peers)?;
    }
    client.quit()
}

/// What the server stored and what came back must be what was sent.
fn check_copies(sent: &[u8], fetched: &[u8], peers: &DemoPeers) -> Result<()> {
    let sent = files::sha256(sent);
    let stored = files::sha256_file(&peers.served().join(FILE_NAME))?;
    ensure!(
        stored == sent,
        "the server stored something else than was sent: {stored}, not {sent}"
    );
    let fetched = files::sha256(fetched);
    ensure!(
        fetched == sent,
        "something else came back than was sent: {fetched}, not {sent}"
    );
    screen::holds(&format!(
        "sent, stored and fetched are the same: SHA-256 {}…",
        sent.get(..16).unwrap_or_default()
    ));
    Ok(())
}

/// Neither the password nor the file may be seen between broker and SSH server.
fn check_wire(peers: &DemoPeers) -> Result<()> {
    let findings = peers.search_wire();
    screen::fact(
        "recorded",
        format!(
            "{} MiB between the broker and the SSH server",
            findings.bytes / MIB
        ),
    );
    screen::fact("SSH connections", findings.greetings / 2);
    findings.check(4 * FILE_SIZE)?;
    screen::holds("the FTP password does not stand in it");
    screen::holds("none of the file's blocks stands in it");
    Ok(())
}

/// Every data connection went through SSH, in the way that its mode asks for.
fn check_channels(peers: &DemoPeers) -> Result<()> {
    let counters = peers.ssh_counters();
    // Up, down and a listing in each mode; the control connection is one more channel.
    let (passive, active) = (counters.direct_opened - 1, counters.forwarded_opened);
    ensure!(
        passive == 3,
        "the SSH server opened {passive} channels for three passive transfers"
    );
    ensure!(
        active == 3,
        "the SSH server opened {active} channels for three active transfers"
    );
    screen::holds(
        "the SSH server carried a channel for each of the six transfers: three passive, three active",
    );
    Ok(())
}

async fn keep(peers: &DemoPeers, programs: &Path) -> Result<()> {
    screen::heading("Everything goes on until you press Ctrl-C");
    peers.invite(programs);
    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for Ctrl-C")
}
