//! Opening the control channel to the FTP server.

use std::net::SocketAddr;

use broker_ssh::{Channel, ChannelError, OpenError, Pool, Target};
use tokio::sync::OwnedSemaphorePermit;

use super::data::dial_names;
use crate::tunnel::Tunnel;

/// The open channel, and how it was opened.
pub(super) struct Server {
    pub(super) channel: Channel,
    /// The host string that worked.
    pub(super) host: String,
    /// Held until the greeting comes.
    pub(super) awaits_greeting: OwnedSemaphorePermit,
}

/// Opens the control channel, to the first name of the destination that the server permits.
///
/// # Errors
/// What to tell the client.
pub(super) async fn open(tunnel: &Tunnel, pool: &Pool, peer: SocketAddr) -> Result<Server, String> {
    let permit = tunnel.greetings.clone().acquire_owned().await;
    let awaits_greeting = permit.map_err(|closed| closed.to_string())?;
    let mut reason = String::new();
    let mut any_prohibited = false;
    for host in dial_names(&tunnel.spec.dst_host) {
        if host == "localhost" && !any_prohibited {
            continue;
        }
        let target = Target {
            host: host.clone(),
            port: tunnel.spec.dst_port,
        };
        match pool.open_control(&target, peer).await {
            Ok(channel) => {
                return Ok(Server {
                    channel,
                    host,
                    awaits_greeting,
                });
            }
            // Another name is tried only if the far end refused the previous one.
            Err(OpenError::Channel(error @ ChannelError::Refused { .. })) => {
                any_prohibited |= error.is_prohibited();
                if reason.is_empty() {
                    reason = error.to_string();
                }
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(reason)
}
