//! The SSH agent: its socket, and the keys that it has

use std::path::Path;
use std::time::Duration;

use russh::keys::PublicKey;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use tokio::time::timeout;

/// How long the agent may take to list its keys.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type AgentConnection = AgentClient<Box<dyn AgentStream + Send + Unpin>>;

/// An agent and its keys.
#[derive(Default)]
pub(super) struct Agent {
    pub(super) client: Option<AgentConnection>,
    pub(super) held: Vec<AgentIdentity>,
}

impl Agent {
    /// Connects to the agent and lists its keys. Many users have no agent, so one that does not answer is no failure.
    pub(super) async fn connect(socket: Option<&Path>) -> Self {
        let Some(mut client) = connect(socket).await else {
            return Self::default();
        };
        match timeout(LIST_TIMEOUT, client.request_identities()).await {
            Ok(Ok(held)) => {
                let client = Some(client);
                Self { client, held }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the SSH agent does not list its keys, so none of them is used");
                Self::default()
            }
            Err(_) => {
                tracing::warn!("the SSH agent does not answer, so none of its keys is used");
                Self::default()
            }
        }
    }

    /// This key and its certificates as the agent has them.
    pub(super) fn holds(&self, key: &PublicKey) -> Vec<AgentIdentity> {
        let held = self.held.iter();
        held.filter(|identity| identity.public_key().key_data() == key.key_data())
            .cloned()
            .collect()
    }
}

/// The agent at this socket, or the one that SSH_AUTH_SOCK names.
#[cfg(unix)]
async fn connect(socket: Option<&Path>) -> Option<AgentConnection> {
    let connected = match socket {
        Some(socket) => AgentClient::connect_uds(socket).await,
        None => AgentClient::connect_env().await,
    };
    connected.ok().map(AgentClient::dynamic)
}

/// The agent at this pipe, or that of Windows' own OpenSSH.
#[cfg(windows)]
async fn connect(pipe: Option<&Path>) -> Option<AgentConnection> {
    let usual = Path::new(r"\\.\pipe\openssh-ssh-agent");
    AgentClient::connect_named_pipe(pipe.unwrap_or(usual))
        .await
        .ok()
        .map(AgentClient::dynamic)
}
