//! The metrics of the daemon: what its owners have counted, as a monitoring system reads it.
//!
//! Nothing is counted here. Each family says what it shows, and the functions below read it from the owner. Labels come
//! from the configuration and from fixed words, never from clients or servers, so their number is bounded.

mod family;
mod page;
mod process;
mod profiles;
mod tunnels;

pub use self::page::Metrics;

use std::time::SystemTime;

use broker_ipc::RpcError;
use broker_ipc::types::MetricsPage;

use self::family::Family;
use crate::events::Events;
use crate::hooks::HookTotals;
use crate::listeners::Listeners;
use crate::profiles::Profiles;
use crate::prompts::PromptQueue;
use crate::registry::{SessionRegistry, read};
use crate::unix_time::unix;

/// The label of everything that commands have opened, and of targets without a profile: their number has no bound, since
/// a script can name new ones each day. They are summed up.
const ON_REQUEST: &str = "on-request";

/// Whose metrics there are.
pub(crate) struct Sources<'a> {
    pub(crate) listeners: &'a Listeners,
    pub(crate) profiles: &'a Profiles,
    pub(crate) registry: &'a SessionRegistry,
    pub(crate) events: &'a Events,
    pub(crate) hooks: &'a HookTotals,
    pub(crate) prompts: &'a PromptQueue,
    pub(crate) reloads: &'a Reloads,
    pub(crate) started: SystemTime,
    pub(crate) stopping: bool,
}

/// What has become of the configuration since the start.
#[derive(Debug)]
pub(crate) struct Reloads {
    generation: u64,
    applied: SystemTime,
    last_failed: bool,
}

impl Reloads {
    /// The configuration of the start is in use.
    pub(crate) fn new() -> Self {
        Self {
            generation: 1,
            applied: SystemTime::now(),
            last_failed: false,
        }
    }

    /// A reload was applied.
    pub(crate) fn applied(&mut self) {
        self.generation += 1;
        self.applied = SystemTime::now();
        self.last_failed = false;
    }

    /// A reload has failed.
    pub(crate) fn failed(&mut self) {
        self.last_failed = true;
    }
}

/// All metrics except those of the process.
pub(crate) fn gather(sources: &Sources<'_>) -> Metrics {
    let mut metrics = Metrics::default();
    tunnels::add(&mut metrics, sources.listeners, sources.registry);
    profiles::add(&mut metrics, sources.profiles);
    add_daemon(&mut metrics, sources);
    metrics
}

/// The same with those of the process; `None` if the daemon is ending.
pub(crate) async fn with_process(mut metrics: Metrics) -> Option<Metrics> {
    // Counting descriptors takes milliseconds if there are many.
    let adding = tokio::task::spawn_blocking(move || {
        process::add(&mut metrics);
        metrics
    });
    adding.await.ok()
}

/// The metrics for the local socket.
///
/// # Errors
/// If the daemon is ending.
pub(crate) async fn page(metrics: Metrics) -> Result<MetricsPage, RpcError> {
    let metrics = with_process(metrics).await;
    let metrics = metrics.ok_or_else(|| RpcError::internal("the daemon is ending"))?;
    let text = metrics.prometheus_text().map_err(RpcError::internal)?;
    Ok(MetricsPage { text })
}

fn add_daemon(metrics: &mut Metrics, sources: &Sources<'_>) {
    let Sources { reloads, hooks, .. } = sources;
    for (result, count) in hooks.runs() {
        metrics.add(Family::HookRuns, &[result], count);
    }
    for (family, value) in [
        (Family::PromptsWaiting, sources.prompts.waiting() as u64),
        (Family::HookEventsDropped, read(&hooks.dropped)),
        (Family::EventsLost, sources.events.lost()),
        (Family::ConfigGeneration, reloads.generation),
        (
            Family::ConfigReloadSuccessful,
            u64::from(!reloads.last_failed),
        ),
        (Family::ConfigReloadedAt, unix(reloads.applied)),
        (Family::Stopping, u64::from(sources.stopping)),
        (Family::ProcessStartedAt, unix(sources.started)),
    ] {
        metrics.add(family, &[], value);
    }
    metrics.add(Family::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
}
