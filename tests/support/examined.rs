//! What `broker-ctl doctor` finds for a user.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use broker_ipc::checks::{Check, Outcome, Step};
use tempfile::TempDir;
use testkit::broker::{ctl_command, socket_in, write_private};
use testkit::client::{self, Output};
use testkit::profile::Profile;

use super::fixture::SOON;

/// The name of the profiles of fixtures.
pub(crate) const WORK: &str = "work";

/// A user with a configuration and without a daemon.
pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    pub(crate) fn new(config: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let home = Self { directory };
        write_private(&home.config(), config)?;
        Ok(home)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("broker.xml")
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let config = self.config().display().to_string();
        let doctor = ["doctor", "--config", &config];
        let arguments = [&doctor, arguments].concat();
        let mut command = ctl_command(&socket_in(self.directory.path()), &arguments)?;
        command.env("HOME", self.directory.path());
        command
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_CONFIG_HOME");
        client::run(command, SOON).await
    }

    pub(crate) async fn examine(&self, arguments: &[&str]) -> anyhow::Result<Examined> {
        let output = self.run(&[arguments, &["--json"]].concat()).await?;
        Examined::read(&output)
    }
}

/// What the doctor found.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) checks: Vec<Check>,
    pub(crate) status: Option<i32>,
}

impl Examined {
    pub(crate) async fn of(profile: &Profile) -> anyhow::Result<Self> {
        Home::new(&profile.config())?.examine(&[WORK]).await
    }

    pub(crate) fn read(output: &Output) -> anyhow::Result<Self> {
        let checks = serde_json::from_str(&output.text());
        Ok(Self {
            checks: checks.with_context(|| format!("{output:?}"))?,
            status: output.status.code(),
        })
    }

    pub(crate) fn step(&self, step: Step) -> anyhow::Result<&Check> {
        let found = self.checks.iter().find(|it| it.step == step);
        found.with_context(|| format!("no step {step}: {self:#?}"))
    }

    /// This step has failed with this text and this remedy, and it is the last one.
    pub(crate) fn failed(&self, step: Step, text: &str, remedy: &str) -> anyhow::Result<()> {
        let failed = self.step(step)?;
        ensure!(failed.outcome == Outcome::Failed, "{self:#?}");
        ensure!(failed.text.contains(text), "no {text:?}: {self:#?}");
        let advice = failed.remedy.as_deref().unwrap_or_default();
        ensure!(advice.contains(remedy), "no {remedy:?}: {self:#?}");
        ensure!(self.status == Some(1), "{self:#?}");
        let last = self.checks.last();
        ensure!(last == Some(failed), "steps after the failure: {self:#?}");
        Ok(())
    }

    /// These steps have succeeded.
    pub(crate) fn ok(&self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            let outcome = self.step(*step)?.outcome;
            ensure!(outcome == Outcome::Ok, "{step}: {self:#?}");
        }
        Ok(())
    }
}
