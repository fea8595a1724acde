//! HAProxy with a configuration of the caller's, in a namespace.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::netns::Netns;
use crate::process::Process;
use crate::programs::HAPROXY;
use crate::server_logs;

/// HAProxy does not say when it listens: it is asked this often.
const READY_POLL: Duration = Duration::from_millis(20);

/// Starting takes a fraction of a second; a busy machine may take its time.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A running HAProxy; dropping it ends it.
pub struct Haproxy {
    process: Process,
    _directory: TempDir,
}

impl Haproxy {
    /// Starts it and waits until it listens at an address.
    ///
    /// # Errors
    /// When it is not installed or does not start; the message shows its log.
    pub async fn start(
        config: &str,
        variables: &[(&str, String)],
        netns: &Netns,
        listens: SocketAddr,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for haproxy")?;
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, config)?;
        let mut command = Command::new(HAPROXY.find()?);
        command.arg("-db").arg("-f").arg(file);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut haproxy = Self {
            process: Process::spawn(command, Some(netns))?,
            _directory: directory,
        };
        haproxy.wait_ready(netns, listens).await?;
        Ok(haproxy)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn wait_ready(&mut self, netns: &Netns, listens: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while netns.connect(listens).is_err() {
            let runs = self.process.is_running() && Instant::now() < deadline;
            anyhow::ensure!(runs, "haproxy does not listen:\n{}", self.log());
            // tidy: sleeps because haproxy cannot tell when it listens
            sleep(READY_POLL).await;
        }
        Ok(())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        server_logs::hand_in("haproxy", &self.log());
    }
}
