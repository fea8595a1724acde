//! The command line as people type it: completions in real shells, and targets that are almost right.

use std::env;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::Broker;
use testkit::client;
use testkit::programs::broker_program;

use crate::support::fixture::{SOON, embedded};
use crate::support::{Need, trial};

/// What each shell runs to complete the profile of `probe-key`. Its first argument is the beginning of the name.
const BASH: [&str; 4] = [
    "bash",
    "--norc",
    "-c",
    r#"source <(broker-ctl completions bash) || exit
       COMP_WORDS=(broker-ctl probe-key "$1") COMP_CWORD=2 COMP_TYPE=9
       _clap_complete_broker_ctl broker-ctl "$1" probe-key
       printf '%s\n' "${COMPREPLY[@]}""#,
];
// Its completion needs a terminal, so what it would list is printed instead.
const ZSH: [&str; 4] = [
    "zsh",
    "-f",
    "-c",
    r#"compdef() { true }
       _describe() { print -l -- ${(P)argv[-1]} }
       source <(broker-ctl completions zsh) || exit
       words=(broker-ctl probe-key "$1") CURRENT=3
       _clap_dynamic_completer_broker_ctl"#,
];
const FISH: [&str; 4] = [
    "fish",
    "--no-config",
    "-c",
    r#"broker-ctl completions fish | source
       complete --do-complete "broker-ctl probe-key $argv[2]""#,
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("commands: targets that are almost right", &[], slips)];
    for shell in [BASH, ZSH, FISH] {
        let [name, ..] = shell;
        let title = format!("commands: {name} completes the names of profiles");
        trials.push(trial(title, &[Need::Program(name)], move || {
            completes(shell)
        }));
    }
    trials
}

/// The name of the only profile.
async fn profile(broker: &Broker) -> anyhow::Result<String> {
    let profiles = broker.list(&["list-profiles"]).await?;
    let profile = profiles.first().context("there is no profile")?;
    let name = profile["name"].as_str().or(profile["id"].as_str());
    Ok(name.context("the profile has no name")?.to_owned())
}

async fn completes(shell: [&str; 4]) -> anyhow::Result<()> {
    let mut fixture = embedded().start().await?;
    let name = profile(&fixture.broker).await?;
    let beginning = &name[..name.len() - 1];
    let found = candidates(&fixture.broker, shell, beginning).await?;
    ensure!(found.contains(&name), "{found:?} lacks {name}");
    ensure!(found.len() == 1, "{found:?} has more than {name}");
    fixture.broker.stop(SOON).await?;
    let none = candidates(&fixture.broker, shell, beginning).await?;
    ensure!(none.is_empty(), "without a daemon: {none:?}");
    Ok(())
}

/// The candidates that a shell gets, without their descriptions.
async fn candidates(
    broker: &Broker,
    shell: [&str; 4],
    beginning: &str,
) -> anyhow::Result<Vec<String>> {
    let [program, arguments @ ..] = shell;
    let broker_ctl = broker_program("broker-ctl")?;
    let own = broker_ctl.parent().map(Into::into);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&path)))?;
    let mut command = Command::new(program);
    command.args(arguments).args(["shell", beginning]);
    command
        .env("PATH", path)
        .env("SSH_BROKER_SOCKET", broker.socket());
    command.env("HOME", broker.directory());
    let printed = client::run(command, SOON).await?.success()?.text();
    let words = printed
        .lines()
        .filter_map(|line| line.split(['\t', ':']).next());
    Ok(words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect())
}

async fn slips() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let name = profile(broker).await?;
    let mut misspelt = name.clone();
    misspelt.insert(1, 'x');
    for (target, meant) in [
        (
            "user@127.0.0.1:22022",
            "write the port with #: user@127.0.0.1#22022".to_owned(),
        ),
        (&misspelt, format!("did you mean {name}?")),
        ("host#0", "ports go from 1 to 65535".to_owned()),
    ] {
        let refused = broker
            .ctl(&["open-tunnel-listener", "-L", "ftp/0:localhost:21", target])
            .await?;
        ensure!(refused.status.code() == Some(1), "{target}: {refused:?}");
        ensure!(
            refused.stderr.contains(&meant),
            "{target}: {}",
            refused.stderr
        );
        ensure!(
            !refused.stderr.contains("no address"),
            "{target}: {}",
            refused.stderr
        );
    }
    Ok(())
}
