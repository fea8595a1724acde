//! The real daemon in a folder of its own, and what `broker-ctl` says of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use broker_ipc::types::TunnelListener;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use testkit::client::{self, Output};
use testkit::process::Process;
use testkit::programs::broker_program;

/// A daemon that is not ready by then will not be.
const START_LIMIT: Duration = Duration::from_secs(20);

/// `broker-ctl` answers within this time, even on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

const CONFIG: &str = "ssh-broker-config.xml";
const SOCKET: &str = "broker.sock";

/// A running daemon. Dropping it kills it and removes its folder.
pub(crate) struct Broker {
    process: Process,
    folder: TempDir,
}

impl Broker {
    /// Starts `brokerd` on this configuration, with more arguments if any, and waits until it is ready.
    pub(crate) async fn start(config: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(CONFIG), config)?;
        let mut command = Command::new(broker_program("brokerd")?);
        command
            .args(["--config", CONFIG, "--socket", SOCKET])
            .args(arguments)
            .current_dir(folder.path());
        let process = Process::spawn(command, None)?;
        process.wait_log("broker ready", START_LIMIT).await?;
        Ok(Self { process, folder })
    }

    /// Where its tunnel listener number `index` listens.
    pub(crate) async fn listener(&self, index: usize) -> anyhow::Result<SocketAddr> {
        let listeners: Vec<TunnelListener> = self.ask(&["list-tunnel-listeners"]).await?;
        let listener = listeners.get(index);
        let listener = listener.with_context(|| format!("no tunnel {index} in {listeners:?}"))?;
        Ok(SocketAddr::new(listener.address.parse()?, listener.port))
    }

    /// Runs `broker-ctl` against it, whatever comes of it.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(broker_program("broker-ctl")?);
        command.arg("--socket").arg(self.socket()).args(arguments);
        client::run(command, ANSWER_LIMIT).await
    }

    /// Asks through `broker-ctl --json`.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: &[&str]) -> anyhow::Result<T> {
        let arguments = [request, &["--json"]].concat();
        let answer = self.ctl(&arguments).await?.success()?;
        serde_json::from_slice(&answer.stdout)
            .with_context(|| format!("broker-ctl {request:?} says {}", answer.text()))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
