//! `status` and the lists: what the daemon says, as a table for people and as JSON.

use std::cmp::Reverse;

use broker_ipc::methods::{
    ConnectionStatus, ListChannels, ListClients, ListConnections, ListProfiles, ListSessions,
    ListTransfers, ListTunnelListeners, Status,
};
use broker_ipc::printed::ConnectionWithChannels;
use broker_ipc::types::{ChannelInfo, Connection, Profile, TransferState};

use crate::daemon::Daemon;
use crate::listing;
use crate::names::Names;
use crate::table::Table;

/// What to show.
#[derive(Debug, Clone)]
pub(crate) enum List {
    Status,
    Profiles {
        name: Option<String>,
    },
    Connections {
        show_channels: bool,
    },
    Connection {
        id: u64,
        show_channels: bool,
    },
    Channels,
    Sessions,
    Clients,
    Transfers {
        running: bool,
        /// Whether somebody looks at them as they run: then the latest come first.
        watched: bool,
    },
    Listeners,
}

/// Asks the daemon once, and prints the answer.
pub(crate) async fn show(daemon: &Daemon<'_>, list: List) -> anyhow::Result<()> {
    let text = text(daemon, list).await?;
    daemon.output().answer_text(&text)
}

/// The answer in the form that the user wants.
pub(crate) async fn text(daemon: &Daemon<'_>, list: List) -> anyhow::Result<String> {
    let output = daemon.output();
    match list {
        List::Status => {
            let status = daemon.call(&Status {}).await?;
            output.form(&status, &listing::status(&status))
        }
        List::Profiles { name } => profiles(daemon, name.as_deref()).await,
        List::Connections { show_channels } => connections(daemon, show_channels).await,
        List::Connection { id, show_channels } => {
            let detail = daemon.call(&ConnectionStatus { id }).await?;
            output.form(&detail, &listing::connection(&detail, show_channels))
        }
        List::Channels => {
            let channels = daemon.call(&ListChannels {}).await?;
            output.form(&channels, &listing::channels(&channels))
        }
        List::Sessions => {
            let sessions = daemon.call(&ListSessions {}).await?;
            let table = listing::sessions(&sessions, &names(daemon).await?);
            output.form(&sessions, &table)
        }
        List::Clients => {
            let clients = daemon.call(&ListClients {}).await?;
            output.form(&clients, &listing::clients(&clients))
        }
        List::Transfers { running, watched } => transfers(daemon, running, watched).await,
        List::Listeners => {
            let listeners = daemon.call(&ListTunnelListeners {}).await?;
            let table = listing::listeners(&listeners, &names(daemon).await?);
            output.form(&listeners, &table)
        }
    }
}

/// All profiles, or the one with this name or id.
async fn profiles(daemon: &Daemon<'_>, name: Option<&str>) -> anyhow::Result<String> {
    let mut profiles = daemon.call(&ListProfiles {}).await?;
    if let Some(name) = name {
        let is_meant = |it: &Profile| it.name.as_deref() == Some(name) || it.id == name;
        match profiles.iter().find(|it| is_meant(it)).cloned() {
            Some(meant) => profiles = vec![meant],
            None => return Err(no_such_profile(name, &profiles)),
        }
    }
    let output = daemon.output();
    let listeners = match output.is_for_people() {
        true => daemon.call(&ListTunnelListeners {}).await?,
        false => Vec::new(),
    };
    output.form(&profiles, &listing::profiles(&profiles, &listeners))
}

fn no_such_profile(name: &str, profiles: &[Profile]) -> anyhow::Error {
    let names = profiles.iter();
    let names = names.flat_map(|it| it.name.as_deref().into_iter().chain([&*it.id]));
    let advice = match plain_text::closest(name, names) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "list-profiles without a name lists all".to_owned(),
    };
    anyhow::anyhow!("there is no profile {name}: {advice}")
}

/// The names of profiles, which only people want to see.
async fn names(daemon: &Daemon<'_>) -> anyhow::Result<Names> {
    if !daemon.output().is_for_people() {
        return Ok(Names::default());
    }
    let profiles = daemon.call(&ListProfiles {}).await?;
    Ok(Names::new(&profiles))
}

async fn connections(daemon: &Daemon<'_>, show_channels: bool) -> anyhow::Result<String> {
    let connections = daemon.call(&ListConnections {}).await?;
    let table = listing::connections(&connections, &names(daemon).await?);
    if !show_channels {
        return daemon.output().form(&connections, &table);
    }
    let channels = daemon.call(&ListChannels {}).await?;
    let table = Table::Both(table.into(), listing::channels(&channels).into());
    let connections = connections.into_iter();
    let with_channels: Vec<_> = connections
        .map(|connection| with_channels(connection, &channels))
        .collect();
    daemon.output().form(&with_channels, &table)
}

fn with_channels(connection: Connection, channels: &[ChannelInfo]) -> ConnectionWithChannels {
    let id = Some(connection.id);
    let on_it = channels.iter().filter(|channel| channel.connection == id);
    ConnectionWithChannels {
        channel_list: on_it.cloned().collect(),
        connection,
    }
}

async fn transfers(daemon: &Daemon<'_>, running: bool, watched: bool) -> anyhow::Result<String> {
    let mut transfers = daemon.call(&ListTransfers {}).await?;
    if running {
        transfers.retain(|transfer| transfer.state == TransferState::Running);
    }
    if watched && daemon.output().is_for_people() {
        transfers.sort_by_key(|it| (it.state != TransferState::Running, Reverse(it.id)));
    }
    let table = listing::transfers(&transfers, &names(daemon).await?);
    daemon.output().form(&transfers, &table)
}
