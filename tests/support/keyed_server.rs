//! An SSH server with host keys as OpenSSH makes them, and a broker that has to decide about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::profile::{Profile, config};
use testkit::scripted::Conversation;
use testkit::sshd::{Sshd, SshdOptions};

use super::fixture::{CONTENT, SOON, embedded};
use super::needs::Need;

/// What the tests need of the machine.
pub(crate) const NEEDS: &[Need] = &[Need::Program("sshd"), Need::Program("ssh-keygen")];

/// The types of key that servers have.
const TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// An sshd with a key of each type, an FTP server behind it, and a directory for what the test makes.
pub(crate) struct KeyedServer {
    pub(crate) directory: TempDir,
    servers: Servers<Sshd>,
}

impl KeyedServer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut lines = Vec::new();
        for kind in TYPES {
            lines.push(format!(
                "HostKey {}",
                keygen(directory.path(), kind, kind)?.display()
            ));
        }
        Self::with(directory, lines).await
    }

    /// An sshd whose Ed25519 key is certified by the authority `ca`, which `ssh-keygen` is given these options for.
    pub(crate) async fn certified(options: &[&str]) -> anyhow::Result<Self> {
        Self::certified_by("ecdsa", options).await
    }

    /// As [`KeyedServer::certified`], where the authority has a key of this type.
    pub(crate) async fn certified_by(kind: &str, options: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let key = keygen(directory.path(), "ed25519", "ed25519")?;
        keygen(directory.path(), "ca", kind)?;
        let sign = ["-q", "-s", "ca", "-I", "the server", "-h"];
        run_keygen(
            directory.path(),
            &[&sign, options, &["ed25519.pub"]].concat(),
        )?;
        let lines = vec![
            format!("HostKey {}", key.display()),
            format!("HostCertificate {}-cert.pub", key.display()),
        ];
        Self::with(directory, lines).await
    }

    async fn with(directory: TempDir, extra_config: Vec<String>) -> anyhow::Result<Self> {
        let options = SshdOptions {
            extra_config,
            ..SshdOptions::default()
        };
        let servers = embedded().ssh(options).servers().await?;
        Ok(Self { directory, servers })
    }

    /// The port of the SSH server.
    pub(crate) fn port(&self) -> u16 {
        self.servers.ssh.addr().port()
    }

    /// A broker with this policy and one FTP tunnel, whose known hosts are those that the test writes into `known`.
    pub(crate) async fn broker(&self, policy: &str, known: &str) -> anyhow::Result<Broker> {
        self.broker_with(policy, known, "").await
    }

    pub(crate) async fn broker_with(
        &self,
        policy: &str,
        known: &str,
        general: &str,
    ) -> anyhow::Result<Broker> {
        fs::write(self.known(), known)?;
        let known = self.known();
        let general = format!(r#"<known-hosts path="{}"/>{general}"#, known.display());
        let settings = format!(
            r#"<server-authentication-methods><auth-server-publickey policy="{policy}"/></server-authentication-methods>"#
        );
        let profile = self.profile()?.with(&settings);
        Broker::start(&config(&general, [profile]), &[]).await
    }

    /// A profile that names no host key.
    pub(crate) fn profile(&self) -> anyhow::Result<Profile> {
        let mut profile = self.servers.profile()?;
        profile.host_key.clear();
        Ok(profile)
    }

    pub(crate) fn known(&self) -> PathBuf {
        self.directory.path().join("known")
    }

    /// The name under which the server stands in known_hosts files.
    pub(crate) fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.servers.ssh.addr().port())
    }

    pub(crate) fn target(&self) -> String {
        format!("127.0.0.1#{}", self.servers.ssh.addr().port())
    }

    /// A known_hosts line with one of the keys made for the test.
    pub(crate) fn line(&self, marker: &str, key: &str) -> anyhow::Result<String> {
        let public = fs::read_to_string(self.directory.path().join(format!("{key}.pub")))?;
        Ok(format!("{marker}{} {public}", self.name()))
    }

    pub(crate) fn fingerprint(&self, key: &str) -> anyhow::Result<String> {
        let said = run_keygen(self.directory.path(), &["-l", "-f", &format!("{key}.pub")])?;
        let fingerprint = said.split(' ').nth(1).map(str::to_owned);
        fingerprint.with_context(|| format!("no fingerprint in {said}"))
    }
}

/// Makes a key in a file of this name.
pub(crate) fn keygen(directory: &Path, name: &str, kind: &str) -> anyhow::Result<PathBuf> {
    run_keygen(directory, &["-q", "-t", kind, "-N", "", "-f", name])?;
    Ok(directory.join(name))
}

pub(crate) fn run_keygen(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("ssh-keygen");
    let output = command.args(arguments).current_dir(directory).output()?;
    let (said, error) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "ssh-keygen {arguments:?}: {error}");
    Ok(String::from_utf8(said.clone())?)
}

/// The broker's own store.
pub(crate) fn store(broker: &Broker) -> PathBuf {
    broker.directory().join(".ssh2/known_hosts")
}

pub(crate) async fn fetches(broker: &Broker) -> anyhow::Result<()> {
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

/// What a client reads that cannot be served, and what the log and broker-ctl say beside it: the same.
pub(crate) async fn refusal(broker: &Broker) -> anyhow::Result<String> {
    let mut client = Conversation::connect(broker.listener(0).await?).await?;
    let reply = client.reply().await?;
    let said = reply
        .strip_prefix("421 ")
        .with_context(|| format!("{reply:?}"))?
        .trim_end();
    let reason = said.split("; next try").next().unwrap_or(said).to_owned();
    let profiles = broker.json(&["list-profiles"]).await?;
    let told = profiles[0]["last_error"].as_str().unwrap_or_default();
    ensure!(
        said.contains(told) && !told.is_empty(),
        "421 {said}\nbroker-ctl: {told}"
    );
    broker.wait_log(told, SOON).await?;
    Ok(reason)
}

pub(crate) fn contains_all(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}
