//! Hooks: commands that run when something has happened.
//!
//! They are subscribers of the event stream. Nothing waits for them: if they are too slow, events are left out.

mod facts;
mod process;
mod runner;
mod table;
mod totals;

use std::sync::Arc;

use broker_config::Config;
use tokio::sync::watch;

use self::runner::Runner;
use self::table::HookTable;
pub(crate) use self::totals::HookTotals;
use crate::events::Events;
use crate::shutdown::Shutdown;

/// The hooks of the daemon.
#[derive(Debug)]
pub(crate) struct Hooks {
    table: watch::Sender<HookTable>,
    totals: Arc<HookTotals>,
}

impl Hooks {
    /// Runs the hooks of this configuration for everything that happens from now on. Must be called within a runtime.
    pub(crate) fn start(config: &Config, events: &Events, shutdown: &Shutdown) -> Self {
        let table = watch::Sender::new(HookTable::of(config));
        let totals = Arc::<HookTotals>::default();
        let runner = Runner::new(
            table.subscribe(),
            events.subscribe(),
            totals.clone(),
            shutdown.clone(),
        );
        shutdown.spawn_until_killed(runner.run());
        Self { table, totals }
    }

    /// Runs the hooks of this configuration from now on. Those that run already are not touched.
    pub(crate) fn replace(&self, config: &Config) {
        self.table.send_replace(HookTable::of(config));
    }

    /// What has become of hooks since the start.
    pub(crate) fn totals(&self) -> &HookTotals {
        &self.totals
    }
}
