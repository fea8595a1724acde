//! Opening the control channel to the FTP server.

use std::net::SocketAddr;

use broker_ssh::{Channel, ChannelError, OpenError, Pool, Target};
use tokio::sync::OwnedSemaphorePermit;

use super::data::dial_names;
use crate::refusal::Refusal;
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
pub(super) async fn open(
    tunnel: &Tunnel,
    target: &Target,
    pool: &Pool,
    peer: SocketAddr,
) -> Result<Server, Refusal> {
    let permit = tunnel.greetings.clone().acquire_owned().await;
    let awaits_greeting = permit.map_err(|closed| closed.to_string())?;
    let mut refusal = None;
    let mut any_prohibited = false;
    for host in dial_names(&target.host) {
        if host == "localhost" && !any_prohibited {
            continue;
        }
        let target = Target {
            host: host.clone(),
            port: target.port,
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
                refusal.get_or_insert(OpenError::Channel(error));
            }
            Err(error) => return Err(Refusal::from(&error)),
        }
    }
    Err(Refusal::from(&refusal.unwrap_or(OpenError::Internal)))
}
