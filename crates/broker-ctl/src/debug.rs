//! How much the daemon logs.

use broker_ipc::methods::SetLogLevel;
use broker_ipc::types::LogSetting;
use plain_text::printable;

use crate::daemon::Daemon;

/// Shows how much the daemon logs, and changes it if asked to.
pub(crate) async fn debug(daemon: &Daemon<'_>, asked: SetLogLevel) -> anyhow::Result<()> {
    let answer = daemon.call(&asked).await?;
    let output = daemon.output();
    if output.is_json() {
        return output.json(&answer);
    }
    let LogSetting { level, default } = answer;
    let usual = match level == default {
        true => "as on its command line".to_owned(),
        false => format!("{default} on its command line"),
    };
    let text = match output.is_for_people() {
        true => printable(&format!("The daemon logs {level} ({usual})")),
        false => format!("{}\t{}", printable(&level), printable(&default)),
    };
    Ok(output.print(text)?)
}
