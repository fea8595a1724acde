//! Data channels: the announced listener or forward, and the copying once both ends are connected.
//!
//! One end is a TCP connection of this host, the other one a channel. In a local tunnel the client has the TCP connection
//! (`client_connection`, `client_port`) and the server the channel (`server_channel`, `server_forward`). In a remote tunnel
//! it is the other way round (`client_forward`, `client_channel`, `server_connection`, `server_listener`).

mod active;
mod advertised;
mod client_channel;
mod client_connection;
mod client_forward;
mod client_port;
mod destination;
mod passive;
mod server_channel;
mod server_connection;
mod server_forward;
mod server_listener;
mod server_port;
mod socks_connection;
mod task;
mod transfer;

use ftp_proto::{DataEnd, DataEvent, Mode};
use tracing::debug;

pub(super) use advertised::Advertised;
pub(super) use destination::DataHost;
pub(crate) use server_forward::forward_address;
pub(super) use server_forward::has_two_families;
pub(super) use task::{ControlConnection, DataReport, DataTask, Signals};

/// Runs a data channel from its announcement to its end.
pub(super) async fn run(task: DataTask, open_first: bool) {
    let end = match task.entry.mode {
        Mode::Passive => passive::run(&task, open_first).await,
        Mode::Active => active::run(&task).await,
    };
    match &end {
        // The end of its transfer tells the client, and the log.
        DataEnd::Cut(reason) => debug!(%reason, "data connection cut"),
        DataEnd::ClientGone(reason) => {
            debug!(%reason, "data connection given up by the client");
        }
        DataEnd::Complete | DataEnd::Unused => {}
    }
    task.tell(DataEvent::Ended(end)).await;
}
