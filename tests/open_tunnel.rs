//! Tunnels that broker-ctl opens while the daemon runs.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::ftp_client::FtpClient;
use testkit::scripted::Conversation;

use crate::ctl::{count, fetches, refused};
use crate::support::fixture::embedded;
use crate::support::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "open tunnel: open-tunnel-listener through a profile",
            &[],
            open_through_profile,
        ),
        trial(
            "open tunnel: open-tunnel-listener through user@host#port",
            &[],
            open_through_target,
        ),
        trial(
            "open tunnel: open-tunnel-listener with several tunnels",
            &[],
            open_several,
        ),
        trial(
            "open tunnel: open-tunnel-listener with options of the file",
            &[],
            open_with_options,
        ),
    ]
}

pub(crate) fn address(listener: &Value) -> anyhow::Result<SocketAddr> {
    let ip = listener["address"].as_str().context("no address")?;
    let port = listener["port"].as_u64().context("no port")?;
    Ok(SocketAddr::new(ip.parse()?, u16::try_from(port)?))
}

async fn open_through_profile() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let port = fixture.servers.ftp.addr().port().to_string();
    let spec = format!("ftp/0:localhost:{port}");
    let bracketed = format!("ftp/[::1]:0:localhost:{port}");
    for words in [
        &["-L", &spec, "work"] as &[&str],
        &["-L", &spec, "id1"],
        &["--local", &bracketed, "work"],
        &["--type", "ftp", "0", "work", "localhost", &port],
    ] {
        let command = [&["open-tunnel-listener"], words].concat();
        let opened = broker.json(&command).await?;
        let expected = [
            ("kind", "ftp"),
            ("profile", "id1"),
            ("state", "listening"),
            ("origin", "command"),
        ];
        for (field, value) in expected {
            ensure!(opened[field] == value, "{words:?}: {field} in {opened:#}");
        }
        ensure!(
            opened["target"]
                .as_str()
                .is_some_and(|t| t.starts_with("user@127.0.0.1#")),
            "{opened:#}"
        );
        fetches(address(&opened)?)
            .await
            .with_context(|| format!("{words:?}"))?;
    }
    let text = broker
        .told(&["open-tunnel-listener", "-L", &spec, "work"])
        .await?;
    ensure!(
        text.starts_with("Opened ftp tunnel ") && text.contains(&format!(" to localhost:{port} ")),
        "{text}"
    );
    let listeners = broker.list(&["list-tunnel-listeners"]).await?;
    let origins = listeners.iter().map(|one| &one["origin"]);
    let origins: Vec<&str> = origins.filter_map(Value::as_str).collect();
    ensure!(
        origins
            == [
                "file", "command", "command", "command", "command", "command"
            ],
        "{origins:?}"
    );
    let table = broker.told(&["list-tunnel-listeners"]).await?;
    ensure!(
        table.lines().count() == 7 && table.contains("  [::1]:") && !table.contains("[["),
        "{table}"
    );
    Ok(())
}

/// A daemon of somebody who uses OpenSSH already: their keys and known hosts serve a target that no file names.
async fn open_through_target() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let broker = Broker::start("<secsh-broker/>", &[]).await?;
    let home = broker.directory().join(".ssh");
    fs::create_dir(&home)?;
    let (host, port) = (servers.ssh.addr().ip(), servers.ssh.addr().port());
    let known = format!("[{host}]:{port} {}\n", servers.ssh.host_key_openssh()?);
    fs::write(home.join("known_hosts"), known)?;
    let spec = format!("ftp/0:localhost:{}", servers.ftp.addr().port());
    let target = format!("user@{host}#{port}");
    let open = ["open-tunnel-listener", "--json", "-L", &spec, &target];

    let refused = broker.ctl(&open).await?;
    ensure!(refused.status.code() == Some(5), "{refused:?}");
    ensure!(
        refused
            .stderr
            .contains("did not accept user user: tried the prompt for the password"),
        "{refused:?}"
    );

    fs::copy(servers.ssh.identity_file(), home.join("id_ed25519"))?;
    let opened = broker.ctl(&open).await?.success()?;
    let opened: Value = serde_json::from_slice(&opened.stdout)?;
    ensure!(
        opened["target"] == *target && opened["profile"].is_null(),
        "{opened:#}"
    );
    fetches(address(&opened)?).await
}

async fn open_several() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let spec = format!("ftp/0:localhost:{}", fixture.servers.ftp.addr().port());
    let taken = format!("ftp/{}:localhost:21", fixture.tunnel.port());
    let command = [
        "open-tunnel-listener",
        "-L",
        &spec,
        "-L",
        &taken,
        "-L",
        &spec,
        "work",
    ];
    let output = broker.ctl(&command).await?;
    ensure!(
        output.status.code() == Some(4) && output.stderr.contains("in use"),
        "{output:?}"
    );
    ensure!(output.text().lines().count() == 2, "{output:?}");
    ensure!(count(broker).await? == 3);

    let all_or_none = [&command[..], &["--abort-on-failing-tunnel"]].concat();
    let output = broker.ctl(&all_or_none).await?;
    ensure!(
        output.status.code() == Some(4) && output.stdout.is_empty(),
        "{output:?}"
    );
    ensure!(count(broker).await? == 3);
    Ok(())
}

async fn open_with_options() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let spec = format!("ftp/0:localhost:{}", fixture.servers.ftp.addr().port());
    let open = ["open-tunnel-listener", "-L", &spec, "work"];
    let one_client = [&open[..], &["--option", "max-sessions=1"]].concat();
    let tunnel = address(&broker.json(&one_client).await?)?;
    let first = FtpClient::login(tunnel).await?;
    let told = Conversation::connect(tunnel).await?.reply().await?;
    ensure!(told.contains("already serves 1 session,"), "{told}");
    drop(first);
    for (option, said) in [
        (
            "tls=maybe",
            "`tls` cannot be `maybe`: it can be `refuse`, `pass`",
        ),
        ("passive-port=1-2", "did you mean `passive-ports`?"),
        ("dst-port=22", "`dst-port` is given already"),
    ] {
        let output = broker
            .ctl(&[&open[..], &["--option", option]].concat())
            .await?;
        refused(&output, 1, &[said])?;
    }
    ensure!(count(broker).await? == 2);
    Ok(())
}
