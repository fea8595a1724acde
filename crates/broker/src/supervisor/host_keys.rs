//! Requests about the host keys of SSH servers: to see them, and to store one as known.

use std::sync::Arc;

use broker_ipc::RpcError;
use broker_ipc::methods::{ProbeKey, TrustHost};
use broker_ipc::types::{HostKey, HostKeyStanding};
use broker_ssh::ConnectSpec;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::target;
use crate::profiles::{Connections, Profiles};
use crate::reasons::connect_failed;

/// Makes a server show its keys.
pub(super) fn probe(
    profiles: &Profiles,
    asked: &ProbeKey,
    tracker: TaskTracker,
) -> impl Future<Output = Result<Vec<HostKey>, RpcError>> + use<> {
    let spec = spec_of(profiles, &asked.target);
    async move {
        let keys = broker_ssh::probe(&spec?, &tracker).await;
        let keys = keys.map_err(|error| connect_failed(&error))?;
        Ok(keys.into_iter().map(view).collect())
    }
}

/// Makes a server show its keys, and stores one of them.
pub(super) fn trust(
    profiles: &Profiles,
    asked: TrustHost,
    tracker: TaskTracker,
) -> impl Future<Output = Result<HostKey, RpcError>> + use<> {
    let spec = spec_of(profiles, &asked.target);
    let waiting = spec.as_ref().map(|spec| users_of(profiles, spec));
    let waiting = waiting.unwrap_or_default();
    async move {
        let spec = spec?;
        let kept = broker_ssh::trust(&spec, &tracker, &asked.fingerprint).await;
        let key = kept.map_err(|error| connect_failed(&error))?;
        let (server, fingerprint) = (spec.server(), &key.fingerprint);
        info!(server, %fingerprint, "host key stored as known, as asked");
        // Clients were refused because this key was unknown; the next one need not wait.
        waiting.iter().for_each(|used| used.shared().retry_now());
        Ok(view(key))
    }
}

fn spec_of(profiles: &Profiles, target: &str) -> Result<ConnectSpec, RpcError> {
    let profile = target::server(profiles.config(), target)?;
    Ok(profiles.connect_spec(&profile))
}

/// The connections of all profiles that have this server.
fn users_of(profiles: &Profiles, spec: &ConnectSpec) -> Vec<Arc<Connections>> {
    let pools = profiles.pools();
    let users =
        pools.filter(|pool| pool.profile.host == spec.host && pool.profile.port == spec.port);
    users.map(|pool| pool.connections.clone()).collect()
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
