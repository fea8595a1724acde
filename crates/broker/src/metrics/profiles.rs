//! The metrics of the SSH connections of each profile.

use std::collections::BTreeMap;

use broker_ssh::{ConnectionInfo, ConnectionKind, ConnectionPhase};

use super::ON_REQUEST;
use super::family::Family;
use super::page::Metrics;
use crate::profiles::{ConnectionEnd, ConnectionTotals, ProfilePool, Profiles};

const KINDS: [ConnectionKind; 2] = [ConnectionKind::Control, ConnectionKind::Data];
const ENDS: [ConnectionEnd; 2] = [ConnectionEnd::Closed, ConnectionEnd::Lost];
/// The result of an attempt that succeeded.
const OK: &str = "ok";

/// Adds the metrics of all configured profiles, and of targets without one if there are some.
pub(super) fn add(metrics: &mut Metrics, profiles: &Profiles) {
    let mut pools = BTreeMap::<_, Vec<_>>::new();
    for pool in profiles.pools() {
        pools.entry(label(pool)).or_default().push(pool);
    }
    for profile in &profiles.config().profiles {
        let name = profile.name.as_deref().unwrap_or_default();
        metrics.add(Family::ProfileInfo, &[&profile.id, name], 1);
        pools.entry(&profile.id).or_default();
    }
    for (label, pools) in pools {
        add_connections(metrics, label, &pools);
        add_totals(metrics, label, &profiles.totals_of(label));
    }
}

fn label(pool: &ProfilePool) -> &str {
    match pool.adhoc {
        true => ON_REQUEST,
        false => &pool.profile.id,
    }
}

fn add_connections(metrics: &mut Metrics, label: &str, pools: &[&ProfilePool]) {
    let connections: Vec<_> = pools.iter().flat_map(|it| it.connections.list()).collect();
    for kind in KINDS {
        let up = connections.iter().filter(|it| it.kind == kind && is_up(it));
        let labels = [label, kind.as_str()];
        metrics.add(Family::SshConnections, &labels, up.count() as u64);
    }
    let snapshots: Vec<_> = pools.iter().map(|it| it.snapshot()).collect();
    let failing = snapshots.iter().any(|it| it.last_error.is_some());
    let backoff = snapshots.iter().filter_map(|it| it.retry_in).max();
    let backoff = backoff.unwrap_or_default().as_secs_f64();
    metrics.add(Family::SshFailing, &[label], failing);
    metrics.add(Family::SshBackoffSeconds, &[label], backoff);
}

fn is_up(connection: &ConnectionInfo) -> bool {
    match connection.phase {
        ConnectionPhase::Open | ConnectionPhase::Idle | ConnectionPhase::Leased => true,
        ConnectionPhase::Connecting | ConnectionPhase::Closed => false,
    }
}

fn add_totals(metrics: &mut Metrics, label: &str, totals: &ConnectionTotals) {
    for kind in KINDS {
        metrics.add(Family::SshAttempts, &[label, kind.as_str(), OK], 0);
        for end in ENDS {
            let labels = [label, kind.as_str(), end.as_str()];
            metrics.add(Family::SshEnded, &labels, 0);
        }
    }
    for ((kind, failure), count) in totals.attempts.counts() {
        let result = failure.map_or_else(|| OK.to_owned(), |it| it.to_string());
        metrics.add(Family::SshAttempts, &[label, kind.as_str(), &result], count);
    }
    for (succeeded, spread) in totals.attempt_times.spreads() {
        let result = if succeeded { OK } else { "failed" };
        metrics.add(Family::SshAttemptSeconds, &[label, result], spread);
    }
    for ((kind, end), count) in totals.ended.counts() {
        let labels = [label, kind.as_str(), end.as_str()];
        metrics.add(Family::SshEnded, &labels, count);
    }
    if let Some(at) = totals.last_connected() {
        metrics.add(Family::SshConnectedAt, &[label], at);
    }
}
