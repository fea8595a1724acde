//! The clients that the daemon serves: who they are, and what they wait for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use crate::error::RpcError;
use crate::methods::{ClientRequest, Done};
use crate::peer::Peer;
use crate::types::ClientInfo;

/// The most characters of the version that a client claims to have. Ours are shorter.
const MAX_BUILD: usize = 100;

/// All clients of one socket. The server admits a limited number.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    present: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    info: ClientInfo,
    leave: CancellationToken,
}

impl Clients {
    /// Adds a client, which stays in the list as long as the result.
    pub(crate) fn arrived(self: &Arc<Self>, peer: Peer, build: &str) -> Present {
        let leave = CancellationToken::new();
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let info = ClientInfo {
            id,
            pid: peer.pid,
            uid: peer.uid,
            program: peer.program,
            build: build.chars().take(MAX_BUILD).collect(),
            since: now(),
            waits_for: Vec::new(),
        };
        let entry = Entry {
            info,
            leave: leave.clone(),
        };
        state.present.insert(id, entry);
        drop(state);
        Present {
            id,
            clients: self.clone(),
            leave,
        }
    }

    /// Answers a request about the clients.
    pub(crate) fn answer(&self, request: ClientRequest) {
        match request {
            ClientRequest::ListClients(_, reply) => {
                let state = self.state();
                let infos = state.present.values().map(|entry| entry.info.clone());
                reply.send(Ok(infos.collect()));
            }
            ClientRequest::DisconnectClient(asked, reply) => reply.send(self.disconnect(asked.id)),
        }
    }

    fn disconnect(&self, id: u64) -> Result<Done, RpcError> {
        match self.state().present.get(&id) {
            Some(entry) => {
                entry.leave.cancel();
                Ok(Done {})
            }
            None => Err(RpcError::not_found(format!("there is no client {id}"))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client in the list.
pub(crate) struct Present {
    id: u64,
    clients: Arc<Clients>,
    leave: CancellationToken,
}

impl Present {
    /// All clients, this one among them.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Waits until somebody disconnects it.
    pub(crate) async fn disconnected(&self) {
        self.leave.cancelled().await;
    }

    /// It waits for the answer of this method, as long as the result exists.
    pub(crate) fn waits_for(&self, method: &'static str) -> Waiting<'_> {
        self.change(|methods| methods.push(method.to_owned()));
        Waiting {
            client: self,
            method,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<String>)) {
        if let Some(entry) = self.clients.state().present.get_mut(&self.id) {
            change(&mut entry.info.waits_for);
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.clients.state().present.remove(&self.id);
    }
}

/// A client waits for an answer.
pub(crate) struct Waiting<'a> {
    client: &'a Present,
    method: &'static str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.client.change(|methods| {
            if let Some(at) = methods.iter().position(|it| it == self.method) {
                methods.remove(at);
            }
        });
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
