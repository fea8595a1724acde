//! Sessions whose client has left are let go, whatever their server does.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::played::PlayedDownload;
use crate::support::trial_within;

/// Two minutes without a byte, and a busy machine.
const LET_GO: Duration = Duration::from_secs(150);

const LIMIT: Duration = Duration::from_secs(240);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial_within(
        LIMIT,
        "abandoned sessions: a client that has its file while the FTP server hangs",
        &[],
        hung_server,
    )]
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
