//! Sessions whose client has left are let go, whatever their server does.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;

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
    ]
}

/// Both connections of a killed client end in good order, so the FTP server believes that it has all of the file.
async fn killed_upload() -> anyhow::Result<()> {
    let rig = real().start().await?;
    let ended = |states: &'static [&str]| {
        move |transfers: &Value| {
            let transfers = transfers.as_array().into_iter().flatten();
            transfers
                .map(|it| it["state"].as_str())
                .eq(states.iter().copied().map(Some))
        }
    };
    let mut ftp = rig.login().await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
    data.send("half of it").await?;
    drop(ftp);
    drop(data);
    let broker = &rig.broker;
    broker
        .wait_json(&["list-transfers"], SOON, ended(&["aborted"]))
        .await?;

    let mut ftp = rig.login().await?;
    ftp.store("whole", b"all of it").await?;
    broker
        .wait_json(&["list-transfers"], SOON, ended(&["aborted", "complete"]))
        .await?;
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
