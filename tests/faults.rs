//! What goes wrong is told in one clear line to whoever is concerned, and the daemon goes on.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::{Broker, write_private};
use testkit::client;
use testkit::keys::KeyPair;
use testkit::relay::{Relay, RelayOptions};
use testkit::scripted::{Conversation, End, ScriptedListener};
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::ftp::{Ftp, port_command};
use crate::support::rig::{CONTENT, Login, Peers, SOON, Servers, config, ftp_tunnel};
use crate::support::sockets::{closed_port, eventually};
use crate::support::{Need, trial};

const REAL: &[Need] = &[Need::Program("sshd"), Need::Program("vsftpd")];
const REAL_AND_CURL: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("curl"),
];

/// A small transfer on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A packet on loopback that takes longer was dropped; the next try comes after a second.
const DROPPED: Duration = Duration::from_millis(500);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "faults: a client key the server does not accept",
            &[],
            wrong_client_key,
        ),
        trial("faults: an unknown host key", &[], unknown_host_key),
        trial("faults: a changed host key", &[], changed_host_key),
        trial("faults: a key file that is missing", &[], missing_key_file),
        trial(
            "faults: a key file that others may read",
            &[],
            open_key_file,
        ),
        trial("faults: a key file that holds no key", &[], not_a_key_file),
        trial(
            "faults: a password file that others may read",
            &[],
            open_password_file,
        ),
        trial(
            "faults: an SSH server that refuses the connection",
            &[],
            refused_server,
        ),
        trial(
            "faults: an SSH server that never answers",
            &[],
            silent_server,
        ),
        trial(
            "faults: an SSH server whose host drops packets",
            &[],
            dropping_server,
        ),
        trial(
            "faults: an SSH server that closes in the greeting",
            &[],
            closing_server,
        ),
        trial("faults: an FTP server that is down", &[], ftp_server_down),
        trial(
            "faults: an FTP server that closes in the greeting",
            &[],
            closing_ftp_server,
        ),
        trial("faults: a listen port in use", &[], port_in_use),
        trial(
            "faults: a data channel that is refused",
            &[],
            data_channel_refused,
        ),
        trial(
            "faults: a client that leaves in the middle",
            &[],
            client_leaves,
        ),
        trial(
            "faults: a client that never comes for its data",
            REAL,
            client_never_comes,
        ),
        trial("faults: AllowTcpForwarding no", REAL, || {
            forwarding_refused("no")
        }),
        trial("faults: AllowTcpForwarding remote", REAL, || {
            forwarding_refused("remote")
        }),
        trial(
            "faults: AllowTcpForwarding local, active mode",
            REAL_AND_CURL,
            active_refused,
        ),
    ]
}

/// A broker with two tunnels: one that cannot work, and a good one whose servers are the testkit's.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    bad: SocketAddr,
    good: SocketAddr,
    _peers: Peers,
}

impl Rig {
    /// The bad tunnel's profile is the good one's with something changed, and these elements of settings.
    pub(crate) async fn start(
        settings: &str,
        spoil: impl FnOnce(&mut Login),
    ) -> anyhow::Result<Self> {
        let peers = Peers::start().await?;
        let mut login = peers.embedded.login.clone();
        spoil(&mut login);
        let bad = login.profile(settings, &peers.tunnel());
        Self::with(peers, bad).await
    }

    pub(crate) async fn with(peers: Peers, bad: String) -> anyhow::Result<Self> {
        let good = peers.embedded.login.profile("", &peers.tunnel());
        let good = good.replace(r#"id="id1" name="work""#, r#"id="good""#);
        let broker = Broker::start(&config(&(bad + &good)), &[]).await?;
        Ok(Self {
            bad: broker.listener(0).await?,
            good: broker.listener(1).await?,
            broker,
            _peers: peers,
        })
    }

    /// Each of these must be in the FTP reply, in what `broker-ctl` prints, and in the log, in one line each time.
    pub(crate) async fn tells(&self, parts: &[&str]) -> anyhow::Result<()> {
        let reply = refusal(self.bad).await?;
        ensure!(reply.starts_with("421 "), "{reply}");
        says(&reply, parts).context("the FTP reply")?;

        let listed = self.broker.json(&["list-profiles"]).await?;
        let listed = listed[0]["last_error"].as_str().unwrap_or_default();
        says(listed, parts).context("list-profiles")?;

        let open = ["open-tunnel-listener", "-L", "ftp/0:localhost:21", "work"];
        let output = self.broker.ctl(&open).await?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        says(&output.stderr, parts).context("open-tunnel-listener")?;
        let listeners = self.broker.json(&["list-tunnel-listeners"]).await?;
        let count = listeners.as_array().map_or(0, Vec::len);
        ensure!(
            count == 2,
            "a tunnel that cannot work stays open: {listeners:#}"
        );

        self.logs(parts).await?;
        self.goes_on().await
    }

    async fn logs(&self, parts: &[&str]) -> anyhow::Result<()> {
        warns(&self.broker, parts).await
    }

    async fn goes_on(&self) -> anyhow::Result<()> {
        let mut ftp = Ftp::login(self.good).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        Ok(())
    }
}

/// The one line a client gets that cannot be served, after which its connection ends in order.
async fn refusal(tunnel: SocketAddr) -> anyhow::Result<String> {
    let mut client = Conversation::connect(tunnel).await?;
    let reply = client.text().await?;
    let rest = client.rest().await?;
    ensure!(
        rest.is_empty(),
        "more than one line: {:?}",
        String::from_utf8_lossy(&rest)
    );
    Ok(reply)
}

/// Waits for a warning with all the parts in one line of the log, which may come a little after what it is about.
async fn warns(broker: &Broker, parts: &[&str]) -> anyhow::Result<()> {
    let warned = || {
        let log = broker.log();
        let mut warnings = log.lines().filter(|line| line.contains(" WARN "));
        warnings.any(|line| says(line, parts).is_ok())
    };
    let waited = eventually("the warning is in the log", warned).await;
    waited.with_context(|| format!("{parts:?} in:\n{}", broker.log()))
}

/// The text is one line and has all the parts.
fn says(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{text:?} does not say {part:?}");
    }
    ensure!(
        text.trim_end().lines().count() == 1,
        "more than one line: {text:?}"
    );
    Ok(())
}

async fn wrong_client_key() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let other = KeyPair::generate()?.write(directory.path(), "other")?;
    let key = format!("key {}", other.display());
    let rig = Rig::start("", |login| login.identity = other.clone()).await?;
    rig.tells(&[
        "did not accept user user",
        &key,
        "the server allows",
        "publickey",
    ])
    .await
}

async fn unknown_host_key() -> anyhow::Result<()> {
    let rig = Rig::start("", |login| login.host_key.clear()).await?;
    rig.tells(&[
        "the prompt to confirm the host key of 127.0.0.1:",
        "ssh-ed25519 SHA256:",
        "nobody is attached to answer it",
        "auth-handler",
    ])
    .await
}

async fn changed_host_key() -> anyhow::Result<()> {
    let other = KeyPair::generate()?.public_openssh()?;
    let rig = Rig::start("", |login| login.host_key = other).await?;
    rig.tells(&[
        "host key",
        "has changed",
        "SHA256:",
        "the profile's hostkey",
    ])
    .await
}

async fn missing_key_file() -> anyhow::Result<()> {
    let rig = Rig::start("", |login| login.identity = "/no/such/key".into()).await?;
    rig.tells(&["private key /no/such/key cannot be used", "No such file"])
        .await
}

async fn open_key_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let key = KeyPair::generate()?.write(directory.path(), "open")?;
    fs::set_permissions(&key, Permissions::from_mode(0o644))?;
    let mend = format!("chmod 600 {}", key.display());
    let rig = Rig::start("", |login| login.identity = key).await?;
    rig.tells(&["private key", "other users", &mend]).await
}

async fn not_a_key_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("text");
    write_private(&file, "shopping list")?;
    let rig = Rig::start("", |login| login.identity = file.clone()).await?;
    rig.tells(&[
        &format!("private key {}", file.display()),
        "not a private key",
    ])
    .await
}

async fn open_password_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("password");
    fs::write(&file, "sesame-street\n")?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    let peers = Peers::start().await?;
    let bad = peers.embedded.login.profile("", &peers.tunnel());
    let identities = "<user-identities>";
    let (before, after) = bad.split_once(identities).context("no identities")?;
    let (_, after) = after.split_once("</user-identities>").context("no end")?;
    let password = format!(r#"<password file="{}"/>"#, file.display());
    let methods = "<authentication-methods><auth-password/></authentication-methods>";
    let rig = Rig::with(peers, format!("{before}{password}{methods}{after}")).await?;
    let mend = format!("chmod 600 {}", file.display());
    rig.tells(&["password", "other users can read it", &mend])
        .await?;
    ensure!(
        !rig.broker.log().contains("sesame"),
        "the password is in the log"
    );
    Ok(())
}

async fn refused_server() -> anyhow::Result<()> {
    let nobody = closed_port().await?;
    let rig = Rig::start("", |login| login.server = nobody).await?;
    rig.tells(&[
        "cannot connect to SSH server",
        &nobody.to_string(),
        "refused",
    ])
    .await
}

async fn silent_server() -> anyhow::Result<()> {
    let nobody = ScriptedListener::bind().await?;
    let limit = r#"<tcp-connect-timeout time="1"/>"#;
    let rig = Rig::start(limit, |login| login.server = nobody.addr()).await?;
    rig.tells(&[&nobody.addr().to_string(), "longer than 1 s"])
        .await
}

/// A host that drops the packets of a new connection, as a firewall does: here because its queue is full.
async fn dropping_server() -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let nobody = socket.listen(1)?;
    let address = nobody.local_addr()?;
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(DROPPED, TcpStream::connect(address)).await {
        queue.push(connected?);
    }
    let limit = r#"<tcp-connect-timeout time="1"/>"#;
    let rig = Rig::start(limit, |login| login.server = address).await?;
    // The bound of the one address and that of all together are the same here; either may tell.
    rig.tells(&["SSH server", &address.to_string()]).await
}

async fn closing_server() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let rig = Rig::start("", |login| login.server = server).await?;
    let closes = async {
        loop {
            drop(listener.accept().await);
        }
    };
    let address = server.to_string();
    let parts = ["SSH handshake with", &address];
    tokio::select! {
        told = rig.tells(&parts) => told,
        () = closes => Ok(()),
    }
}

async fn ftp_server_down() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let nobody = closed_port().await?;
    let tunnel = ftp_tunnel(Ipv4Addr::LOCALHOST.into(), nobody, "");
    let bad = peers.embedded.login.profile("", &tunnel);
    let rig = Rig::with(peers, bad).await?;
    let parts = ["did not open a channel to", &nobody.to_string()];
    let reply = refusal(rig.bad).await?;
    ensure!(reply.starts_with("421 "), "{reply}");
    says(&reply, &parts)?;
    rig.logs(&parts).await?;
    rig.goes_on().await
}

async fn closing_ftp_server() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let server = ScriptedListener::bind().await?;
    let tunnel = ftp_tunnel(Ipv4Addr::LOCALHOST.into(), server.addr(), "");
    let bad = peers.embedded.login.profile("", &tunnel);
    let rig = Rig::with(peers, bad).await?;
    let closes = async {
        drop(server.accept().await?);
        anyhow::Ok(())
    };
    let (closed, reply) = tokio::join!(closes, refusal(rig.bad));
    closed?;
    let reply = reply?;
    ensure!(reply.starts_with("421 "), "{reply}");
    let parts = [&*server.addr().to_string(), "without a greeting"];
    says(&reply, &parts)?;
    rig.logs(&parts).await?;
    rig.goes_on().await
}

async fn port_in_use() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let address = taken.local_addr()?.to_string();
    let peers = Peers::start().await?;
    let port = format!(r#"listen-port="{}""#, taken.local_addr()?.port());
    let bad = peers.tunnel().replace(r#"listen-port="0""#, &port);
    let file = peers.embedded.login.config("", &(bad + &peers.tunnel()));
    let broker = Broker::start(&file, &[]).await?;

    let parts = [&*address, "in use"];
    let listeners = broker.json(&["list-tunnel-listeners"]).await?;
    ensure!(listeners[0]["state"] == "failed", "{listeners:#}");
    says(listeners[0]["reason"].as_str().unwrap_or_default(), &parts)?;
    warns(&broker, &parts).await?;
    let spec = format!("ftp/{}:localhost:21", taken.local_addr()?.port());
    let output = broker
        .ctl(&["open-tunnel-listener", "-L", &spec, "work"])
        .await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    says(&output.stderr, &parts).context("open-tunnel-listener")?;
    let mut ftp = Ftp::login(broker.listener(1).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);

    // It is taken as soon as it is to be had.
    drop(taken);
    let listens = |listeners: &serde_json::Value| listeners[0]["state"] == "listening";
    broker
        .wait_json(&["list-tunnel-listeners"], LIMIT, listens)
        .await?;
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn data_channel_refused() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let ssh = &peers.embedded.ssh;
    // On a long line the client has connected before the refusal comes.
    let mut line = RelayOptions::to(ssh.addr());
    line.delay = Duration::from_millis(50);
    let line = Relay::start_with(line).await?;
    let mut login = peers.embedded.login.clone();
    login.server = line.addr();
    let broker = Broker::start(&login.config("", &peers.tunnel()), &[]).await?;
    let listens = broker.listener(0).await?;
    let mut ftp = Ftp::login(listens).await?;
    ssh.set_allow_local_forward(false);
    for command in ["PASV", "EPSV"] {
        let reply = ftp.ask(command, "425 ").await?;
        says(&reply, &["did not open a channel to 127.0.0.1:"])?;
    }
    ssh.set_allow_local_forward(true);
    ensure!(ftp.fetch("file").await? == CONTENT);

    // From then on the client is told at once: what it gets then must not look like an empty file.
    ssh.set_allow_local_forward(false);
    let announced = ftp.announced("EPSV").await?;
    let ended = Conversation::connect(announced).await?.end().await?;
    ensure!(ended == End::Reset, "the data connection ended in order");
    ssh.set_allow_local_forward(true);
    let mut ftp = Ftp::login(listens).await?;
    ensure!(ftp.fetch("file").await? == CONTENT, "{}", broker.log());
    Ok(())
}

async fn client_leaves() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let broker = Broker::start(&peers.config(), &[]).await?;
    let listens = broker.listener(0).await?;
    testkit::files::write_pattern(&peers.root.path().join("big"), 1, 64 << 20)?;
    for leave in [End::Orderly, End::Reset] {
        let mut ftp = Ftp::login(listens).await?;
        let mut data = ftp.passive("EPSV").await?;
        ftp.ask("RETR big", "150").await?;
        data.bytes(100_000).await?;
        if leave == End::Reset {
            data.reset();
        }
    }
    let mut ftp = Ftp::login(listens).await?;
    let mut data = ftp.passive("EPSV").await?;
    ftp.ask("STOR half", "150").await?;
    data.send(vec![1; 100_000]).await?;
    drop((ftp, data));
    let none = |channels: &serde_json::Value| channels.as_array().is_some_and(Vec::is_empty);
    broker.wait_json(&["list-channels"], SOON, none).await?;
    let mut ftp = Ftp::login(listens).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let log = broker.log();
    ensure!(!log.contains("panic"), "{log}");
    Ok(())
}

async fn client_never_comes() -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    // More than what is under way takes: the server does not look at its control connection before it is through.
    testkit::files::write_pattern(&servers.ftp.root().join("big"), 1, 64 << 20)?;
    let (broker, listens) = servers.broker(&[]).await?;
    let mut ftp = Ftp::login(listens).await?;
    ftp.announced("EPSV").await?;
    ftp.control().send("RETR big\r\n").await?;
    drop(ftp);
    let none = |channels: &serde_json::Value| channels.as_array().is_some_and(Vec::is_empty);
    broker.wait_json(&["list-channels"], SOON, none).await?;
    eventually("the end of the FTP server's session", || {
        servers.ftp.session_pids().is_empty()
    })
    .await
}

async fn forwarding_refused(allowed: &'static str) -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: allowed,
        ..SshdOptions::default()
    };
    let servers = Servers::start(sshd, VsftpdOptions::default()).await?;
    let (broker, listens) = servers.broker(&[]).await?;
    let reply = refusal(listens).await?;
    ensure!(reply.starts_with("421 "), "{reply}");
    let parts = [
        "did not open a channel to",
        "prohibited",
        "AllowTcpForwarding",
    ];
    says(&reply, &parts)?;
    warns(&broker, &parts).await
}

async fn active_refused() -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: "local",
        ..SshdOptions::default()
    };
    let servers = Servers::start(sshd, VsftpdOptions::default()).await?;
    fs::write(servers.ftp.root().join("file"), CONTENT)?;
    let (_broker, listens) = servers.broker(&[]).await?;
    let mut ftp = Ftp::login(listens).await?;
    let own = ScriptedListener::bind().await?;
    for verb in ["PORT", "EPRT"] {
        let reply = ftp.ask(&port_command(verb, own.addr()), "425 ").await?;
        says(
            &reply,
            &["refused to listen on 127.0.0.1", "AllowTcpForwarding"],
        )?;
    }
    ensure!(ftp.fetch("file").await? == CONTENT);
    // An ordinary client fails, and with a reason.
    let url = format!("ftp://{listens}/file");
    let output = client::curl(["--ftp-port", "-", &url], LIMIT).await?;
    const FTP_PORT_FAILED: i32 = 30;
    ensure!(output.status.code() == Some(FTP_PORT_FAILED), "{output:?}");
    Ok(())
}
