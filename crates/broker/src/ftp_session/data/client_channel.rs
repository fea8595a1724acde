//! The channel to the port that a client behind SSH announced in active mode.

use std::net::SocketAddr;

use broker_ssh::{Channel, Target};
use plain_text::host_port;

use super::task::DataTask;

/// Makes the SSH server connect to the client's port.
///
/// # Errors
/// Why it does not.
pub(super) async fn connect(task: &DataTask, client: SocketAddr) -> Result<Channel, String> {
    let control = &task.control;
    let target = Target {
        host: client.ip().to_string(),
        port: client.port(),
    };
    task.entry
        .relabel(|label| label.target = host_port(&target.host, target.port));
    let opened = control.pool.open_data(&target, control.peer).await;
    let channel = opened
        .map_err(|error| format!("the client's port {client} could not be reached: {error}"))?;
    task.opened(&channel).await;
    Ok(channel)
}
