//! Session channels (RFC 4254 section 6.1), of which the broker needs only the side effects

use russh::Channel;
use russh::client::Msg;

use super::handler::SshHandle;
use crate::state::ConnectionState;

/// Why there is no session channel.
pub(super) enum NotOpened {
    /// The server refuses it.
    Refused,
    ConnectionEnded,
}

/// Opens a session channel.
pub(super) async fn open(
    state: &ConnectionState,
    handle: &SshHandle,
) -> Result<Channel<Msg>, NotOpened> {
    let open = state.refused_opens.opening(None);
    match handle.channel_open_session().await {
        Ok(channel) => Ok(channel),
        Err(russh::Error::ChannelOpenFailure(_)) => {
            // Taken, so that nobody else takes it for their own.
            let _ = state.closed.run_until_cancelled(open.text()).await;
            Err(NotOpened::Refused)
        }
        Err(_) => Err(NotOpened::ConnectionEnded),
    }
}
