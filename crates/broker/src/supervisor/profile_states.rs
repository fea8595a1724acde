//! Publishes the state of each profile when it has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_ipc::types::Profile;
use tokio::time::Instant;

use crate::events::{Event, Events};
use crate::listeners::Listeners;
use crate::profiles::{ChangedProfiles, Profiles};
use crate::snapshots;

/// Changes within this time are one event: a busy profile opens and closes hundreds of connections a second.
const COALESCED: Duration = Duration::from_millis(250);

/// What was published last of each profile, and when to look again.
pub(super) struct ProfileStates {
    changed: ChangedProfiles,
    events: Events,
    published: BTreeMap<String, Profile>,
    due: Option<Instant>,
}

impl ProfileStates {
    pub(super) fn new(changed: ChangedProfiles, events: Events) -> Self {
        Self {
            changed,
            events,
            published: BTreeMap::new(),
            due: None,
        }
    }

    /// When to call [`publish`](Self::publish).
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Waits until a profile can have changed, and returns when to publish that. Dropping the future loses nothing.
    pub(super) async fn change(&self) -> Instant {
        let soon = Instant::now() + COALESCED;
        if self.due.is_some_and(|due| due <= soon) {
            std::future::pending::<()>().await;
        }
        self.changed.some().await;
        Instant::now() + COALESCED
    }

    /// Something can have changed, which is published by then.
    pub(super) fn publish_by(&mut self, then: Instant) {
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }

    /// Publishes what has changed of the profiles that can have changed, and of those whose pause after an error can be
    /// over.
    pub(super) fn publish(&mut self, profiles: &Profiles, listeners: &Listeners) {
        let mut ids = self.changed.take();
        let pausing = self.published.values().filter(|it| it.retry_in.is_some());
        ids.extend(pausing.map(|it| it.id.clone()));
        for id in ids {
            match snapshots::profile(&id, profiles, listeners) {
                Some(now) => self.publish_one(now),
                None => drop(self.published.remove(&id)),
            }
        }
        let pauses = self.published.values().filter_map(|it| it.retry_in);
        let next = pauses.min().map(Duration::from_secs);
        self.due = next.map(|pause| Instant::now() + pause.max(COALESCED));
    }

    fn publish_one(&mut self, now: Profile) {
        let before = self.published.insert(now.id.clone(), now.clone());
        if before.is_none_or(|before| !is_same(&before, &now)) {
            self.events.publish(Event::ProfileChanged(Arc::new(now)));
        }
    }

    /// Any profile can have changed.
    pub(super) fn all_changed(&mut self, profiles: &Profiles) {
        let ids = profiles.ids();
        self.published.retain(|id, _| ids.contains(id));
        ids.iter().for_each(|id| self.changed.note(id));
    }
}

/// Whether two states differ in nothing but the time that has passed.
fn is_same(before: &Profile, now: &Profile) -> bool {
    let pauses = now.retry_in.filter(|_| before.retry_in.is_some());
    let silence = now.no_answer.filter(|_| before.no_answer.is_some());
    *now == Profile {
        retry_in: pauses.or(before.retry_in),
        no_answer: silence.or(before.no_answer),
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(connections: u64, retry_in: Option<u64>) -> Profile {
        Profile {
            id: "one".to_owned(),
            name: None,
            host: "h".to_owned(),
            port: 22,
            user: None,
            connections,
            tunnels: 1,
            last_error: retry_in.map(|_| "refused".to_owned()),
            no_answer: None,
            tried: Vec::new(),
            retry_in,
        }
    }

    #[test]
    fn a_pause_that_becomes_shorter_is_no_change_and_its_end_is_one() {
        assert!(is_same(&profile(0, Some(5)), &profile(0, Some(4))));
        let over = Profile {
            retry_in: None,
            ..profile(0, Some(5))
        };
        assert!(!is_same(&profile(0, Some(5)), &over));
        assert!(!is_same(&over, &profile(0, Some(5))));
        assert!(!is_same(&profile(0, None), &profile(1, None)));
    }

    #[test]
    fn a_state_is_published_once() {
        let events = Events::default();
        let mut states = ProfileStates::new(ChangedProfiles::default(), events.clone());
        states.publish_one(profile(0, None));
        states.publish_one(profile(1, None));
        states.publish_one(profile(1, None));
        assert_eq!(events.last(), 2);
    }
}
