//! Logging in as the configuration says: methods, keys, passwords and algorithms against a real sshd, and what is told
//! where that fails.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::{Broker, BrokerOptions, write_private};
use testkit::client;
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::keys::KeyPair;
use testkit::process::Process;
use testkit::profile::{config, identity};
use testkit::programs::{broker_program, find_program};
use testkit::scripted::Conversation;
use testkit::sshd::{Sshd, SshdOptions};

use crate::support::fixture::{CONTENT, embedded};
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
            "authentication: a key and a password from systemd's credentials",
            WITH_PASSWORD,
            credentials,
        ),
        trial(
            "authentication: a key named by its hash is taken from the agent",
            &[SSHD, Need::Program("ssh")],
            by_hash,
        ),
        trial(
            "authentication: keys of a key store are tried where none is named",
            &[SSHD],
            key_store,
        ),
        trial(
            "authentication: an expired certificate is told",
            &[SSHD, Need::Program("ssh")],
            expired,
        ),
        trial(
            "authentication: every method refused is told with what the server takes",
            &[SSHD],
            refused,
        ),
        trial(
            "authentication: each attempt of a failed login is a line in the reply, broker-ctl and the doctor",
            &[SSHD],
            each_attempt,
        ),
        trial(
            "authentication: too many attempts are told",
            &[SSHD],
            too_many,
        ),
        trial(
            "authentication: algorithms are offered in the configured order",
            &[SSHD],
            algorithms,
        ),
        trial(
            "authentication: no common algorithm names both sides",
            &[SSHD],
            no_common,
        ),
        trial(
            "authentication: methods that are not supported are told at load",
            &[],
            unsupported,
        ),
        trial(
            "authentication: a file open to others is refused where access is controlled",
            &[],
            access,
        ),
        trial("authentication: FIPS is not pretended", &[], fips),
    ]
}

/// sshd with these lines of configuration, and an FTP server behind it.
async fn servers(lines: &[&str], password: Option<&str>) -> anyhow::Result<Servers<Sshd>> {
    let options = SshdOptions {
        password: password.map(str::to_owned),
        extra_config: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..SshdOptions::default()
    };
    embedded().ssh(options).servers().await
}

/// A file with one profile, which logs in as these elements say; `general` stands before it.
fn config_of(servers: &Servers<Sshd>, general: &str, login: String) -> anyhow::Result<String> {
    let mut profile = servers.profile()?;
    profile.login = login;
    Ok(config(general, [profile]))
}

async fn start_with_env(config: &str, env: &[(&str, &Path)]) -> anyhow::Result<Broker> {
    let options = BrokerOptions {
        env,
        ..BrokerOptions::default()
    };
    Broker::start_with(config, &options).await
}

async fn works(broker: &Broker) -> anyhow::Result<()> {
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
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
    let servers = servers(&lines, Some(PASSWORD)).await?;
    let password = r#"<password file="${CREDENTIALS_DIRECTORY}/ftp-password"/>"#;
    let config = config_of(
        &servers,
        "",
        identity(servers.ssh.identity_file()) + password,
    )?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ftp-password");
    fs::write(&file, format!("{PASSWORD}\n"))?;
    // As systemd leaves it for a service that does not run as root: readable by an access list, which shows as the group.
    fs::set_permissions(&file, Permissions::from_mode(0o440))?;
    let env = [("CREDENTIALS_DIRECTORY", directory.path())];
    let broker = start_with_env(&config, &env).await?;
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
    let servers = servers(&[], None).await?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("agent");
    let mut command = Command::new(find_program("ssh-agent").context("no ssh-agent")?);
    command.args(["-D", "-a"]).arg(&socket);
    let agent = Process::spawn(command, None)?;
    let listening = || socket.exists();
    eventually("the agent listens", listening).await?;
    let mut add = Command::new(find_program("ssh-add").context("no ssh-add")?);
    add.env("SSH_AUTH_SOCK", &socket)
        .arg(servers.ssh.identity_file());
    client::run(add, LIMIT).await?.success()?;
    let mut list = Command::new(find_program("ssh-add").context("no ssh-add")?);
    list.env("SSH_AUTH_SOCK", &socket).arg("-l");
    let listed = client::run(list, LIMIT).await?.success()?.text();
    let hash = listed.split_whitespace().nth(1).context("no fingerprint")?;
    let identity = format!(r#"<user-identities><identity hash="{hash}"/></user-identities>"#);
    let config = config_of(&servers, "", identity)?;
    let env = [("SSH_AUTH_SOCK", socket.as_path())];
    let broker = start_with_env(&config, &env).await?;
    works(&broker).await?;
    drop(agent);
    // Without the agent the key is nowhere.
    let broker = start_with_env(&config, &[("HOME", directory.path())]).await?;
    says(&refusal(&broker).await?, &["knows no private key", "hash"])
}

async fn key_store() -> anyhow::Result<()> {
    let servers = servers(&[], None).await?;
    let directory = servers.ssh.identity_file();
    let directory = directory
        .parent()
        .context("no directory")?
        .display()
        .to_string();
    let general = format!(
        r#"<key-stores><user-keys directory="{directory}" passphrase-timeout="600"/></key-stores>"#
    );
    let nowhere = tempfile::tempdir()?;
    let env = [("SSH_AUTH_SOCK", nowhere.path()), ("HOME", nowhere.path())];
    let broker = start_with_env(&config_of(&servers, &general, String::new())?, &env).await?;
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
    let servers = servers(&[&trust], None).await?;
    let file = directory.path().join("key");
    let config = config_of(&servers, "", identity(file))?;
    let broker = Broker::start(&config, &[]).await?;
    says(
        &refusal(&broker).await?,
        &["key-cert.pub (expired 2 days ago"],
    )
}

async fn refused() -> anyhow::Result<()> {
    let servers = servers(&["PasswordAuthentication yes"], None).await?;
    let directory = tempfile::tempdir()?;
    let key = KeyPair::generate()?.write(directory.path(), "unknown")?;
    write_private(&directory.path().join("password"), "hunter2\n")?;
    let password = directory.path().join("password");
    let elements = identity(key) + &format!(r#"<password file="{}"/>"#, password.display());
    let broker = Broker::start(&config_of(&servers, "", elements)?, &[]).await?;
    let reason = refusal(&broker).await?;
    let user = servers.ssh.user();
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

async fn each_attempt() -> anyhow::Result<()> {
    let servers = servers(&["PasswordAuthentication yes"], None).await?;
    let directory = tempfile::tempdir()?;
    let mut identities = String::new();
    let mut expected = Vec::new();
    for name in ["first", "second"] {
        let key = KeyPair::generate()?;
        let fingerprint = key.fingerprint();
        let file = key.write(directory.path(), name)?;
        identities += &format!(r#"<identity file="{}"/>"#, file.display());
        let file = file.display();
        expected.push(format!(
            "publickey, key {file}, {fingerprint}: not accepted"
        ));
    }
    let missing = directory.path().join("missing").display().to_string();
    identities += &format!(r#"<identity file="{missing}"/>"#);
    expected.push(format!(
        "publickey, key {missing}: No such file or directory (os error 2)"
    ));
    let password = directory.path().join("password");
    write_private(&password, "hunter2\n")?;
    expected.push("password: not accepted".to_owned());
    let elements = format!("<user-identities>{identities}</user-identities>")
        + &format!(r#"<password file="{}"/>"#, password.display());
    let broker = Broker::start(&config_of(&servers, "", elements)?, &[]).await?;

    let mut client = Conversation::connect(broker.listener(0).await?).await?;
    let told = String::from_utf8(client.rest().await?)?;
    let lines: Vec<&str> = told.lines().collect();
    let [heading, attempts @ .., last] = lines.as_slice() else {
        anyhow::bail!("{told}");
    };
    ensure!(heading.starts_with("421-Login of user "), "{told}");
    let in_reply: Vec<_> = expected.iter().map(|it| format!("421-  {it}")).collect();
    ensure!(*attempts == in_reply, "{told}");
    says(
        last,
        &[
            "421 ",
            "did not accept user",
            "/first, ",
            "/second, ",
            ", password; ",
        ],
    )?;

    let in_log = format!("1) {}; 2) {}; 3) ", expected[0], expected[1]);
    broker.wait_log(&in_log, LIMIT).await?;

    let open = ["open-tunnel-listener", "-L", "ftp/0:localhost:21", "work"];
    let printed = broker.ctl(&open).await?.stderr;
    let below: Vec<_> = expected.iter().map(|it| format!("  {it}")).collect();
    ensure!(printed.lines().skip(1).eq(&below), "{printed}");
    let open = [&open[..1], &["--json"], &open[1..]].concat();
    let error: Value = serde_json::from_str(&broker.ctl(&open).await?.stderr)?;
    listed(&error["error"]["data"]["tried"], &expected)?;
    let profiles = broker.json(&["list-profiles"]).await?;
    listed(&profiles[0]["tried"], &expected)?;

    let examined = broker.ctl(&["doctor", "--ascii", "work"]).await?.text();
    for line in &expected {
        let shown = examined.lines().any(|it| it.trim_start() == line);
        ensure!(shown, "{line} is not a line of {examined}");
    }
    ensure!(!(broker.log() + &told + &printed + &examined).contains("hunter2"));
    Ok(())
}

/// The attempts as programs get them.
fn listed(tried: &Value, expected: &[String]) -> anyhow::Result<()> {
    let tried = tried.as_array().context("no list")?;
    let texts = tried.iter().map(|it| it["text"].as_str());
    ensure!(
        texts.eq(expected.iter().map(|it| Some(it.as_str()))),
        "{tried:#?}"
    );
    let outcomes = tried.iter().filter(|it| it["outcome"] == "refused");
    ensure!(outcomes.count() == 3, "{tried:#?}");
    Ok(())
}

async fn too_many() -> anyhow::Result<()> {
    let servers = servers(&["MaxAuthTries 2"], None).await?;
    let directory = tempfile::tempdir()?;
    let mut identities = String::new();
    for number in 0..4 {
        let key = KeyPair::generate()?.write(directory.path(), &number.to_string())?;
        identities += &format!(r#"<identity file="{}"/>"#, key.display());
    }
    let elements = format!("<user-identities>{identities}</user-identities>");
    let broker = Broker::start(&config_of(&servers, "", elements)?, &[]).await?;
    says(
        &refusal(&broker).await?,
        &["Too many authentication failures", "name the right one"],
    )
}

async fn algorithms() -> anyhow::Result<()> {
    let servers = servers(&[], None).await?;
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
        let elements = identity(servers.ssh.identity_file()) + settings;
        let broker = Broker::start(&config_of(&servers, "", elements)?, &[]).await?;
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
    let servers = servers(&["Ciphers aes256-ctr"], None).await?;
    let chosen = r#"<ciphers><cipher name="aes128-gcm@openssh.com"/></ciphers>"#;
    let elements = identity(servers.ssh.identity_file()) + chosen;
    let broker = Broker::start(&config_of(&servers, "", elements)?, &[]).await?;
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
    let broker = Broker::start(&config("", [profile]), &[]).await?;
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
    says(&told, &["FIPS", "does not have"])
}
