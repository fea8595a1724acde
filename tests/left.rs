//! Sessions whose client has left are let go, whatever their server does.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::scripted::{Conversation, ScriptedListener};

use crate::support::rig::{Embedded, ftp_tunnel};
use crate::support::trial_within;

/// Two minutes without a byte, and a busy machine.
const LET_GO: Duration = Duration::from_secs(150);

const LIMIT: Duration = Duration::from_secs(240);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial_within(
        LIMIT,
        "left: a client that has its file while the FTP server hangs",
        &[],
        hung_server,
    )]
}

/// The server sends a file and its end, and then nothing any more. The client ends both connections in good order.
async fn hung_server() -> anyhow::Result<()> {
    let ssh = Embedded::start().await?;
    let (control, data) = (
        ScriptedListener::bind().await?,
        ScriptedListener::bind().await?,
    );
    let tunnel = ftp_tunnel(control.addr().ip(), control.addr(), "");
    let broker = Broker::start(&ssh.login.config("", &tunnel), &[]).await?;
    let tunnel = broker.listener(0).await?;
    let mut client = Conversation::connect(tunnel).await?;
    let mut server = control.accept().await?;
    server.send("220 ready\r\n").await?;
    client.reply().await?;
    client.send("EPSV\r\n").await?;
    server.expect("EPSV").await?;
    let port = data.addr().port();
    server.send(format!("229 at (|||{port}|)\r\n")).await?;
    let reply = client.reply().await?;
    let port = reply.split('|').nth(3).context("no port")?.parse()?;
    let mut receiver = Conversation::connect((tunnel.ip(), port).into()).await?;
    let mut sender = data.accept().await?;
    client.send("RETR small\r\n").await?;
    server.expect("RETR small").await?;
    server.send("150 here it comes\r\n").await?;
    client.reply().await?;
    sender.send("all of it").await?;
    sender.finish().await?;
    ensure!(receiver.rest().await? == b"all of it");
    drop((receiver, client));
    let none_left = |status: &Value| status["sessions"] == 0;
    let status = broker.wait_json(&["status"], LET_GO, none_left).await;
    let status = status.with_context(|| broker.log())?;
    ensure!(status["transfers"]["failed"] == 1, "{status:#}");
    drop((server, sender));
    Ok(())
}
