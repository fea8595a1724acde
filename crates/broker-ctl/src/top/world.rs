//! What the daemon's events have said so far.

use std::collections::{BTreeMap, VecDeque};

use broker_ipc::types::{
    Event, EventConnection, EventKind, EventSession, LogLevel, Profile, Prompt, RecentFailure,
    Transfer, TransferState, TunnelListener,
};

/// Rates of a running transfer: one a second, as wide as the widest graph.
const RATES: usize = 240;

/// Transfers that are over: more than anybody reads on a screen. `list-transfers` has more.
const OVER: usize = 200;

/// Failures: as above. `status` and the log have more.
const FAILURES: usize = 100;

/// Lines of the log: as above.
const LINES: usize = 500;

/// The daemon's state. The daemon itself bounds its profiles, tunnels, connections, sessions and prompts.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) profiles: BTreeMap<String, Seen<Profile>>,
    pub(super) tunnels: BTreeMap<u64, Seen<TunnelListener>>,
    pub(super) connections: BTreeMap<u64, (String, EventConnection)>,
    pub(super) sessions: BTreeMap<u64, EventSession>,
    pub(super) transfers: BTreeMap<u64, Moving>,
    /// The newest last.
    pub(super) failures: VecDeque<Numbered<RecentFailure>>,
    /// The newest last.
    pub(super) log: VecDeque<Numbered<Line>>,
    pub(super) prompts: BTreeMap<u64, Prompt>,
    /// The last number that was given.
    number: u64,
}

/// Something, and when the daemon reported it.
#[derive(Debug, Clone)]
pub(super) struct Seen<T> {
    pub(super) at: u64,
    pub(super) it: T,
}

impl<T> Seen<T> {
    /// The rest of a time that the daemon has reported.
    pub(super) fn left(&self, reported: Option<u64>, now: u64) -> Option<u64> {
        let left = reported?.saturating_sub(now.saturating_sub(self.at));
        Some(left).filter(|left| *left > 0)
    }
}

/// Something with a number by which it is found again.
#[derive(Debug, Clone)]
pub(super) struct Numbered<T> {
    pub(super) number: u64,
    pub(super) it: T,
}

/// A transfer, and how fast it was in each of the last seconds.
#[derive(Debug, Clone)]
pub(super) struct Moving {
    pub(super) it: Transfer,
    pub(super) rates: VecDeque<u64>,
}

impl Moving {
    pub(super) fn runs(&self) -> bool {
        self.it.state == TransferState::Running
    }
}

/// A line of the daemon's log.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: u64,
    pub(super) level: LogLevel,
    pub(super) message: String,
}

impl World {
    /// Learns from an event. Whether the state of the daemon is complete, or events were lost, is the caller's matter.
    pub(super) fn learn(&mut self, event: Event) {
        match event.kind {
            EventKind::Connected => self.connected(event),
            EventKind::Disconnected => {
                let closed = event.connection.map(|it| it.id);
                closed.and_then(|id| self.connections.remove(&id));
            }
            EventKind::SessionOpened => {
                let opened = event.session.map(|it| (it.id, it));
                self.sessions.extend(opened);
            }
            EventKind::SessionClosed => {
                let closed = event.session.map(|it| it.id);
                closed.and_then(|id| self.sessions.remove(&id));
            }
            EventKind::TransferStarted | EventKind::TransferProgress | EventKind::TransferEnded => {
                self.moved(event.transfer);
            }
            EventKind::TunnelChanged => self.tunnel_changed(event),
            EventKind::TunnelClosed => {
                let closed = event.tunnel.map(|it| it.id);
                closed.and_then(|id| self.tunnels.remove(&id));
            }
            EventKind::ProfileChanged => {
                let at = event.at;
                let changed = event
                    .profile_state
                    .map(|it| (it.id.clone(), Seen { at, it }));
                self.profiles.extend(changed);
            }
            EventKind::Failure => event.failure.into_iter().for_each(|it| self.failed(it)),
            EventKind::PromptWaiting => {
                self.prompts.extend(event.prompt.map(|it| (it.id, it)));
            }
            EventKind::PromptAnswered => {
                let answered = event.prompt.map(|it| it.id);
                answered.and_then(|id| self.prompts.remove(&id));
            }
            EventKind::Log => {
                let at = event.at;
                let line = event.log.map(|it| Line {
                    at,
                    level: it.level,
                    message: it.message,
                });
                line.into_iter().for_each(|line| self.logged(line));
            }
            EventKind::ConfigurationChanged | EventKind::StateComplete | EventKind::Lost => {}
        }
    }

    /// Takes over what only the screen has seen of the same daemon.
    pub(super) fn continue_from(&mut self, before: &mut Self) {
        for (id, moving) in &mut self.transfers {
            if let Some(known) = before.transfers.get_mut(id) {
                moving.rates = std::mem::take(&mut known.rates);
            }
        }
    }

    /// Bytes per second of all transfers that run: up and down.
    pub(super) fn rates(&self) -> (u64, u64) {
        use broker_ipc::types::TransferDirection::{Download, Listing, Unknown, Upload};
        let mut sums = (0, 0);
        for moving in self.transfers.values().filter(|it| it.runs()) {
            match moving.it.direction {
                Upload => sums.0 += moving.it.rate,
                Download | Listing | Unknown => sums.1 += moving.it.rate,
            }
        }
        sums
    }

    /// The name of a profile, or what else it is known by.
    pub(super) fn name_of<'a>(&'a self, profile: &'a str) -> &'a str {
        let name = self.profiles.get(profile).map(|seen| &seen.it.name);
        name.and_then(Option::as_deref).unwrap_or(profile)
    }

    /// The connections of a profile.
    pub(super) fn connections_of(&self, profile: &str) -> Vec<u64> {
        let of_it = self.connections.iter().filter(|(_, (of, _))| of == profile);
        of_it.map(|(id, _)| *id).collect()
    }

    fn connected(&mut self, event: Event) {
        if let (Some(profile), Some(connection)) = (event.profile, event.connection) {
            self.connections
                .insert(connection.id, (profile, connection));
        }
    }

    fn tunnel_changed(&mut self, event: Event) {
        let at = event.at;
        match (event.listener, event.tunnel) {
            (Some(it), _) => {
                self.tunnels.insert(it.id, Seen { at, it });
            }
            (None, Some(closed)) => {
                self.tunnels.remove(&closed.id);
            }
            (None, None) => {}
        }
    }

    fn moved(&mut self, transfer: Option<Transfer>) {
        let Some(it) = transfer else {
            return;
        };
        let known = self.transfers.remove(&it.id);
        let mut rates = known.map(|known| known.rates).unwrap_or_default();
        if it.state == TransferState::Running {
            push(&mut rates, it.rate, RATES);
        }
        self.transfers.insert(it.id, Moving { it, rates });
        let over = self.transfers.iter().filter(|(_, it)| !it.runs());
        let over: Vec<u64> = over.map(|(id, _)| *id).collect();
        for id in over.iter().take(over.len().saturating_sub(OVER)) {
            self.transfers.remove(id);
        }
    }

    /// A failure that has occurred again replaces what was known of it.
    fn failed(&mut self, it: RecentFailure) {
        let same = |known: &Numbered<RecentFailure>| {
            known.it.tunnel == it.tunnel && known.it.failure.message == it.failure.message
        };
        let known = self.failures.iter().position(same);
        let known = known.and_then(|place| self.failures.remove(place));
        let number = known.map_or_else(|| self.next_number(), |known| known.number);
        push(&mut self.failures, Numbered { number, it }, FAILURES);
    }

    fn logged(&mut self, it: Line) {
        let number = self.next_number();
        push(&mut self.log, Numbered { number, it }, LINES);
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

/// Adds to the end, and makes room at the front.
fn push<T>(queue: &mut VecDeque<T>, value: T, limit: usize) {
    if queue.len() >= limit {
        queue.pop_front();
    }
    queue.push_back(value);
}
