//! The daemon's names and ids, which a shell offers while somebody types a command.
//!
//! A completion never starts a daemon, and never prints an error into somebody's command line.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use broker_ipc::methods::{
    ListChannels, ListClients, ListConnections, ListProfiles, ListTunnelListeners,
};
use broker_ipc::{Client, Method, Patience, find_socket};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use plain_text::{host_port, printable};
use tokio::time::timeout;

/// A person who types notices a longer pause. The daemon answers within milliseconds.
const LIMIT: Duration = Duration::from_millis(150);

/// The socket that the command line names, if it does. The functions that clap calls for candidates get nothing of the
/// rest of the line.
static SOCKET: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Asks the daemon on this socket from now on.
pub(crate) fn ask_at(socket: Option<PathBuf>) {
    // There is one completion in the life of a process.
    let _ = SOCKET.set(socket);
}

/// Names of profiles.
pub(crate) fn profiles() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let profiles = ask(&ListProfiles {}).unwrap_or_default();
        let listed = profiles.into_iter().map(|it| {
            let server = host_port(&it.host, it.port);
            candidate(it.name.unwrap_or(it.id), server)
        });
        listed.collect()
    })
}

/// Ids of SSH connections.
pub(crate) fn connections() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let connections = ask(&ListConnections {}).unwrap_or_default();
        let listed = connections
            .into_iter()
            .map(|it| candidate(it.id, it.target));
        listed.collect()
    })
}

/// Ids of SSH channels.
pub(crate) fn channels() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let channels = ask(&ListChannels {}).unwrap_or_default();
        let listed = channels.into_iter().map(|it| {
            let about = it.command.unwrap_or(it.target);
            candidate(it.id, about)
        });
        listed.collect()
    })
}

/// Ids of clients of the local socket. The one that asks is gone before anybody could choose it.
pub(crate) fn clients() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let clients = ask(&ListClients {}).unwrap_or_default();
        let others = clients
            .into_iter()
            .filter(|it| it.pid != Some(std::process::id()));
        let listed = others.map(|it| candidate(it.id, it.program.unwrap_or_default()));
        listed.collect()
    })
}

/// Ids of tunnel listeners.
pub(crate) fn listeners() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let listeners = ask(&ListTunnelListeners {}).unwrap_or_default();
        let listed = listeners
            .into_iter()
            .map(|it| candidate(it.id, host_port(&it.address, it.port)));
        listed.collect()
    })
}

fn candidate(value: impl ToString, about: String) -> CompletionCandidate {
    let about = printable(&about);
    CompletionCandidate::new(value.to_string()).help(Some(about.into()))
}

/// The daemon's answer. `None` if there is no daemon, or none that answers this in time.
fn ask<M: Method>(request: &M) -> Option<M::Reply> {
    let named = SOCKET.get().cloned().flatten();
    let socket = named.unwrap_or_else(find_socket);
    let asked = async {
        let client = Client::connect(&socket, Patience::of(LIMIT)).await.ok()?;
        client.call(request).await.ok()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.ok()?;
    runtime.block_on(async { timeout(LIMIT, asked).await.ok()? })
}
