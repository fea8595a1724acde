//! Ports in use: who has them, and what happens when they are free again.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::account::Account;
use testkit::broker::{self, Broker, BrokerOptions};
use testkit::fixture::Servers;
use testkit::ftp_server::FtpServer;
use testkit::peer::SshPeer;
use testkit::process::Process;
use testkit::programs::{PYTHON, broker_program};
use testkit::ssh_server::SshServer;

use crate::ctl::fetches;
use crate::open_tunnel::address;
use crate::support::fixture::{SOON, embedded};
use crate::support::{Need, trial};

/// Listens at a free port, prints it, and does nothing else.
const HOLD: &str = "import signal, socket
s = socket.create_server(('127.0.0.1', 0))
print(s.getsockname()[1], flush=True)
signal.pause()";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "ports: a program that has one is named, and the tunnel listens when it has ended",
            &[Need::Program("python3")],
            program,
        ),
        trial(
            "ports: another daemon that has one is named, and the tunnel listens when it has ended",
            &[],
            daemon,
        ),
        trial(
            "ports: users that have one are named",
            &[Need::Root],
            other_users,
        ),
        trial(
            "ports: open-tunnel-listener names the tunnel that has one",
            &[],
            own_tunnel,
        ),
        trial(
            "ports: a tunnel on all addresses without IPv6 says so",
            &[],
            half,
        ),
        trial(
            "ports: one in use on the SSH server is shown like one on this host",
            &[],
            remote,
        ),
    ]
}

async fn program() -> anyhow::Result<()> {
    let mut holder = Command::new(PYTHON.find().context("no Python")?);
    holder.args(["-c", HOLD]);
    let mut holder = Process::spawn(holder, None)?;
    holder.wait_stdout("\n", 1, SOON).await?;
    let port = String::from_utf8(holder.stdout())?.trim().parse()?;
    let servers = embedded().servers().await?;
    let broker = Broker::start(&tunnels(&servers, &[0, port])?, &[]).await?;
    fetches(broker.listener(0).await?).await?;
    let pid = holder.pid();
    let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    let who = format!("{} (process {pid})", name.trim());
    expect_failed(&listed(&broker, 1).await?, port, &who)?;
    holder.kill();
    holder.wait(SOON).await?;
    recovers(&broker, 1).await
}

async fn daemon() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut first = Broker::start(&tunnels(&servers, &[0])?, &[]).await?;
    let port = first.listener(0).await?.port();
    let second = Broker::start(&tunnels(&servers, &[port])?, &[]).await?;
    let pid = first.process().pid();
    let who = format!("another broker daemon (process {pid}) of the same user");
    expect_failed(&listed(&second, 0).await?, port, &who)?;
    first.stop(SOON).await?;
    recovers(&second, 0).await
}

async fn other_users() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let of_root = TcpListener::bind("127.0.0.1:0")?;
    let taken = of_root.local_addr()?.port();
    let directory = tempfile::tempdir()?;
    let config = tunnels(&servers, &[0, taken])?;
    let theirs = daemon_of_nobody(directory.path(), &config)?;
    theirs.wait_log("broker ready", SOON).await?;
    let socket = broker::socket_in(directory.path());
    let answer = broker::ctl(&socket, &["list-tunnel-listeners", "--json"]).await?;
    let list: Vec<Value> = serde_json::from_slice(&answer.stdout)?;
    expect_failed(&list[1], taken, "a program of the user root")?;
    let port = address(&list[0])?.port();
    let ours = Broker::start(&tunnels(&servers, &[port])?, &[]).await?;
    let pid = theirs.pid();
    let who = format!("another broker daemon (process {pid}) of the user nobody");
    expect_failed(&listed(&ours, 0).await?, port, &who)
}

async fn own_tunnel() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let port = fixture.tunnel.port();
    let id = &listed(&fixture.broker, 0).await?["id"];
    for wanted in [format!("{port}"), format!("*:{port}")] {
        let spec = format!("ftp/{wanted}:localhost:21");
        let option = ["--option", "allow-relay=yes"];
        let asked = [&["open-tunnel-listener", "-L", &spec, "id1"], &option[..]].concat();
        let refused = fixture.broker.ctl(&asked).await?;
        let said = refused.stderr;
        let expected = format!("is in use by tunnel {id} of this daemon (profile id1); close");
        ensure!(
            !refused.status.success() && said.contains(&expected),
            "{said}"
        );
    }
    Ok(())
}

async fn half() -> anyhow::Result<()> {
    let holder = TcpListener::bind("[::1]:0")?;
    let servers = embedded().servers().await?;
    let mut tunnel = servers.tunnel();
    tunnel.port = holder.local_addr()?.port();
    let tunnel = tunnel.with(r#"listen-address="*" allow-relay="yes""#);
    let profile = SshPeer::profile(&servers.ssh)?.tunnel(tunnel);
    let broker = Broker::start(&profile.config(), &[]).await?;
    broker
        .wait_log(
            "has no clients over IPv6: another program has the port",
            SOON,
        )
        .await?;
    fetches(broker.listener(0).await?).await
}

async fn remote() -> anyhow::Result<()> {
    let holder = TcpListener::bind("127.0.0.1:0")?;
    let servers = embedded().servers().await?;
    let mut tunnel = servers.tunnel().remote();
    tunnel.port = holder.local_addr()?.port();
    let profile = SshPeer::profile(&servers.ssh)?.tunnel(tunnel);
    let broker = Broker::start(&profile.config(), &[]).await?;
    let failed = |list: &Value| list[0]["state"] == "failed";
    let list = broker
        .wait_json(&["list-tunnel-listeners"], SOON, failed)
        .await?;
    let reason = list[0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("refused to listen"), "{list:#}");
    let [since, next] = ["failed_since", "retry_in"].map(|name| list[0][name].as_u64());
    ensure!(since.is_some() && next.is_some(), "{list:#}");
    Ok(())
}

/// A daemon's configuration with tunnels on these ports.
fn tunnels(servers: &Servers<SshServer, FtpServer>, ports: &[u16]) -> anyhow::Result<String> {
    let mut profile = SshPeer::profile(&servers.ssh)?;
    for port in ports {
        let mut tunnel = servers.tunnel();
        tunnel.port = *port;
        profile = profile.tunnel(tunnel);
    }
    Ok(profile.config())
}

async fn listed(broker: &Broker, index: usize) -> anyhow::Result<Value> {
    let list = broker.list(&["list-tunnel-listeners"]).await?;
    list.get(index).cloned().context("no such tunnel")
}

fn expect_failed(tunnel: &Value, port: u16, who: &str) -> anyhow::Result<()> {
    let reason = tunnel["reason"].as_str().unwrap_or_default();
    let expected = format!("127.0.0.1:{port} is in use by {who}; ");
    ensure!(tunnel["state"] == "failed", "{tunnel:#}");
    ensure!(reason.starts_with(&expected), "{reason}");
    let [since, next] = ["failed_since", "retry_in"].map(|name| tunnel[name].as_u64());
    ensure!(since.is_some() && next.is_some(), "{tunnel:#}");
    Ok(())
}

/// The tunnel listens by itself and works, and the log has one line each for the failure and its end.
async fn recovers(broker: &Broker, index: usize) -> anyhow::Result<()> {
    let listens = |list: &Value| list[index]["state"] == "listening";
    let list = broker
        .wait_json(&["list-tunnel-listeners"], SOON, listens)
        .await?;
    ensure!(list[index]["failed_since"].is_null(), "{list:#}");
    fetches(address(&list[index])?).await?;
    let log = broker.log();
    for line in [
        "tunnel does not listen",
        "tunnel listens after it had failed",
    ] {
        ensure!(log.matches(line).count() == 1, "{line}: {log}");
    }
    Ok(())
}

/// The directory of the programs may be closed to others, so it runs from a copy.
fn daemon_of_nobody(directory: &Path, config: &str) -> anyhow::Result<Process> {
    let nobody = Account::named("nobody")?;
    fs::copy(broker_program("brokerd")?, directory.join("brokerd"))?;
    let options = BrokerOptions {
        programs: Some(directory),
        ..BrokerOptions::default()
    };
    let mut command = broker::command(directory, config, &options)?;
    command.uid(nobody.uid).gid(nobody.gid).current_dir("/");
    let (uid, gid) = (Some(nobody.uid), Some(nobody.gid));
    for entry in fs::read_dir(directory)? {
        chown(entry?.path(), uid, gid)?;
    }
    chown(directory, uid, gid)?;
    Process::spawn(command, None)
}
