//! What is true now, as the events that would have led to it.

use std::sync::Arc;
use std::time::SystemTime;

use broker_ipc::types::{Event, EventConfiguration, EventKind, Transfer, TransferState};
use broker_ssh::ConnectionPhase;

use super::events::{bare, of_listener};
use super::{listener, profile, transfers, view};
use crate::events::{ConnectionFacts, Event as Happened, Numbered};
use crate::listeners::Listeners;
use crate::profiles::{ProfilePool, Profiles};
use crate::prompts::PromptQueue;
use crate::registry::SessionRegistry;

/// The transfers that are over and part of it: those of the last minutes, a screen full.
const OVER: usize = 50;

/// Those who know what is true.
pub(crate) struct State<'a> {
    pub(crate) configuration: &'a Arc<EventConfiguration>,
    pub(crate) profiles: &'a Profiles,
    pub(crate) listeners: &'a Listeners,
    pub(crate) registry: &'a SessionRegistry,
    pub(crate) prompts: &'a PromptQueue,
    /// The number of each event.
    pub(crate) number: u64,
}

/// Everything, in the order in which a client can build on it.
pub(crate) fn state(known: &State<'_>) -> Vec<Event> {
    let configuration = Happened::ConfigurationChanged(known.configuration.clone());
    let mut all = vec![known.now(configuration)];
    all.extend(known.profiles());
    all.extend(known.tunnels());
    all.extend(known.connections());
    all.extend(known.sessions());
    all.extend(known.transfers());
    all.extend(known.failures());
    let prompts = known.prompts.pending().into_iter();
    all.extend(prompts.map(|it| known.now(Happened::PromptWaiting(it))));
    all
}

impl State<'_> {
    fn at(&self, at: SystemTime, event: Happened) -> Event {
        view(Numbered {
            number: self.number,
            at,
            event,
        })
    }

    fn now(&self, event: Happened) -> Event {
        self.at(SystemTime::now(), event)
    }

    fn bare(&self, kind: EventKind) -> Event {
        bare(self.number, SystemTime::now(), kind)
    }

    fn profiles(&self) -> impl Iterator<Item = Event> {
        let ids = self.profiles.ids().into_iter();
        let rows = ids.filter_map(|id| profile(&id, self.profiles, self.listeners));
        rows.map(|row| self.now(Happened::ProfileChanged(Arc::new(row))))
    }

    fn tunnels(&self) -> impl Iterator<Item = Event> {
        self.listeners.tunnels().map(|open| {
            let row = listener(open, self.profiles, self.registry);
            of_listener(self.bare(EventKind::TunnelChanged), &open.profile, row)
        })
    }

    fn connections(&self) -> impl Iterator<Item = Event> {
        self.profiles.pools().flat_map(|pool| self.connected(pool))
    }

    /// The connections of a pool that are up.
    fn connected(&self, pool: &ProfilePool) -> Vec<Event> {
        let is_up = |phase| match phase {
            ConnectionPhase::Open | ConnectionPhase::Idle | ConnectionPhase::Leased => true,
            ConnectionPhase::Connecting | ConnectionPhase::Closed => false,
        };
        let connections = pool.connections.list().into_iter();
        let up = connections.filter(|it| is_up(it.phase));
        up.map(|it| {
            let facts = ConnectionFacts {
                id: it.id,
                profile: pool.profile.id.clone(),
                kind: it.kind,
            };
            self.at(it.since, Happened::Connected(facts))
        })
        .collect()
    }

    fn sessions(&self) -> impl Iterator<Item = Event> {
        let sessions = self.registry.sessions().into_iter();
        sessions.map(|it| self.at(it.channel.since, Happened::SessionOpened(it.facts())))
    }

    /// Those that run, and then the last ones that are over.
    fn transfers(&self) -> impl Iterator<Item = Event> {
        let all = transfers(self.registry).into_iter();
        let (running, over): (Vec<_>, Vec<_>) =
            all.partition(|it| it.state == TransferState::Running);
        let others = over.len().saturating_sub(OVER);
        let last = over.into_iter().skip(others);
        running.into_iter().chain(last).map(|it| self.transfer(it))
    }

    fn transfer(&self, it: Transfer) -> Event {
        let (kind, at) = match it.state {
            TransferState::Running => (EventKind::TransferStarted, it.started),
            TransferState::Complete
            | TransferState::Failed
            | TransferState::Refused
            | TransferState::Aborted
            | TransferState::Cut => {
                let ended = it.started + it.duration_ms / 1000;
                (EventKind::TransferEnded, ended)
            }
        };
        Event {
            profile: Some(it.profile.clone()),
            transfer: Some(it),
            ..Event::new(self.number, at, kind)
        }
    }

    fn failures(&self) -> impl Iterator<Item = Event> {
        let failures = self.registry.failures().into_iter();
        failures.map(|it| {
            let event = Event::new(self.number, it.failure.time, EventKind::Failure);
            Event {
                profile: self.profile_of(it.tunnel),
                failure: Some(it),
                ..event
            }
        })
    }

    /// The profile of a tunnel, unless that is closed.
    fn profile_of(&self, tunnel: u64) -> Option<String> {
        let open = self.listeners.tunnel(tunnel).ok()?;
        Some(open.profile.clone())
    }
}
