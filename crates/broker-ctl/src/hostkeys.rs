//! `probe-key` and `trust-host`: show a server's host keys, and store one that a person has checked.

use anyhow::{Context, bail};
use broker_ipc::types::{HostKey, HostKeyStanding};
use broker_ipc::{ClientError, methods};
use plain_text::printable;

use crate::cli::TrustHostArgs;
use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::output::Output;
use crate::terminal::Terminal;
use crate::{listing, prompts};

/// Shows the keys. A person also sees their pictures.
pub(crate) async fn probe(daemon: &Daemon<'_>, target: String) -> anyhow::Result<()> {
    let work = show(daemon, target.clone());
    prompts::while_asking(daemon, &target, work).await
}

/// Stores the key with the given fingerprint, or the one that a person accepts.
pub(crate) async fn trust(daemon: &Daemon<'_>, args: TrustHostArgs) -> anyhow::Result<()> {
    let target = args.target.clone();
    prompts::while_asking(daemon, &target, store(daemon, args)).await
}

async fn show(daemon: &Daemon<'_>, target: String) -> anyhow::Result<()> {
    let keys = probed(daemon, target).await?;
    if !daemon.output().is_for_people() {
        let table = listing::host_keys(&keys);
        return daemon.output().answer(&keys, &table);
    }
    let shown: Vec<String> = keys.iter().map(described).collect();
    Ok(daemon.output().print(shown.join("\n\n"))?)
}

async fn store(daemon: &Daemon<'_>, args: TrustHostArgs) -> anyhow::Result<()> {
    let TrustHostArgs {
        target,
        fingerprint,
    } = args;
    let fingerprint = match fingerprint {
        Some(fingerprint) => fingerprint,
        None => confirmed(daemon, target.clone()).await?,
    };
    let asked = methods::TrustHost {
        target,
        fingerprint,
    };
    let told = |error| told(daemon.output(), error);
    let key = daemon.work(&asked).await.map_err(told)?;
    report(daemon.output(), &key)
}

async fn probed(daemon: &Daemon<'_>, target: String) -> anyhow::Result<Vec<HostKey>> {
    let asked = methods::ProbeKey { target };
    let told = |error| told(daemon.output(), error);
    daemon.work(&asked).await.map_err(told)
}

/// Prints a refusal of the daemon, with its reason for programs.
fn told(output: &Output, error: ClientError) -> anyhow::Error {
    let ClientError::Failed(refusal) = error else {
        return error.into();
    };
    output.refusal(&refusal, prompts::explained(&refusal));
    Reported::because(refusal.reason()).into()
}

fn report(output: &Output, key: &HostKey) -> anyhow::Result<()> {
    if !output.is_for_people() {
        let keys = std::slice::from_ref(key);
        return output.answer(key, &listing::host_keys(keys));
    }
    let place = key.known_at.as_deref().unwrap_or_default();
    let (algorithm, fingerprint) = (&key.algorithm, &key.fingerprint);
    let text = format!("{algorithm} {fingerprint} is known: {place}");
    Ok(output.print(printable(&text))?)
}

/// The fingerprint of the server's preferred key, after a person has accepted it.
async fn confirmed(daemon: &Daemon<'_>, target: String) -> anyhow::Result<String> {
    let terminal = Terminal::open();
    let mut terminal =
        terminal.context("cannot ask whether to store the key, since standard input is not a terminal: name the key with --fingerprint")?;
    let mut keys = probed(daemon, target).await?.into_iter();
    let key = keys.next().context("the server presented no host key")?;
    match key.standing {
        HostKeyStanding::Known | HostKeyStanding::Revoked => return Ok(key.fingerprint),
        HostKeyStanding::Unknown | HostKeyStanding::Changed => {}
    }
    terminal.show(&described(&key))?;
    loop {
        let typed = terminal.ask("Store this key as known (yes or no)? ", true);
        match typed.await?.as_deref().map(|typed| typed.trim()) {
            Some("yes") => return Ok(key.fingerprint),
            Some("no") | None => bail!("the key was not accepted; nothing was stored"),
            Some(_) => terminal.show("Answer yes or no")?,
        }
    }
}

/// A key in the form in which a person compares it.
fn described(key: &HostKey) -> String {
    let place = key.known_at.as_deref().unwrap_or_default();
    let standing = match key.standing {
        HostKeyStanding::Known => format!("known: {place}"),
        HostKeyStanding::Unknown => "not known".to_owned(),
        HostKeyStanding::Changed => format!("CHANGED: the known key is {place}"),
        HostKeyStanding::Revoked => format!("REVOKED: {place}"),
    };
    let (algorithm, bits, fingerprint) = (&key.algorithm, key.bits, &key.fingerprint);
    let heading = printable(&format!("{algorithm} {bits} {fingerprint}"));
    let art: Vec<String> = key
        .randomart
        .lines()
        .map(|line| printable(line).to_string())
        .collect();
    format!("{heading}\n{}\n{}", printable(&standing), art.join("\n"))
}
