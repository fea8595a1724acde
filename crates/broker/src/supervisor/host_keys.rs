//! Requests about the host keys of SSH servers: to see them, and to store one as known.

use std::sync::Arc;

use broker_ipc::methods::{ProbeKey, TrustHost};
use broker_ipc::types::{HostKey, HostKeyStanding};
use broker_ipc::{ReplySender, RpcError};
use broker_ssh::ConnectSpec;
use tracing::info;

use super::target;
use crate::profiles::Connections;
use crate::supervisor::{Supervisor, connect_failed};

impl Supervisor {
    /// Has a server show its keys.
    pub(crate) fn probe_key(&self, asked: &ProbeKey, reply: ReplySender<ProbeKey>) {
        let tracker = self.tracker.clone();
        let spec = self.spec_of(&asked.target);
        self.reply_later(reply, async move {
            let keys = broker_ssh::probe(&spec?, &tracker).await;
            let keys = keys
                .map_err(|error| connect_failed(&error))?
                .into_iter()
                .map(view);
            Ok(keys.collect())
        });
    }

    /// Has a server show its keys, and stores one of them.
    pub(crate) fn trust_host(&self, asked: TrustHost, reply: ReplySender<TrustHost>) {
        let tracker = self.tracker.clone();
        let spec = self.spec_of(&asked.target);
        let waiting = spec
            .as_ref()
            .map_or_else(|_| Vec::new(), |it| self.users_of(it));
        self.reply_later(reply, async move {
            let spec = spec?;
            let kept = broker_ssh::trust(&spec, &tracker, &asked.fingerprint).await;
            let key = kept.map_err(|error| connect_failed(&error))?;
            let (server, fingerprint) = (spec.server(), &key.fingerprint);
            info!(server, %fingerprint, "host key stored as known, as asked");
            // Clients were refused for want of this key: the next one need not wait.
            waiting.iter().for_each(|used| used.shared().retry_now());
            Ok(view(key))
        });
    }

    fn spec_of(&self, target: &str) -> Result<ConnectSpec, RpcError> {
        let profile = target::server(&self.config, target)?;
        Ok(self.connect_spec(&profile))
    }

    /// The connections of all profiles that have this server.
    fn users_of(&self, spec: &ConnectSpec) -> Vec<Arc<Connections>> {
        let owners = self.pools.values();
        let users = owners
            .filter(|owner| owner.profile.host == spec.host && owner.profile.port == spec.port);
        users.map(|owner| owner.connections.clone()).collect()
    }
}

fn view(key: broker_ssh::HostKey) -> HostKey {
    use broker_ssh::HostKeyStanding::{Changed, Known, Revoked, Unknown};
    let (standing, known_at) = match key.standing {
        Known(place) => (HostKeyStanding::Known, Some(place)),
        Unknown => (HostKeyStanding::Unknown, None),
        Changed(former) => (HostKeyStanding::Changed, Some(former)),
        Revoked(place) => (HostKeyStanding::Revoked, Some(place)),
    };
    HostKey {
        algorithm: key.algorithm,
        bits: key.bits,
        fingerprint: key.fingerprint,
        randomart: key.randomart,
        standing,
        known_at,
    }
}
