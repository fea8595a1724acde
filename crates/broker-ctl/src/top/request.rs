//! What a person at the screen asks of the daemon.

use broker_ipc::ClientError;
use broker_ipc::methods::{
    CloseChannel, CloseConnection, CloseTunnelListener, Connect, ListChannels,
};
use broker_ipc::types::ChannelKind;

use crate::daemon::Daemon;

/// A request, with the name of what it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Connect { target: String, name: String },
    CloseConnections { ids: Vec<u64>, name: String },
    CloseTunnel { id: u64, name: String },
    CutTransfer { session: u64, file: String },
}

impl Request {
    /// What a person must agree to first; `None` if it harms nobody.
    pub(super) fn question(&self) -> Option<String> {
        match self {
            Self::Connect { .. } => None,
            Self::CloseConnections { ids, name } => Some(format!(
                "Close the SSH connections of {name} ({})? Transfers on them fail",
                ids.len()
            )),
            Self::CloseTunnel { name, .. } => Some(format!(
                "Close the tunnel that listens on {name}? Connected clients continue"
            )),
            Self::CutTransfer { file, .. } => Some(format!(
                "Cut the transfer of {file}? Its client learns that it failed"
            )),
        }
    }

    /// What to show while the daemon carries it out.
    pub(super) fn progress(&self) -> String {
        match self {
            Self::Connect { name, .. } => format!("Connecting {name} …"),
            Self::CloseConnections { name, .. } => {
                format!("Closing the connections of {name} …")
            }
            Self::CloseTunnel { name, .. } => format!("Closing the tunnel on {name} …"),
            Self::CutTransfer { file, .. } => format!("Cutting the transfer of {file} …"),
        }
    }
}

/// Makes the daemon do it, and returns what to show.
pub(super) async fn carry_out(
    daemon: &Daemon<'_>,
    request: Request,
) -> Result<String, ClientError> {
    match request {
        Request::Connect { target, name } => {
            daemon.work(&Connect { target }).await?;
            Ok(format!("{name} is connected"))
        }
        Request::CloseConnections { ids, name } => {
            for id in ids {
                daemon.call(&CloseConnection { id }).await?;
            }
            Ok(format!("The connections of {name} are closed"))
        }
        Request::CloseTunnel { id, name } => {
            daemon.call(&CloseTunnelListener { id }).await?;
            Ok(format!("The tunnel on {name} is closed"))
        }
        Request::CutTransfer { session, file } => cut(daemon, session, &file).await,
    }
}

/// Closes the data connection of a session, which has one transfer at a time.
async fn cut(daemon: &Daemon<'_>, session: u64, file: &str) -> Result<String, ClientError> {
    let channels = daemon.call(&ListChannels {}).await?;
    let data = channels
        .iter()
        .filter(|it| it.session == session && it.kind == ChannelKind::Data);
    let mut cut = false;
    for channel in data {
        daemon.call(&CloseChannel { id: channel.id }).await?;
        cut = true;
    }
    Ok(match cut {
        true => format!("The transfer of {file} is cut"),
        false => format!("The transfer of {file} is over already"),
    })
}
