//! Logging in as the configuration says: methods, keys, passwords and algorithms against a real sshd, and what is told
//! where that fails.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::broker::{Broker, write_private};
use testkit::client;
use testkit::ftp_server::FtpServer;
use testkit::keys::KeyPair;
use testkit::process::Process;
use testkit::programs::{broker_program, find_program};
use testkit::scripted::Conversation;
use testkit::sshd::{Sshd, SshdOptions};

use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Login, config, ftp_tunnel};
use crate::support::sockets::eventually;
use crate::support::{Need, trial};

const SSHD: Need = Need::Program("sshd");
const WITH_PASSWORD: &[Need] = &[
    SSHD,
    Need::Namespaces,
    Need::Program("unshare"),
    Need::Program("openssl"),
];

/// The password of the account that sshd lets in.
const PASSWORD: &str = "correct-horse";

const LIMIT: Duration = Duration::from_secs(30);

/// Exit status for a configuration that cannot be used.
const EXIT_CONFIG: i32 = 78;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "authentication::a_key_and_a_password_from_systemds_credentials",
            WITH_PASSWORD,
            credentials,
        ),
        trial(
            "authentication::a_key_named_by_its_hash_is_taken_from_the_agent",
            &[SSHD, Need::Program("ssh")],
            by_hash,
        ),
        trial(
            "authentication::keys_of_a_key_store_are_tried_where_none_is_named",
            &[SSHD],
            key_store,
        ),
        trial(
            "authentication::an_expired_certificate_is_told",
            &[SSHD, Need::Program("ssh")],
            expired,
        ),
        trial(
            "authentication::every_method_refused_is_told_with_what_the_server_takes",
            &[SSHD],
            refused,
        ),
        trial(
            "authentication::too_many_attempts_are_told",
            &[SSHD],
            too_many,
        ),
        trial(
            "authentication::algorithms_are_offered_in_the_configured_order",
            &[SSHD],
            algorithms,
        ),
        trial(
            "authentication::no_common_algorithm_names_both_sides",
            &[SSHD],
            no_common,
        ),
        trial(
            "authentication::methods_that_are_not_supported_are_told_at_load",
            &[],
            unsupported,
        ),
        trial(
            "authentication::a_file_open_to_others_is_refused_where_access_is_controlled",
            &[],
            access,
        ),
        trial("authentication::fips_is_not_pretended", &[], fips),
    ]
}

/// sshd and an FTP server behind it.
struct Servers {
    sshd: Sshd,
    ftp: FtpServer,
    _root: TempDir,
}

impl Servers {
    async fn start(lines: &[&str], password: Option<&str>) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        fs::write(root.path().join("file"), CONTENT)?;
        let options = SshdOptions {
            password: password.map(str::to_owned),
            extra_config: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..SshdOptions::default()
        };
        Ok(Self {
            sshd: Sshd::start(options).await?,
            ftp: FtpServer::start(root.path()).await?,
            _root: root,
        })
    }

    /// A file with one profile, which has these elements and an FTP tunnel; `general` stands before it.
    fn config(&self, general: &str, elements: &str) -> anyhow::Result<String> {
        let login = Login::to(&self.sshd)?;
        let tunnel = ftp_tunnel(Ipv4Addr::LOCALHOST.into(), self.ftp.addr(), "");
        let profile = login.profile(elements, &tunnel);
        // The rig's profile names the right key; these tests name their own.
        let (before, rest) = profile
            .split_once("<user-identities>")
            .context("no identities")?;
        let (_, after) = rest.split_once("</user-identities>").context("no end")?;
        let whole = config(&format!("{before}{after}"));
        Ok(whole.replacen("<profiles>", &format!("{general}<profiles>"), 1))
    }

    fn identity(&self) -> String {
        let file = self.sshd.identity_file();
        format!(
            r#"<user-identities><identity file="{}"/></user-identities>"#,
            file.display()
        )
    }
}

async fn works(broker: &Broker) -> anyhow::Result<()> {
    let fetched = async {
        let mut ftp = Ftp::login(broker.listener(0).await?).await?;
        ftp.fetch("file").await
    };
    let fetched = fetched.await.with_context(|| broker.log())?;
    ensure!(fetched == CONTENT);
    Ok(())
}

/// What a client reads where the login fails; the log must say the same.
async fn refusal(broker: &Broker) -> anyhow::Result<String> {
    let listener: SocketAddr = broker.listener(0).await?;
    let mut client = Conversation::connect(listener).await?;
    let reply = client.reply().await?;
    ensure!(reply.starts_with("421 "), "{reply}");
    let reason = reply.trim_end().trim_start_matches("421 ").to_owned();
    let told = || broker.log().contains("cannot connect");
    eventually("the log tells it too", told).await?;
    Ok(reason)
}

fn says(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    let missing = parts.iter().find(|part| !text.contains(**part));
    ensure!(missing.is_none(), "no {missing:?} in {text:?}");
    Ok(())
}

async fn credentials() -> anyhow::Result<()> {
    let lines = ["AuthenticationMethods publickey,password"];
    let servers = Servers::start(&lines, Some(PASSWORD)).await?;
    let password = r#"<password file="${CREDENTIALS_DIRECTORY}/ftp-password"/>"#;
    let config = servers.config("", &format!("{}{password}", servers.identity()))?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ftp-password");
    fs::write(&file, format!("{PASSWORD}\n"))?;
    // As systemd leaves it for a service that does not run as root: readable by an access list, which shows as the group.
    fs::set_permissions(&file, Permissions::from_mode(0o440))?;
    let env = [("CREDENTIALS_DIRECTORY", directory.path())];
    let broker = Broker::start_with_env(&config, &env).await?;
    works(&broker).await?;
    ensure!(
        !broker.log().contains(PASSWORD),
        "the password is in the log"
    );
    // Anywhere else such a file would be open to its group.
    let elsewhere = config.replace(
        "${CREDENTIALS_DIRECTORY}",
        &directory.path().display().to_string(),
    );
    let broker = Broker::start(&elsewhere, &[]).await?;
    says(&refusal(&broker).await?, &["ftp-password", "chmod 600"])
}

async fn by_hash() -> anyhow::Result<()> {
    let servers = Servers::start(&[], None).await?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("agent");
    let mut command = Command::new(find_program("ssh-agent").context("no ssh-agent")?);
    command.args(["-D", "-a"]).arg(&socket);
    let agent = Process::spawn(command, None)?;
    let listening = || socket.exists();
    eventually("the agent listens", listening).await?;
    let mut add = Command::new(find_program("ssh-add").context("no ssh-add")?);
    add.env("SSH_AUTH_SOCK", &socket)
        .arg(servers.sshd.identity_file());
    client::run(add, LIMIT).await?.success()?;
    let mut list = Command::new(find_program("ssh-add").context("no ssh-add")?);
    list.env("SSH_AUTH_SOCK", &socket).arg("-l");
    let listed = client::run(list, LIMIT).await?.success()?.text();
    let hash = listed.split_whitespace().nth(1).context("no fingerprint")?;
    let identity = format!(r#"<user-identities><identity hash="{hash}"/></user-identities>"#);
    let config = servers.config("", &identity)?;
    let env = [("SSH_AUTH_SOCK", socket.as_path())];
    let broker = Broker::start_with_env(&config, &env).await?;
    works(&broker).await?;
    drop(agent);
    // Without the agent the key is nowhere.
    let broker = Broker::start_with_env(&config, &[("HOME", directory.path())]).await?;
    says(
        &refusal(&broker).await?,
        &["no private key is known", "hash"],
    )
}

async fn key_store() -> anyhow::Result<()> {
    let servers = Servers::start(&[], None).await?;
    let directory = servers.sshd.identity_file();
    let directory = directory
        .parent()
        .context("no directory")?
        .display()
        .to_string();
    let general = format!(
        r#"<general><key-stores><user-keys directory="{directory}" passphrase-timeout="600"/></key-stores></general>"#
    );
    let nowhere = tempfile::tempdir()?;
    let env = [("SSH_AUTH_SOCK", nowhere.path()), ("HOME", nowhere.path())];
    let broker = Broker::start_with_env(&servers.config(&general, "")?, &env).await?;
    works(&broker).await
}

async fn expired() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let keygen = async |args: &[&str]| {
        let mut keygen = Command::new(find_program("ssh-keygen").context("no ssh-keygen")?);
        keygen.current_dir(directory.path()).arg("-q").args(args);
        client::run(keygen, LIMIT).await?.success()
    };
    keygen(&["-t", "ed25519", "-N", "", "-f", "ca"]).await?;
    keygen(&["-t", "ed25519", "-N", "", "-f", "key"]).await?;
    keygen(&["-s", "ca", "-I", "test", "-V", "-3d:-2d", "key.pub"]).await?;
    let trust = format!("TrustedUserCAKeys {}/ca.pub", directory.path().display());
    let servers = Servers::start(&[&trust], None).await?;
    let file = directory.path().join("key");
    let identity = format!(
        r#"<user-identities><identity file="{}"/></user-identities>"#,
        file.display()
    );
    let broker = Broker::start(&servers.config("", &identity)?, &[]).await?;
    says(
        &refusal(&broker).await?,
        &["key-cert.pub expired 2 days ago"],
    )
}

async fn refused() -> anyhow::Result<()> {
    let servers = Servers::start(&["PasswordAuthentication yes"], None).await?;
    let directory = tempfile::tempdir()?;
    let key = KeyPair::generate()?.write(directory.path(), "unknown")?;
    write_private(&directory.path().join("password"), "hunter2\n")?;
    let elements = format!(
        r#"<user-identities><identity file="{}"/></user-identities><password file="{}/password"/>"#,
        key.display(),
        directory.path().display()
    );
    let broker = Broker::start(&servers.config("", &elements)?, &[]).await?;
    let reason = refusal(&broker).await?;
    let user = servers.sshd.user();
    says(
        &reason,
        &[
            "did not accept",
            user,
            "/unknown",
            "password",
            "allows publickey",
        ],
    )?;
    let listed = broker.json(&["list-profiles"]).await?;
    let listed = listed[0]["last_error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(reason.contains(&listed), "{listed}\n{reason}");
    ensure!(!broker.log().contains("hunter2"));
    Ok(())
}

async fn too_many() -> anyhow::Result<()> {
    let servers = Servers::start(&["MaxAuthTries 2"], None).await?;
    let directory = tempfile::tempdir()?;
    let mut identities = String::new();
    for number in 0..4 {
        let key = KeyPair::generate()?.write(directory.path(), &number.to_string())?;
        identities += &format!(r#"<identity file="{}"/>"#, key.display());
    }
    let elements = format!("<user-identities>{identities}</user-identities>");
    let broker = Broker::start(&servers.config("", &elements)?, &[]).await?;
    says(
        &refusal(&broker).await?,
        &["Too many authentication failures", "name the right key"],
    )
}

async fn algorithms() -> anyhow::Result<()> {
    let servers = Servers::start(&[], None).await?;
    let chosen = r#"
        <ciphers><cipher name="aes256-ctr"/><cipher name="aes128-gcm@openssh.com"/></ciphers>
        <macs><mac name="hmac-sha2-512-etm@openssh.com"/><mac name="hmac-sha2-256"/></macs>
        <kexs><kex name="ecdh-sha2-nistp384"/><kex name="curve25519-sha256"/></kexs>"#;
    for (settings, cipher, mac, kex) in [
        ("", "aes128-gcm@openssh.com", r#""mac":null"#, None),
        (
            chosen,
            "aes256-ctr",
            "hmac-sha2-512-etm@openssh.com",
            Some("ecdh-sha2-nistp384"),
        ),
    ] {
        let elements = format!("{}{settings}", servers.identity());
        let broker = Broker::start(&servers.config("", &elements)?, &[]).await?;
        works(&broker).await?;
        let listed = broker.json(&["list-connections"]).await?;
        let id = listed[0]["id"].to_string();
        let status = broker.json(&["connection-status", &id]).await?;
        let shown = status.to_string();
        says(&shown, &[cipher, mac])?;
        if let Some(kex) = kex {
            says(&shown, &[kex])?;
        }
    }
    Ok(())
}

async fn no_common() -> anyhow::Result<()> {
    let servers = Servers::start(&["Ciphers aes256-ctr"], None).await?;
    let chosen = r#"<ciphers><cipher name="aes128-gcm@openssh.com"/></ciphers>"#;
    let elements = format!("{}{chosen}", servers.identity());
    let broker = Broker::start(&servers.config("", &elements)?, &[]).await?;
    says(
        &refusal(&broker).await?,
        &["it offers aes256-ctr", "the profile allows aes128-gcm"],
    )
}

async fn unsupported() -> anyhow::Result<()> {
    let methods =
        "<authentication-methods><auth-gssapi/><auth-hostbased/></authentication-methods>";
    let tunnel = r#"<tunnels><local-tunnel type="ftp" listen-port="0"/></tunnels>"#;
    let profile =
        format!(r#"<profile id="a" host="127.0.0.1" user="u">{methods}{tunnel}</profile>"#);
    let broker = Broker::start(&config(&profile), &[]).await?;
    let log = broker.log();
    for name in ["GSSAPI", "host-based"] {
        let told = log.lines().filter(|line| {
            line.contains("WARN")
                && line.contains(&format!("{name} authentication is not supported"))
        });
        ensure!(told.count() == 1, "{name}: {log}");
    }
    let listed = broker.json(&["list-tunnel-listeners"]).await?;
    says(
        &listed.to_string(),
        &["only authentication methods that are not supported"],
    )
}

/// How brokerd ends on this configuration, and what it says.
async fn fails_to_start(directory: &Path, config: &str, mode: u32) -> anyhow::Result<String> {
    let file = directory.join("config.xml");
    fs::write(&file, config)?;
    fs::set_permissions(&file, Permissions::from_mode(mode))?;
    let mut command = Command::new(broker_program("brokerd")?);
    command.arg("--config").arg(&file);
    command.arg("--socket").arg(directory.join("run/socket"));
    let output = client::run(command, LIMIT).await?;
    ensure!(output.status.code() == Some(EXIT_CONFIG), "{output:?}");
    Ok(output.stderr)
}

async fn access() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let config =
        r#"<secsh-broker><general><file-access-control enable="yes"/></general></secsh-broker>"#;
    let told = fails_to_start(directory.path(), config, 0o644).await?;
    says(
        &told,
        &["other users can read or write", "config.xml", "chmod 600"],
    )?;
    // With nobody else to read it, it is taken.
    Broker::start(config, &[]).await.map(drop)
}

async fn fips() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let config = r#"<secsh-broker><general><crypto-lib mode="fips"/></general></secsh-broker>"#;
    let told = fails_to_start(directory.path(), config, 0o600).await?;
    says(&told, &["FIPS", "will not pretend"])
}
