//! Sessions whose client has left are let go, whatever their server does.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;

use crate::support::fixture::{SOON, real};
use crate::support::played::PlayedDownload;
use crate::support::{REAL, trial, trial_within};

/// Two minutes without a byte, and a busy machine.
const LET_GO: Duration = Duration::from_secs(150);

const LIMIT: Duration = Duration::from_secs(240);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_within(
            LIMIT,
            "abandoned sessions: a client that has its file while the FTP server hangs",
            &[],
            hung_server,
        ),
        trial(
            "abandoned sessions: an upload whose client was killed",
            REAL,
            killed_upload,
        ),
        trial(
            "abandoned sessions: an upload whose client was killed after it had sent QUIT ahead",
            REAL,
            killed_behind_quit,
        ),
        trial(
            "abandoned sessions: an upload whose client has sent QUIT ahead and waits",
            REAL,
            waits_behind_quit,
        ),
    ]
}

/// Both connections of a killed client end in good order, so the FTP server believes that it has all of the file.
async fn killed_upload() -> anyhow::Result<()> {
    let rig = real().start().await?;
    let mut ftp = rig.login().await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
    data.send("half of it").await?;
    drop(ftp);
    drop(data);
    wait_ended(&rig.broker, &["aborted"]).await?;

    let mut ftp = rig.login().await?;
    ftp.store("whole", b"all of it").await?;
    wait_ended(&rig.broker, &["aborted", "complete"]).await
}

/// The end of the control connection looks the same as that of a client that waits for the results.
async fn killed_behind_quit() -> anyhow::Result<()> {
    let rig = real().start().await?;
    let mut ftp = rig.login().await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
    data.send("half of it").await?;
    ftp.control().send("QUIT\r\n").await?;
    drop(ftp);
    drop(data);
    wait_ended(&rig.broker, &["aborted"]).await
}

/// With its side of the control connection open, and with it closed.
async fn waits_behind_quit() -> anyhow::Result<()> {
    let rig = real().start().await?;
    for (ends, states) in [
        (false, &["complete"][..]),
        (true, &["complete", "complete"]),
    ] {
        let mut ftp = rig.login().await?;
        let mut data = ftp.begin("EPSV", "STOR whole").await?;
        data.send("all of it").await?;
        ftp.control().send("QUIT\r\n").await?;
        if ends {
            ftp.control().finish().await?;
        }
        data.finish().await?;
        ftp.reply("226").await?;
        ftp.reply("221").await?;
        wait_ended(&rig.broker, states).await?;
    }
    Ok(())
}

/// Waits until all transfers have ended so.
async fn wait_ended(broker: &Broker, states: &'static [&'static str]) -> anyhow::Result<()> {
    let ended = move |transfers: &Value| {
        let transfers = transfers.as_array().into_iter().flatten();
        transfers
            .map(|it| it["state"].as_str())
            .eq(states.iter().copied().map(Some))
    };
    broker.wait_json(&["list-transfers"], SOON, ended).await?;
    Ok(())
}

/// The server sends a file and its end, and then nothing any more. The client ends both connections in good order.
async fn hung_server() -> anyhow::Result<()> {
    let PlayedDownload {
        session,
        mut sender,
        mut receiver,
    } = PlayedDownload::begin().await?;
    sender.send("all of it").await?;
    sender.finish().await?;
    ensure!(receiver.rest().await? == b"all of it");
    drop((receiver, session.client));
    let none_left = |status: &Value| status["sessions"] == 0;
    let status = session
        .fixture
        .broker
        .wait_json(&["status"], LET_GO, none_left);
    let status = status.await?;
    ensure!(status["transfers"]["failed"] == 1, "{status:#}");
    Ok(())
}
