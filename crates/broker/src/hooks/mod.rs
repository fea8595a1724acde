//! Hooks: commands that run when something has happened.
//!
//! They are subscribers of the event stream. Nothing waits for them: if they are too slow, events are left out.

mod facts;
mod process;
mod runner;
mod table;

use broker_config::Config;
use tokio::sync::watch;

use self::runner::Runner;
use self::table::HookTable;
use crate::events::Events;
use crate::shutdown::Shutdown;

/// The hooks of the daemon.
#[derive(Debug)]
pub(crate) struct Hooks(watch::Sender<HookTable>);

impl Hooks {
    /// Runs the hooks of this configuration for everything that happens from now on. Must be called within a runtime.
    pub(crate) fn start(config: &Config, events: &Events, shutdown: &Shutdown) -> Self {
        let table = watch::Sender::new(HookTable::of(config));
        let runner = Runner::new(table.subscribe(), events.subscribe(), shutdown.clone());
        shutdown.spawn_until_killed(runner.run());
        Self(table)
    }

    /// Runs the hooks of this configuration from now on. Those that run already are not touched.
    pub(crate) fn replace(&self, config: &Config) {
        self.0.send_replace(HookTable::of(config));
    }
}
