//! The metrics of each tunnel: its listener, its sessions, and what it has carried.

use std::collections::BTreeMap;

use broker_config::{ListenSide, TunnelKind, TunnelSpec};
use broker_ipc::Reason;
use broker_ipc::types::{ListenerState, TunnelOrigin};

use super::ON_REQUEST;
use super::family::Family;
use super::page::{Metrics, Value};
use crate::events::{TransferKind, TransferResult};
use crate::listeners::{Listeners, OpenTunnel};
use crate::registry::{SessionRegistry, TrafficTotals, TunnelTotals, Whose, read};
use crate::snapshots;
use crate::tunnel::Tunnel;

const STATES: [ListenerState; 3] = [
    ListenerState::Listening,
    ListenerState::Waiting,
    ListenerState::Failed,
];

/// What FTP clients usually transfer: shown also if there was none, so that the first one shows as an increase.
const TRANSFERS: [TransferKind; 3] = [
    TransferKind::Upload,
    TransferKind::Download,
    TransferKind::Listing,
];
const RESULTS: [TransferResult; 5] = [
    TransferResult::Complete,
    TransferResult::Failed,
    TransferResult::Refused,
    TransferResult::Aborted,
    TransferResult::Cut,
];

/// The profile and the tunnel.
type Labels = [String; 2];

/// Adds the metrics of all tunnels of the configuration, and those of all others as one.
pub(super) fn add(metrics: &mut Metrics, listeners: &Listeners, registry: &SessionRegistry) {
    let mut shown = BTreeMap::new();
    for open in listeners.tunnels() {
        let tunnel = open.tunnel();
        let labels = labels(open, &tunnel.spec);
        add_listener(metrics, open, &tunnel, &labels);
        let carries_ftp = !matches!(tunnel.spec.kind, TunnelKind::Tcp);
        shown.insert(open.id(), (labels, carries_ftp));
    }
    let requested = ([ON_REQUEST.to_owned(), ON_REQUEST.to_owned()], false);
    registry.each_tunnel(|whose, totals, traffic| {
        let tunnel = match whose {
            Whose::Configured(id) => shown.get(&id),
            Whose::Requested => Some(&requested),
        };
        // One whose listener is closed for good is gone, though it may still serve clients.
        if let Some((labels, carries_ftp)) = tunnel {
            let mut tunnel = OfTunnel { metrics, labels };
            tunnel.add_sessions(totals, &traffic);
            tunnel.add_transfers(totals, &traffic, *carries_ftp);
        }
    });
}

/// The labels of a tunnel: as the configuration writes them, so a tunnel on a free port has the same after a restart.
fn labels(open: &OpenTunnel, spec: &TunnelSpec) -> Labels {
    if open.origin == TunnelOrigin::Command {
        return [ON_REQUEST.to_owned(), ON_REQUEST.to_owned()];
    }
    let place = format!("{}:{}", spec.listen_address, spec.listen_port);
    let place = match spec.listens {
        ListenSide::OwnHost => place,
        ListenSide::SshServer => format!("remote {place}"),
    };
    [open.profile.clone(), place]
}

fn add_listener(metrics: &mut Metrics, open: &OpenTunnel, tunnel: &Tunnel, labels: &Labels) {
    let [profile, place] = labels;
    let kind = snapshots::tunnel_kind(&tunnel.spec.kind).to_string();
    let now = open.status().state;
    for state in STATES {
        let labels = [profile, place, kind.as_str(), &state.to_string()];
        metrics.add(Family::TunnelState, &labels, state == now);
    }
    let failure = tunnel.totals.last_failure.get();
    let failing = failure.is_some_and(|it| !it.recovered);
    let labels = [profile.as_str(), place];
    metrics.add(Family::TunnelFailing, &labels, failing);
    let limit = tunnel.spec.max_sessions as u64;
    metrics.add(Family::SessionsLimit, &labels, limit);
}

/// Where the metrics of one tunnel are added.
struct OfTunnel<'a> {
    metrics: &'a mut Metrics,
    labels: &'a Labels,
}

impl OfTunnel<'_> {
    fn add(&mut self, family: Family, more: &[&str], value: impl Into<Value>) {
        let labels = self.labels.iter().map(String::as_str);
        let labels: Vec<_> = labels.chain(more.iter().copied()).collect();
        self.metrics.add(family, &labels, value);
    }

    fn add_sessions(&mut self, totals: &TunnelTotals, traffic: &TrafficTotals) {
        self.add(Family::SessionsOpen, &[], traffic.sessions_active);
        self.add(Family::Sessions, &[], read(&totals.sessions));
        for (reason, count) in totals.sessions_refused.counts() {
            self.add(Family::SessionsRefused, &[&reason.to_string()], count);
        }
        self.add(Family::Cuts, &[&Reason::Lost.to_string()], 0);
        for (reason, count) in totals.cuts.counts() {
            self.add(Family::Cuts, &[&reason.to_string()], count);
        }
        self.add(Family::TransferredBytes, &["up"], traffic.bytes_up);
        self.add(Family::TransferredBytes, &["down"], traffic.bytes_down);
    }

    fn add_transfers(&mut self, totals: &TunnelTotals, traffic: &TrafficTotals, usual: bool) {
        if usual {
            self.add_usual_transfers();
        }
        let corrected = read(&totals.replies_corrected);
        self.add(Family::RepliesCorrected, &[], corrected);
        self.add(Family::TransfersRunning, &[], traffic.transfers.active);
        for ((kind, result), count) in totals.transfers.counts() {
            self.add_transfer(kind, result, count);
        }
        for (kind, count) in totals.transfers_refused.counts() {
            self.add_transfer(kind, TransferResult::Refused, count);
        }
        for (kind, spread) in totals.transfer_times.spreads() {
            let direction = snapshots::direction(kind).to_string();
            self.add(Family::TransferSeconds, &[&direction], spread);
        }
    }

    fn add_usual_transfers(&mut self) {
        for kind in TRANSFERS {
            for result in RESULTS {
                self.add_transfer(kind, result, 0);
            }
        }
    }

    fn add_transfer(&mut self, kind: TransferKind, result: TransferResult, count: u64) {
        let direction = snapshots::direction(kind).to_string();
        self.add(Family::Transfers, &[&direction, result.as_str()], count);
    }
}
