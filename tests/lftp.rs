//! lftp at its busiest: one file in four parts at once, and whole trees both ways.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use testkit::client::{Output, lftp};
use testkit::files::{make_tree, tree, write_pattern};

use crate::support::clients::{sent, transcript};
use crate::support::compare::same_files;
use crate::support::fixture::{Real, real};
use crate::support::{Need, trial_within};

const LIMIT: Duration = Duration::from_secs(120);

const PARTED: u64 = 32 * 1024 * 1024;

/// For each connection, so that no part is done before the others are under way: lftp would give its end to the next.
const RATE: &str = "set net:limit-rate 2M; set net:limit-max 64K";

const PARTS: usize = 4;

const FILES: usize = 300;

pub(crate) fn trials() -> Vec<Trial> {
    let needs = [
        Need::Program("sshd"),
        Need::Program("vsftpd"),
        Need::Program("lftp"),
    ];
    vec![
        trial_within(LIMIT, "lftp: pget", &needs, pget),
        trial_within(LIMIT, "lftp: mirror down", &needs, mirror_down),
        trial_within(LIMIT, "lftp: mirror up", &needs, mirror_up),
    ]
}

async fn pget() -> anyhow::Result<()> {
    let (fixture, home) = (real().start().await?, tempfile::tempdir()?);
    let name = "parted";
    write_pattern(&fixture.servers.ftp.root().join(name), 1, PARTED)?;
    let said = run(
        &fixture,
        home.path(),
        &format!("{RATE}; pget -n {PARTS} parted -o copy"),
    )
    .await?;
    let transcript = transcript(&said);
    let parts = sent(&transcript, "RETR");
    ensure!(
        parts == PARTS,
        "{parts} downloads instead of {PARTS}:\n{transcript}"
    );
    same_files(
        &home.path().join("copy"),
        &fixture.servers.ftp.root().join(name),
    )
}

async fn mirror_down() -> anyhow::Result<()> {
    let (fixture, home) = (real().start().await?, tempfile::tempdir()?);
    let (there, here) = (
        fixture.servers.ftp.root().join("tree"),
        home.path().join("copy"),
    );
    make_tree(&there, FILES as u64)?;
    let said = run(&fixture, home.path(), "mirror --parallel=2 tree copy").await?;
    check_trees(&there, &here, &transcript(&said), "RETR")
}

async fn mirror_up() -> anyhow::Result<()> {
    let (fixture, home) = (real().start().await?, tempfile::tempdir()?);
    let (here, there) = (
        home.path().join("tree"),
        fixture.servers.ftp.root().join("copy"),
    );
    make_tree(&here, FILES as u64)?;
    let said = run(
        &fixture,
        home.path(),
        "mirror --reverse --parallel=2 tree copy",
    )
    .await?;
    check_trees(&here, &there, &transcript(&said), "STOR")
}

async fn run(fixture: &Real, home: &Path, command: &str) -> anyhow::Result<Output> {
    let open = format!("open ftp://anonymous:guest@{}/", fixture.tunnel);
    let settings = "set cmd:fail-exit yes; set net:max-retries 1; debug 5";
    let script = format!("{settings}; {open}; {command}");
    lftp(&script, home, LIMIT).await?.success()
}

/// Both trees must have the same names and bytes, and every file must have been transferred.
fn check_trees(from: &Path, to: &Path, transcript: &str, verb: &str) -> anyhow::Result<()> {
    let (expected, found) = (tree(from)?, tree(to)?);
    ensure!(
        expected.len() == FILES,
        "{} files to begin with",
        expected.len()
    );
    for (expected, found) in expected.iter().zip(&found) {
        ensure!(expected == found, "{expected:?} became {found:?}");
    }
    ensure!(found.len() == FILES, "{} files arrived", found.len());
    let transfers = sent(transcript, verb);
    // lftp does not ask for the one file that it knows to be empty.
    let expected = if verb == "RETR" { FILES - 1 } else { FILES };
    ensure!(
        transfers == expected,
        "{transfers} times {verb} for {FILES} files"
    );
    Ok(())
}
