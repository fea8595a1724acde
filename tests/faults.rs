//! What goes wrong is told in one clear line to whoever is concerned, and the daemon goes on.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::{Broker, write_private};
use testkit::client;
use testkit::files::write_pattern;
use testkit::ftp_client::{FtpClient, port_command};
use testkit::keys::KeyPair;
use testkit::profile::{Profile, Tunnel, identity};
use testkit::relay::{Relay, RelayOptions};
use testkit::scripted::{Conversation, End, ScriptedListener};
use testkit::sshd::SshdOptions;
use testkit::vsftpd::{Vsftpd, VsftpdOptions};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::bad_tunnel::{BadTunnel, refusal, says, warns};
use crate::support::fixture::{CONTENT, embedded, nothing_is_left, real};
use crate::support::sockets::{closed_port, eventually};
use crate::support::{Need, REAL, REAL_AND_CURL, trial};

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
        trial(
            "faults: an SSH server in the place of the FTP server",
            &[],
            ssh_for_ftp,
        ),
        trial(
            "faults: an FTP server in the place of the SSH server",
            &[Need::Program("vsftpd")],
            ftp_for_ssh,
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

fn with_key(mut profile: Profile, file: &Path) -> Profile {
    profile.login = identity(file);
    profile
}

fn with_host_key(mut profile: Profile, host_key: String) -> Profile {
    profile.host_key = host_key;
    profile
}

/// A tunnel to another FTP server.
fn leading_to(mut profile: Profile, ftp: SocketAddr) -> Profile {
    profile.tunnels = vec![Tunnel::ftp(ftp)];
    profile
}

async fn wrong_client_key() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let other = KeyPair::generate()?.write(directory.path(), "other")?;
    let key = format!("key {}", other.display());
    let bad = BadTunnel::start(|profile| with_key(profile, &other)).await?;
    bad.tells(&[
        "did not accept user user",
        &key,
        "the server allows",
        "publickey",
    ])
    .await
}

async fn unknown_host_key() -> anyhow::Result<()> {
    let bad = BadTunnel::start(|profile| with_host_key(profile, String::new())).await?;
    bad.tells(&[
        "the prompt to confirm the host key of 127.0.0.1:",
        "ssh-ed25519 SHA256:",
        "nobody is attached to answer it",
        "auth-handler",
    ])
    .await
}

async fn changed_host_key() -> anyhow::Result<()> {
    let other = KeyPair::generate()?.public_openssh()?;
    let bad = BadTunnel::start(|profile| with_host_key(profile, other)).await?;
    bad.tells(&[
        "host key",
        "has changed",
        "SHA256:",
        "the profile's hostkey",
    ])
    .await
}

async fn missing_key_file() -> anyhow::Result<()> {
    let bad = BadTunnel::start(|profile| with_key(profile, Path::new("/no/such/key"))).await?;
    bad.tells(&["key /no/such/key (No such file"]).await
}

async fn open_key_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let key = KeyPair::generate()?.write(directory.path(), "open")?;
    fs::set_permissions(&key, Permissions::from_mode(0o644))?;
    let mend = format!("chmod 600 {}", key.display());
    let bad = BadTunnel::start(|profile| with_key(profile, &key)).await?;
    let unused = format!("key {} (other users", key.display());
    bad.tells(&[&unused, &mend]).await
}

async fn not_a_key_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("text");
    write_private(&file, "shopping list")?;
    let bad = BadTunnel::start(|profile| with_key(profile, &file)).await?;
    bad.tells(&[&format!("key {} (it is not a private key", file.display())])
        .await
}

async fn open_password_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("password");
    fs::write(&file, "sesame-street\n")?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    let password = format!(r#"<password file="{}"/>"#, file.display());
    let methods = "<authentication-methods><auth-password/></authentication-methods>";
    let bad = BadTunnel::start(|mut profile| {
        profile.login = password + methods;
        profile
    })
    .await?;
    let mend = format!("chmod 600 {}", file.display());
    bad.tells(&["password", "other users can read it", &mend])
        .await?;
    ensure!(
        !bad.broker.log().contains("sesame"),
        "the password is in the log"
    );
    Ok(())
}

async fn refused_server() -> anyhow::Result<()> {
    let nobody = closed_port()?;
    let bad = BadTunnel::start(|profile| profile.at(nobody)).await?;
    bad.tells(&[
        "cannot connect to SSH server",
        &nobody.to_string(),
        "refused",
    ])
    .await
}

async fn silent_server() -> anyhow::Result<()> {
    let nobody = ScriptedListener::bind().await?;
    let limit = r#"<tcp-connect-timeout time="1"/>"#;
    let bad = BadTunnel::start(|profile| profile.at(nobody.addr()).with(limit)).await?;
    bad.tells(&[
        &nobody.addr().to_string(),
        "opened, but nothing came from there for 1 s",
    ])
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
    let bad = BadTunnel::start(|profile| profile.at(address).with(limit)).await?;
    // The bound of the one address and that of all together are the same here; either may tell.
    bad.tells(&["SSH server", &address.to_string()]).await
}

async fn closing_server() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let bad = BadTunnel::start(|profile| profile.at(server)).await?;
    let closes = async {
        loop {
            drop(listener.accept().await);
        }
    };
    let address = server.to_string();
    let parts = ["SSH handshake with", &address];
    tokio::select! {
        told = bad.tells(&parts) => told,
        () = closes => Ok(()),
    }
}

async fn ftp_server_down() -> anyhow::Result<()> {
    let nobody = closed_port()?;
    let bad = BadTunnel::start(|profile| leading_to(profile, nobody)).await?;
    let parts = [
        "did not open a channel to",
        &nobody.to_string(),
        "it could not connect",
        "check that the server runs there",
    ];
    let reply = refusal(bad.bad).await?;
    ensure!(reply.starts_with("421 "), "{reply}");
    says(&reply, &parts)?;
    bad.logs(&parts).await?;
    bad.goes_on().await
}

async fn closing_ftp_server() -> anyhow::Result<()> {
    let server = ScriptedListener::bind().await?;
    let bad = BadTunnel::start(|profile| leading_to(profile, server.addr())).await?;
    let closes = async {
        drop(server.accept().await?);
        anyhow::Ok(())
    };
    let (closed, reply) = tokio::join!(closes, refusal(bad.bad));
    closed?;
    let reply = reply?;
    ensure!(reply.starts_with("421 "), "{reply}");
    let parts = [&*server.addr().to_string(), "without a greeting"];
    says(&reply, &parts)?;
    bad.logs(&parts).await?;
    bad.goes_on().await
}

/// The tunnel leads to the port of the SSH server itself.
async fn ssh_for_ftp() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), profile.port);
    profile.tunnels = vec![Tunnel::ftp(address)];
    let bad = BadTunnel::with(servers, vec![profile]).await?;
    let named = format!("{address} is an SSH server, not an FTP server: it greeted with: SSH-2.0-");
    let reply = refusal(bad.bad).await?;
    ensure!(reply.starts_with("421 "), "{reply}");
    says(&reply, &[&named, "check dst-port"])?;
    bad.logs(&[&named]).await?;
    bad.goes_on().await
}

async fn ftp_for_ssh() -> anyhow::Result<()> {
    let ftp = Vsftpd::start(VsftpdOptions::default()).await?;
    let limit = r#"<tcp-connect-timeout time="1"/>"#;
    let bad = BadTunnel::start(|profile| profile.at(ftp.addr()).with(limit)).await?;
    bad.tells(&[
        &ftp.addr().to_string(),
        "it is an FTP server, not an SSH server: it greeted with: 220 ",
        "check the port",
    ])
    .await
}

async fn port_in_use() -> anyhow::Result<()> {
    let taken = TcpListener::bind(closed_port()?).await?;
    let address = taken.local_addr()?.to_string();
    let port = taken.local_addr()?.port();
    let one_in_use = move |mut profile: Profile| {
        let good = profile.tunnels[0].clone();
        profile.tunnels[0].port = port;
        profile.tunnel(good)
    };
    let servers = embedded().servers().await?;
    let config = one_in_use(servers.profile()?).config();
    let broker = Broker::start(&config, &[]).await?;

    let parts = [&*address, "in use"];
    let listeners = broker.json(&["list-tunnel-listeners"]).await?;
    ensure!(listeners[0]["state"] == "failed", "{listeners:#}");
    says(listeners[0]["reason"].as_str().unwrap_or_default(), &parts)?;
    warns(&broker, &parts).await?;
    let spec = format!("ftp/{port}:localhost:21");
    let output = broker
        .ctl(&["open-tunnel-listener", "-L", &spec, "work"])
        .await?;
    ensure!(output.status.code() == Some(4), "{output:?}");
    says(&output.stderr, &parts).context("open-tunnel-listener")?;
    let mut ftp = FtpClient::login(broker.listener(1).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);

    // It is taken as soon as it is to be had.
    drop(taken);
    let listens = |listeners: &serde_json::Value| listeners[0]["state"] == "listening";
    broker
        .wait_json(&["list-tunnel-listeners"], LIMIT, listens)
        .await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn data_channel_refused() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let ssh = &servers.ssh;
    // On a long line the client has connected before the refusal comes.
    let mut line = RelayOptions::to(ssh.addr());
    line.delay = Duration::from_millis(50);
    let line = Relay::start_with(line).await?;
    let config = servers.profile()?.at(line.addr()).config();
    let broker = Broker::start(&config, &[]).await?;
    let listens = broker.listener(0).await?;
    let mut ftp = FtpClient::login(listens).await?;
    ssh.set_allow_local_forward(false);
    for command in ["PASV", "EPSV"] {
        let reply = ftp.ask(command, "425 ").await?;
        says(&reply, &["did not open a channel to 127.0.0.1:"])?;
    }
    let failure = data_failure(&broker, 2).await?;
    ensure!(
        failure["by"] == "ssh" && failure["reason"] == "forwarding-denied",
        "{failure:#}"
    );
    ssh.set_allow_local_forward(true);
    ensure!(ftp.fetch("file").await? == CONTENT);

    // From then on the client is told at once: what it gets then must not look like an empty file.
    ssh.set_allow_local_forward(false);
    let announced = ftp.announced("EPSV").await?;
    let ended = Conversation::connect(announced).await?.end().await?;
    ensure!(ended == End::Reset, "the data connection ended in order");
    ssh.set_allow_local_forward(true);
    let mut ftp = FtpClient::login(listens).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn client_leaves() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    write_pattern(&fixture.servers.ftp.root().join("big"), 1, 64 << 20)?;
    for leave in [End::Orderly, End::Reset] {
        let mut ftp = fixture.login().await?;
        let mut data = ftp.passive("EPSV").await?;
        ftp.ask("RETR big", "150").await?;
        data.bytes(100_000).await?;
        if leave == End::Reset {
            data.reset();
        }
    }
    let mut ftp = fixture.login().await?;
    let mut data = ftp.passive("EPSV").await?;
    ftp.ask("STOR half", "150").await?;
    data.send(vec![1; 100_000]).await?;
    drop((ftp, data));
    nothing_is_left(&fixture.broker, "list-channels").await?;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn client_never_comes() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let ftp_server = &fixture.servers.ftp;
    // More than what is under way takes: the server does not look at its control connection before it is through.
    write_pattern(&ftp_server.root().join("big"), 1, 64 << 20)?;
    let mut ftp = fixture.login().await?;
    ftp.announced("EPSV").await?;
    ftp.control().send("RETR big\r\n").await?;
    drop(ftp);
    nothing_is_left(&fixture.broker, "list-channels").await?;
    eventually("the end of the FTP server's session", || {
        ftp_server.session_pids().is_empty()
    })
    .await
}

async fn forwarding_refused(allowed: &'static str) -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: allowed,
        ..SshdOptions::default()
    };
    let fixture = real().ssh(sshd).start().await?;
    let reply = refusal(fixture.tunnel).await?;
    ensure!(reply.starts_with("421 "), "{reply}");
    let parts = [
        "did not open a channel to",
        "prohibited",
        "AllowTcpForwarding",
    ];
    says(&reply, &parts)?;
    warns(&fixture.broker, &parts).await
}

/// The last failure of the first tunnel, which is also the daemon's last one, after so many of its kind.
async fn data_failure(broker: &Broker, count: u64) -> anyhow::Result<Value> {
    let listed = broker.json(&["list-tunnel-listeners"]).await?;
    let failure = listed[0]["last_failure"].clone();
    ensure!(failure["count"] == count, "{listed:#}");
    let status = broker.json(&["status"]).await?;
    let recent = status["failures"].as_array().context("no list")?;
    let same = |it: &&Value| it["message"] == failure["message"] && it["by"] == failure["by"];
    ensure!(recent.iter().filter(same).count() == 1, "{status:#}");
    Ok(failure)
}

async fn active_refused() -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: "local",
        ..SshdOptions::default()
    };
    let fixture = real().ssh(sshd).start().await?;
    let mut ftp = fixture.login().await?;
    let own = ScriptedListener::bind().await?;
    for verb in ["PORT", "EPRT"] {
        let reply = ftp.ask(&port_command(verb, own.addr()), "425 ").await?;
        says(
            &reply,
            &["refused to listen on 127.0.0.1", "AllowTcpForwarding"],
        )?;
    }
    // The client's own fault is no failure of the tunnel.
    ftp.ask("PORT 127,0,0,1,0,25", "504 ").await?;
    let failure = data_failure(&fixture.broker, 2).await?;
    ensure!(failure["by"] == "ssh" && failure["reason"] == "forwarding-denied");
    ensure!(ftp.fetch("file").await? == CONTENT);
    let failure = data_failure(&fixture.broker, 2).await?;
    ensure!(failure["recovered"] == true, "{failure:#}");
    // An ordinary client fails, and with a reason.
    let url = format!("ftp://{}/file", fixture.tunnel);
    let output = client::curl(["--ftp-port", "-", &url], LIMIT).await?;
    const FTP_PORT_FAILED: i32 = 30;
    ensure!(output.status.code() == Some(FTP_PORT_FAILED), "{output:?}");
    Ok(())
}
