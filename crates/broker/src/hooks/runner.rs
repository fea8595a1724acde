//! The task that runs hooks: few at a time, and never so that anything waits for it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use broker_config::Hook;
use broker_ssh::command_name;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{debug, info, warn};

use super::facts::{Connected, Occasion, name};
use super::process::{self, HookEnd};
use super::table::HookTable;
use super::totals::{HookResult, HookTotals};
use crate::events::Numbered;
use crate::registry::add;
use crate::shutdown::Shutdown;

/// Hooks that run at once: enough for those that wait for a network, few enough for a small host.
const MAX_RUNNING: usize = 8;

/// Hooks that wait for their turn: a burst of transfers. With short hooks they wait seconds.
const MAX_WAITING: usize = 256;

/// The status with which a shell ends that cannot run a command (POSIX, section 2.8.2).
const NOT_RUN: [i32; 2] = [126, 127];

/// A hook and what it is about. A daemon that stops waits for it as for a transfer.
struct Job {
    hook: Arc<Hook>,
    occasion: Arc<Occasion>,
    _working: TaskTrackerToken,
}

/// Everything about the hooks that run.
pub(super) struct Runner {
    table: watch::Receiver<HookTable>,
    events: broadcast::Receiver<Numbered>,
    totals: Arc<HookTotals>,
    shutdown: Shutdown,
    connected: Connected,
    waiting: VecDeque<Job>,
    running: FuturesUnordered<BoxFuture<'static, (Job, HookEnd)>>,
    /// How many were left out since the last one that waited had its turn.
    dropped: u64,
    /// The commands of which the log tells that they cannot be run.
    broken: BTreeSet<String>,
}

impl Runner {
    pub(super) fn new(
        table: watch::Receiver<HookTable>,
        events: broadcast::Receiver<Numbered>,
        totals: Arc<HookTotals>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            table,
            events,
            totals,
            shutdown,
            connected: Connected::default(),
            waiting: VecDeque::new(),
            running: FuturesUnordered::new(),
            dropped: 0,
            broken: BTreeSet::new(),
        }
    }

    /// Runs hooks until dropped, which ends them.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(event) => self.happened(&event),
                    Err(RecvError::Lagged(lost)) => {
                        self.connected.forget();
                        if !self.table.borrow().is_empty() {
                            self.leave_out(lost);
                        }
                    }
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                Some((job, end)) = self.running.next() => self.ended(&job, end),
            }
            self.start_waiting();
        }
    }

    fn happened(&mut self, event: &Numbered) {
        let Some(occasion) = self.connected.occasion(&event.event) else {
            return;
        };
        let occasion = Arc::new(occasion);
        let table = self.table.borrow();
        let hooks = table.wanted(&occasion.profile, occasion.on);
        let hooks: Vec<_> = hooks.cloned().collect();
        drop(table);
        for hook in hooks {
            if self.waiting.len() >= MAX_WAITING {
                self.leave_out(1);
                continue;
            }
            self.waiting.push_back(Job {
                hook,
                occasion: occasion.clone(),
                _working: self.shutdown.working(),
            });
        }
    }

    fn leave_out(&mut self, count: u64) {
        if self.dropped == 0 {
            warn!(
                running = self.running.len(),
                waiting = self.waiting.len(),
                "hooks are too slow for what happens: events are left out until fewer hooks wait"
            );
        }
        self.dropped += count;
        add(&self.totals.dropped, count);
    }

    fn start_waiting(&mut self) {
        while self.running.len() < MAX_RUNNING
            && let Some(job) = self.waiting.pop_front()
        {
            self.running.push(Box::pin(async move {
                let Hook {
                    command, timeout, ..
                } = &*job.hook;
                let end = process::run(command, &job.occasion.facts, *timeout).await;
                (job, end)
            }));
        }
        if self.dropped > 0 && self.waiting.is_empty() {
            let left_out = std::mem::take(&mut self.dropped);
            info!(left_out, "hooks keep up again");
        }
    }

    fn ended(&mut self, job: &Job, end: HookEnd) {
        let command = &job.hook.command;
        let hook = command_name(command);
        let (on, profile) = (name(job.occasion.on), &job.occasion.profile);
        match end {
            HookEnd::Succeeded => {
                self.totals.over.count(HookResult::Succeeded);
                self.broken.remove(command);
                debug!(%hook, on, %profile, "hook succeeded");
            }
            HookEnd::Failed { status, output }
                if status.code().is_some_and(|code| NOT_RUN.contains(&code)) =>
            {
                self.not_run(job, &output);
            }
            HookEnd::Failed { status, output } => {
                self.totals.over.count(HookResult::Failed);
                warn!(%hook, on, %profile, %status, %output, "hook failed");
            }
            HookEnd::TooLong { output } => {
                self.totals.over.count(HookResult::TooLong);
                let seconds = job.hook.timeout.as_secs();
                warn!(%hook, on, %profile, seconds, %output, "hook ended by the broker: it ran longer than its timeout");
            }
            HookEnd::NotStarted(error) => self.not_run(job, &error.to_string()),
        }
    }

    /// Tells once that a hook cannot be run.
    fn not_run(&mut self, job: &Job, reason: &str) {
        self.totals.over.count(HookResult::NotRun);
        let command = &job.hook.command;
        if self.broken.len() < MAX_WAITING && self.broken.insert(command.clone()) {
            let hook = command_name(command);
            let on = name(job.occasion.on);
            warn!(%hook, on, %reason, "hook cannot be run; the log says so once for each hook");
        }
    }
}
