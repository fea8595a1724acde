//! Which SSH server is believed: keys, certificates and revocations as OpenSSH makes them, and what a person is told of
//! the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::ftp_server::FtpServer;
use testkit::scripted::Conversation;
use testkit::sshd::{Sshd, SshdOptions};

use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Login, ftp_tunnel};
use crate::support::{Need, trial};

const NEEDS: &[Need] = &[Need::Program("sshd"), Need::Program("ssh-keygen")];

/// The types of key that servers have.
const TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "hostkeys: probe-key shows what the server has",
            NEEDS,
            probe,
        ),
        trial("hostkeys: trust-host stores the key named", NEEDS, trust),
        trial(
            "hostkeys: trust-host asks only on a terminal",
            NEEDS,
            unattended,
        ),
        trial("hostkeys: an unknown key", NEEDS, unknown),
        trial("hostkeys: a changed key", NEEDS, changed),
        trial("hostkeys: a revoked key", NEEDS, revoked),
        trial(
            "hostkeys: each known type of key is asked for",
            NEEDS,
            preferred,
        ),
        trial(
            "hostkeys: a certificate of a known authority",
            NEEDS,
            certificate,
        ),
        trial("hostkeys: an expired certificate", NEEDS, expired),
        trial(
            "hostkeys: a certificate for another host",
            NEEDS,
            misdirected,
        ),
        trial(
            "hostkeys: a certificate of a revoked authority",
            NEEDS,
            revoked_authority,
        ),
        trial("hostkeys: trust on first use", NEEDS, first_use),
        trial("hostkeys: advisory", NEEDS, advisory),
        trial("hostkeys: a folder of known hosts", NEEDS, folder),
        trial("hostkeys: a store that others can write", NEEDS, open_store),
    ]
}

/// An sshd with a key of each type, an FTP server behind it, and a folder for what the test makes.
struct Bench {
    folder: TempDir,
    sshd: Sshd,
    ftp: FtpServer,
    _root: TempDir,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut lines = Vec::new();
        for kind in TYPES {
            lines.push(format!(
                "HostKey {}",
                keygen(folder.path(), kind, kind)?.display()
            ));
        }
        Self::with(folder, lines).await
    }

    /// An sshd whose Ed25519 key is certified by the authority `ca`, which `ssh-keygen` is given these options for.
    async fn certified(options: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = keygen(folder.path(), "ed25519", "ed25519")?;
        keygen(folder.path(), "ca", "ecdsa")?;
        let sign = ["-q", "-s", "ca", "-I", "the server", "-h"];
        run_keygen(folder.path(), &[&sign, options, &["ed25519.pub"]].concat())?;
        let lines = vec![
            format!("HostKey {}", key.display()),
            format!("HostCertificate {}-cert.pub", key.display()),
        ];
        Self::with(folder, lines).await
    }

    async fn with(folder: TempDir, extra_config: Vec<String>) -> anyhow::Result<Self> {
        let options = SshdOptions {
            extra_config,
            ..SshdOptions::default()
        };
        let root = tempfile::tempdir()?;
        fs::write(root.path().join("file"), CONTENT)?;
        Ok(Self {
            folder,
            sshd: Sshd::start(options).await?,
            ftp: FtpServer::start(root.path()).await?,
            _root: root,
        })
    }

    /// A broker with this policy and one FTP tunnel, whose known hosts are those that the test writes into `known`.
    async fn broker(&self, policy: &str, known: &str) -> anyhow::Result<Broker> {
        self.broker_with(policy, known, "").await
    }

    async fn broker_with(
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
        let mut login = Login::to(&self.sshd)?;
        login.host_key.clear();
        let tunnel = ftp_tunnel(self.ftp.addr().ip(), self.ftp.addr(), "");
        let profile = login.profile(&settings, &tunnel);
        let config = format!(
            "<secsh-broker><general>{general}</general><profiles>{profile}</profiles></secsh-broker>"
        );
        Broker::start(&config, &[]).await
    }

    fn known(&self) -> PathBuf {
        self.folder.path().join("known")
    }

    /// The name under which the server stands in known_hosts files.
    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.sshd.addr().port())
    }

    fn target(&self) -> String {
        format!("127.0.0.1#{}", self.sshd.addr().port())
    }

    /// A known_hosts line with one of the keys made for the test.
    fn line(&self, marker: &str, key: &str) -> anyhow::Result<String> {
        let public = fs::read_to_string(self.folder.path().join(format!("{key}.pub")))?;
        Ok(format!("{marker}{} {public}", self.name()))
    }

    fn fingerprint(&self, key: &str) -> anyhow::Result<String> {
        let said = run_keygen(self.folder.path(), &["-l", "-f", &format!("{key}.pub")])?;
        let fingerprint = said.split(' ').nth(1).map(str::to_owned);
        fingerprint.with_context(|| format!("no fingerprint in {said}"))
    }
}

/// Makes a key in a file of this name.
fn keygen(folder: &Path, name: &str, kind: &str) -> anyhow::Result<PathBuf> {
    run_keygen(folder, &["-q", "-t", kind, "-N", "", "-f", name])?;
    Ok(folder.join(name))
}

fn run_keygen(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("ssh-keygen");
    let output = command.args(arguments).current_dir(folder).output()?;
    let (said, error) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "ssh-keygen {arguments:?}: {error}");
    Ok(String::from_utf8(said.clone())?)
}

/// The broker's own store.
fn store(broker: &Broker) -> PathBuf {
    broker.folder().join(".ssh2/known_hosts")
}

async fn fetches(broker: &Broker) -> anyhow::Result<()> {
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

/// What a client reads that cannot be served, and what the log and broker-ctl say beside it: the same.
async fn refusal(broker: &Broker) -> anyhow::Result<String> {
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
    ensure!(
        broker.log().contains(told),
        "{told}\nis not in the log:\n{}",
        broker.log()
    );
    Ok(reason)
}

fn contains_all(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}

async fn probe() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let known = format!("{}@revoked * {}", bench.line("", "rsa")?, {
        let line = bench.line("", "ecdsa")?;
        line.split_once(' ').context("no line")?.1.to_owned()
    });
    let broker = bench.broker("strict", &known).await?;
    let keys = broker.json(&["probe-key", &bench.target()]).await?;
    let of = |algorithm: &str| {
        let mut keys = keys.as_array().into_iter().flatten();
        keys.find(|key| key["algorithm"] == algorithm)
            .context(algorithm.to_owned())
    };
    // sshd's launcher makes an Ed25519 key of its own, which sshd prefers to the test's.
    for (kind, algorithm, standing) in [
        ("ecdsa", "ecdsa-sha2-nistp256", "revoked"),
        ("rsa", "ssh-rsa", "known"),
    ] {
        let key = of(algorithm)?;
        ensure!(key["fingerprint"] == *bench.fingerprint(kind)?, "{key:#}");
        ensure!(key["standing"] == standing, "{key:#}");
        let pictured = run_keygen(bench.folder.path(), &["-lv", "-f", &format!("{kind}.pub")])?;
        let art = pictured
            .split_once('\n')
            .context("no picture")?
            .1
            .trim_end();
        ensure!(key["randomart"] == art, "{pictured}{key:#}");
        let text = broker.told(&["probe-key", &bench.target()]).await?;
        ensure!(text.contains(art), "{text}");
    }
    ensure!(of("ssh-ed25519")?["standing"] == "unknown", "{keys:#}");
    ensure!(keys.as_array().map(Vec::len) == Some(3), "{keys:#}");
    let short = broker.told(&["probe-key", "-s", "work"]).await?;
    ensure!(
        short.lines().count() == 3,
        "the profile is that server too: {short}"
    );
    Ok(())
}

async fn trust() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let broker = bench.broker("strict", "").await?;
    refusal(&broker).await?;
    refusal(&broker).await?;

    let made_up = format!("SHA256:{}", "A".repeat(43));
    let wrong = ["trust-host", &bench.target(), "--fingerprint", &made_up];
    let refused = broker.ctl(&wrong).await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    contains_all(
        &refused.stderr,
        &["has no host key", &bench.fingerprint("rsa")?],
    )?;
    ensure!(!store(&broker).exists());

    let fingerprint = bench.fingerprint("rsa")?;
    let right = ["trust-host", &bench.target(), "--fingerprint", &fingerprint];
    let key = broker.json(&right).await?;
    ensure!(
        key["standing"] == "known" && key["fingerprint"] == *fingerprint,
        "{key:#}"
    );
    // Though the last two clients were refused, the next one need not wait.
    fetches(&broker).await?;
    let stored = store(&broker).display().to_string();
    let found = run_keygen(
        bench.folder.path(),
        &["-l", "-F", &bench.name(), "-f", &stored],
    )?;
    ensure!(found.contains(&fingerprint), "{found}");
    Ok(())
}

async fn unattended() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let broker = bench.broker("ask", "").await?;
    let refused = broker.ctl(&["trust-host", &bench.target()]).await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    contains_all(&refused.stderr, &["--fingerprint"])?;
    ensure!(!store(&broker).exists());
    Ok(())
}

async fn unknown() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let strict = bench.broker("strict", "").await?;
    let said = refusal(&strict).await?;
    let advice = format!("broker-ctl trust-host {}", bench.target());
    contains_all(&said, &["is unknown", "SHA256:", &advice])?;
    ensure!(!store(&strict).exists());
    drop(strict);
    let ask = bench.broker("ask", "").await?;
    let said = refusal(&ask).await?;
    contains_all(&said, &["SHA256:", "broker-ctl auth-handler"])?;
    ensure!(!store(&ask).exists());
    Ok(())
}

async fn changed() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    keygen(bench.folder.path(), "other", "rsa")?;
    let known = format!("# a note\n{}", bench.line("", "other")?);
    for policy in ["strict", "tofu", "ask"] {
        let broker = bench.broker(policy, &known).await?;
        let said = refusal(&broker).await?;
        let place = format!("{} line 2", bench.known().display());
        let (shown, former) = (bench.fingerprint("rsa")?, bench.fingerprint("other")?);
        contains_all(&said, &["changed", &shown, &former, &place])?;
        ensure!(!store(&broker).exists());
    }
    Ok(())
}

async fn revoked() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let known = bench.line("", "rsa")? + &bench.line("@revoked ", "rsa")?;
    for policy in ["strict", "advisory"] {
        let broker = bench.broker(policy, &known).await?;
        let said = refusal(&broker).await?;
        let place = format!("{} line 2", bench.known().display());
        contains_all(&said, &["revoked", &bench.fingerprint("rsa")?, &place])?;
    }
    Ok(())
}

async fn preferred() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    for kind in ["ecdsa", "rsa"] {
        fs::write(bench.known(), bench.line("", kind)?)?;
        let known = bench.known().display().to_string();
        run_keygen(bench.folder.path(), &["-H", "-f", &known])?;
        let hashed = fs::read_to_string(bench.known())?;
        ensure!(hashed.starts_with("|1|"), "{hashed}");
        let broker = bench.broker("strict", &hashed).await?;
        fetches(&broker).await?;
        let connections = broker.json(&["list-connections"]).await?;
        let shown = connections[0]["host_key"].as_str().unwrap_or_default();
        ensure!(shown.contains(&bench.fingerprint(kind)?), "{connections:#}");
        ensure!(
            kind != "rsa" || shown.starts_with("rsa-sha2-512 "),
            "{shown}"
        );
    }
    Ok(())
}

async fn certificate() -> anyhow::Result<()> {
    let bench = Bench::certified(&["-n", "other,127.0.0.1", "-V", "-1d:+1d"]).await?;
    for hosts in ["127.0.0.*", "[127.*]:*"] {
        let authority = fs::read_to_string(bench.folder.path().join("ca.pub"))?;
        let known = format!("@cert-authority {hosts} {authority}");
        let broker = bench.broker("strict", &known).await?;
        fetches(&broker).await?;
        ensure!(!store(&broker).exists());
    }
    Ok(())
}

/// What is said of the certificate made with these options.
async fn certificate_refused(options: &[&str]) -> anyhow::Result<String> {
    let bench = Bench::certified(options).await?;
    let known = bench.line("@cert-authority ", "ca")?;
    let mut said = String::new();
    for policy in ["ask", "tofu", "strict"] {
        let broker = bench.broker(policy, &known).await?;
        said = refusal(&broker).await?;
        contains_all(&said, &["certificate", &bench.fingerprint("ed25519")?])?;
        ensure!(!store(&broker).exists());
    }
    // The key itself may be known all the same.
    let known = known + &bench.line("", "ed25519")?;
    fetches(&bench.broker("strict", &known).await?).await?;
    Ok(said)
}

async fn expired() -> anyhow::Result<()> {
    let said = certificate_refused(&["-n", "127.0.0.1", "-V", "-10d:-3d"]).await?;
    contains_all(&said, &["expired 3 days ago"])
}

async fn misdirected() -> anyhow::Result<()> {
    let said = certificate_refused(&["-n", "elsewhere.example"]).await?;
    contains_all(&said, &["it is for elsewhere.example, not for 127.0.0.1"])
}

async fn revoked_authority() -> anyhow::Result<()> {
    let bench = Bench::certified(&["-n", "127.0.0.1"]).await?;
    let authority = bench.line("@cert-authority ", "ca")?;
    for key in ["ca", "ed25519"] {
        let known = authority.clone() + &bench.line("@revoked ", key)?;
        let broker = bench.broker("advisory", &known).await?;
        contains_all(&refusal(&broker).await?, &["revoked", "line 2"])?;
    }
    Ok(())
}

async fn first_use() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let general = r#"<known-hosts filename-format="hash"/>"#;
    let mut broker = bench.broker_with("tofu", "", general).await?;
    fetches(&broker).await?;
    let stored = fs::read_to_string(store(&broker))?;
    ensure!(
        stored.starts_with("|1|") && stored.lines().count() == 1,
        "{stored}"
    );
    let file = store(&broker).display().to_string();
    run_keygen(bench.folder.path(), &["-F", &bench.name(), "-f", &file])?;
    broker.restart(&[]).await?;
    fetches(&broker).await?;
    ensure!(fs::read_to_string(store(&broker))? == stored);

    // Another server in the place of the first.
    let key = stored.split(' ').nth(2).context("no key")?.trim();
    let other = fs::read_to_string(bench.folder.path().join("ecdsa.pub"))?;
    let other: Vec<&str> = other.split(' ').take(2).collect();
    let swapped = stored.replace(&format!("ssh-ed25519 {key}"), &other.join(" "));
    ensure!(swapped != stored, "{stored}");
    fs::write(store(&broker), &swapped)?;
    fs::write(bench.known(), "")?;
    broker.restart(&[]).await?;
    fetches(&broker).await?;
    let connections = broker.json(&["list-connections"]).await?;
    let shown = connections[0]["host_key"].as_str().unwrap_or_default();
    ensure!(shown.starts_with("ecdsa-"), "{connections:#}");
    Ok(())
}

async fn advisory() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let broker = bench.broker("advisory", "").await?;
    fetches(&broker).await?;
    ensure!(fs::read_to_string(store(&broker))?.lines().count() == 1);
    drop(broker);
    keygen(bench.folder.path(), "other", "rsa")?;
    let broker = bench.broker("advisory", &bench.line("", "other")?).await?;
    fetches(&broker).await?;
    ensure!(!store(&broker).exists(), "a changed key is not stored");
    let warning = "host key has changed, accepted";
    ensure!(broker.log().contains(warning), "{}", broker.log());
    Ok(())
}

async fn folder() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let folder = bench.folder.path().join("folder");
    fs::create_dir(&folder)?;
    fs::write(folder.join("any name"), bench.line("", "ecdsa")?)?;
    let general = format!(r#"<known-hosts directory="{}"/>"#, folder.display());
    let broker = bench.broker_with("strict", "", &general).await?;
    fetches(&broker).await
}

async fn open_store() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::start().await?;
    let broker = bench.broker("tofu", "").await?;
    fetches(&broker).await?;
    let connections = broker.json(&["list-connections"]).await?;
    for connection in connections.as_array().into_iter().flatten() {
        let id = connection["id"].as_u64().map(|id| id.to_string());
        broker
            .told(&["close-connection", &id.context("no id")?])
            .await?;
    }
    fs::set_permissions(store(&broker), fs::Permissions::from_mode(0o666))?;
    let said = refusal(&broker).await?;
    let advice = format!("chmod go-w {}", store(&broker).display());
    contains_all(&said, &["other users can write", &advice])
}
