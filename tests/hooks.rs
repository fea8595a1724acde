//! Hooks: what they learn, that nothing waits for them, and how they end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::fixture::Fixture;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::sockets::eventually;
use crate::support::trial;

/// A name that means much to a shell.
const ODD: &str = "a 'b' \"c\" $(touch x) ü\\n;*";

/// Transfers beside slow hooks. With three hooks each, there are more than may run and wait.
const TRANSFERS: usize = 100;

/// How long a transfer of a few bytes may take beside slow hooks.
const PROMPT: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("hooks: each event once, with its facts", &[], facts),
        trial(
            "hooks: a lost SSH connection disconnects the profile",
            &[],
            disconnected,
        ),
        trial("hooks: one that hangs is ended in time", &[], hangs),
        trial("hooks: slow ones hold up no transfer", &[], slow),
        trial("hooks: a stop waits for one that runs", &[], stop_waits),
        trial("hooks: a stop now ends one that runs", &[], stop_now),
        trial("hooks: a reload replaces them", &[], reload),
    ]
}

/// A directory to which hooks write what they know, one file a hook.
struct Told(TempDir);

impl Told {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A hook that writes down its environment.
    fn hook(&self, on: &str) -> String {
        let to = self.path().display();
        element(
            on,
            &format!("sh -c 'env -0 > {to}/$$.part; mv {to}/$$.part {to}/$$.env'"),
            "60",
        )
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|it| it == "env"))
            .collect()
    }

    /// The environments of the hooks for one event, once there are as many hooks in all.
    async fn of(&self, event: &str, all: usize) -> anyhow::Result<Vec<BTreeMap<String, String>>> {
        eventually("the hooks have run", || self.files().len() >= all).await?;
        let mut found = Vec::new();
        for file in self.files() {
            let text = String::from_utf8(fs::read(file)?)?;
            let variables = text.split('\0').filter_map(|it| it.split_once('='));
            let variables: BTreeMap<_, _> = variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            if variables
                .get("SSH_BROKER_EVENT")
                .is_some_and(|it| it == event)
            {
                found.push(variables);
            }
        }
        Ok(found)
    }
}

fn element(on: &str, command: &str, timeout: &str) -> String {
    let command = command.replace('"', "&quot;").replace('>', "&gt;");
    format!(r#"<hook on="{on}" timeout="{timeout}" command="{command}"/>"#)
}

fn same(variables: &BTreeMap<String, String>, expected: &[(&str, &str)]) -> anyhow::Result<()> {
    for (name, value) in expected {
        let name = format!("SSH_BROKER_{name}");
        let found = variables.get(&name).map(String::as_str);
        ensure!(
            found == Some(*value),
            "{name} is {found:?}, not {value:?}: {variables:#?}"
        );
    }
    Ok(())
}

async fn facts() -> anyhow::Result<()> {
    let told = Told::new()?;
    let hooks = told.hook("connected transfer-complete, transfer-failed");
    let fixture = embedded().settings(hooks).start().await?;
    let mut ftp = fixture.login().await?;
    ftp.ask("PWD", "257").await?;
    ftp.store(ODD, CONTENT).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let _data = ftp.begin("EPSV", "RETR missing").await?;
    ftp.reply("550").await?;

    let connected = told.of("connected", 4).await?;
    let [connected] = &connected[..] else {
        anyhow::bail!("{connected:#?}");
    };
    same(connected, &[("PROFILE", "id1")])?;
    ensure!(!connected.contains_key("SSH_BROKER_FILE") && !connected.contains_key("CARGO"));

    let mut complete = told.of("transfer-complete", 4).await?;
    complete.sort_by_key(|it| it["SSH_BROKER_DIRECTION"].clone());
    let [down, up] = &complete[..] else {
        anyhow::bail!("{complete:#?}");
    };
    let bytes = CONTENT.len().to_string();
    let path = format!("/{ODD}");
    let client = ftp.control().local_addr()?.to_string();
    same(
        up,
        &[("FILE", &path), ("DIRECTION", "up"), ("BYTES", &bytes)],
    )?;
    same(
        up,
        &[
            ("RESULT", "complete"),
            ("CLIENT", &client),
            ("FTP_USER", "anonymous"),
        ],
    )?;
    same(
        down,
        &[("FILE", "/file"), ("DIRECTION", "down"), ("BYTES", &bytes)],
    )?;
    ensure!(up["SSH_BROKER_REPLY"].starts_with("226 "), "{up:#?}");
    ensure!(!up.contains_key("SSH_BROKER_REASON"), "{up:#?}");

    let failed = told.of("transfer-failed", 4).await?;
    let [failed] = &failed[..] else {
        anyhow::bail!("{failed:#?}");
    };
    same(
        failed,
        &[("FILE", "/missing"), ("RESULT", "refused"), ("BYTES", "0")],
    )?;
    same(failed, &[("BY", "ftp-server")])?;
    ensure!(failed["SSH_BROKER_REPLY"].starts_with('5'), "{failed:#?}");
    logged_once(&fixture, "transfer refused: 5")?;
    Ok(())
}

fn logged_once<S, F>(fixture: &Fixture<S, F>, text: &str) -> anyhow::Result<()> {
    let log = fixture.broker.log();
    ensure!(log.matches(text).count() == 1, "not once: {text}\n{log}");
    Ok(())
}

async fn disconnected() -> anyhow::Result<()> {
    let told = Told::new()?;
    let fixture = embedded()
        .settings(told.hook("disconnected transfer-failed"))
        .start()
        .await?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
    data.send(CONTENT).await?;
    fixture.servers.ssh.kill_all();
    ensure!(ftp.control().reply().await?.starts_with("421 "));

    let disconnected = told.of("disconnected", 2).await?;
    let [disconnected] = &disconnected[..] else {
        anyhow::bail!("{disconnected:#?}");
    };
    let reason = disconnected["SSH_BROKER_REASON"].as_str();
    ensure!(
        reason.contains("the SSH connection to ") && reason.contains(" was lost: "),
        "{reason}"
    );
    let failed = told.of("transfer-failed", 2).await?;
    let [failed] = &failed[..] else {
        anyhow::bail!("{failed:#?}");
    };
    same(failed, &[("RESULT", "cut"), ("BY", "ssh")])?;
    logged_once(&fixture, "transfer failed: 421")?;
    let log = fixture.broker.log();
    let warnings = log.lines().filter(|line| line.contains(" WARN session{"));
    ensure!(warnings.count() == 1, "a failure was logged twice:\n{log}");
    Ok(())
}

async fn hangs() -> anyhow::Result<()> {
    let hook = element("transfer-complete", "sh -c 'echo begun; sleep 1000'", "1");
    let fixture = embedded().settings(hook).start().await?;
    fixture.login().await?.fetch("file").await?;
    let ended = "hook ended by the broker: it ran longer than its timeout";
    fixture.broker.wait_log(ended, SOON).await?;
    let log = fixture.broker.log();
    let line = log.lines().find(|line| line.contains(ended));
    ensure!(
        line.is_some_and(|line| line.contains("output=begun")),
        "{log}"
    );
    Ok(())
}

async fn slow() -> anyhow::Result<()> {
    let hook = element("transfer-complete", "sleep 1000", "3600");
    let fixture = embedded().settings(hook.repeat(3)).start().await?;
    let mut ftp = fixture.login().await?;
    for _ in 0..TRANSFERS {
        let fetched = tokio::time::timeout(PROMPT, ftp.fetch("file"));
        ensure!(fetched.await.context("a hook held up a transfer")?? == CONTENT);
    }
    let left_out = "hooks are too slow for what happens";
    fixture.broker.wait_log(left_out, SOON).await?;
    logged_once(&fixture, left_out)?;
    let running = children(fixture.broker.process().pid())?;
    ensure!(running == 8, "{running} hooks run at once");
    Ok(())
}

/// How many processes have this parent.
fn children(parent: u32) -> anyhow::Result<usize> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task"))?.flatten();
    let listed = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let listed: Vec<_> = listed.collect::<Result<_, _>>()?;
    Ok(listed.iter().flat_map(|it| it.split_whitespace()).count())
}

async fn stop_waits() -> anyhow::Result<()> {
    let told = Told::new()?;
    let (begun, done) = (told.path().join("begun"), told.path().join("done"));
    let (begin, end) = (begun.display(), done.display());
    let command = format!("sh -c 'echo > {begin}; sleep 1; echo > {end}'");
    let hook = element("transfer-complete", &command, "60");
    let mut fixture = embedded().settings(hook).start().await?;
    fixture.login().await?.fetch("file").await?;
    eventually("the hook runs", || begun.exists()).await?;
    ensure!(fixture.broker.stop(SOON).await?.success());
    ensure!(done.exists(), "the hook was not waited for");
    Ok(())
}

async fn stop_now() -> anyhow::Result<()> {
    let told = Told::new()?;
    let pid = told.path().join("pid");
    let command = format!("sh -c 'echo $$ > {}; sleep 1000'", pid.display());
    let hook = element("transfer-complete", &command, "3600");
    let mut fixture = embedded().settings(hook).start().await?;
    fixture.login().await?.fetch("file").await?;
    let known = || fs::read_to_string(&pid).ok()?.trim().parse::<u32>().ok();
    eventually("the hook runs", || known().is_some()).await?;
    fixture.broker.ctl(&["stop", "--now"]).await?;
    fixture.broker.wait(SOON).await?;
    let stat = || fs::read_to_string(format!("/proc/{}/stat", known().unwrap_or_default()));
    let is_gone = || stat().map_or(true, |stat| stat.contains(") Z "));
    eventually("the hook has ended", is_gone).await
}

async fn reload() -> anyhow::Result<()> {
    let told = Told::new()?;
    let old = element("transfer-complete", "false", "60");
    let fixture = embedded().settings(old.clone()).start().await?;
    let mut ftp = fixture.login().await?;
    ftp.fetch("file").await?;
    fixture.broker.wait_log("hook failed", SOON).await?;
    let file = fixture.broker.config_file();
    let changed = fs::read_to_string(&file)?.replace(&old, &told.hook("transfer-complete"));
    fs::write(&file, changed)?;
    let reloaded = fixture.broker.ctl(&["reload"]).await?;
    ensure!(reloaded.status.success(), "{reloaded:?}");
    ftp.fetch("file").await?;
    ensure!(told.of("transfer-complete", 1).await?.len() == 1);
    logged_once(&fixture, "hook failed")
}
