//! The screen's state: what the daemon has reported, and what the person looks at. It knows no terminal, no socket and no
//! clock.

use broker_ipc::types::{Event, EventKind};

use super::look::Look;
use super::request::Request;
use super::rows::{Key, Pane, Row};
use super::world::World;

/// What comes from the daemon.
#[derive(Debug)]
pub(super) enum Heard {
    /// The subscription begins. The state of the daemon follows as events.
    Up {
        pid: u32,
        build: String,
    },
    Event(Box<Event>),
    /// The connection has ended, for this reason.
    Down(String),
    /// A request has had this outcome.
    Outcome(Result<String, String>),
}

/// The connection to the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    Up { pid: u32, build: String },
    Down { reason: String },
}

/// What covers the panes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Overlay {
    Help,
    Details { pane: Pane, key: Key, scroll: u16 },
    Confirm(Request),
}

/// A line for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) bad: bool,
}

/// What the person sees in one pane.
#[derive(Debug, Clone, Default)]
pub(super) struct PaneView {
    pub(super) order: usize,
    /// `None`: the first row, and in the log the last.
    pub(super) selected: Option<Key>,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) look: Look,
    pub(super) link: Link,
    pub(super) focus: Pane,
    /// Whether the pane with the focus has the whole screen.
    pub(super) zoomed: bool,
    pub(super) filter: String,
    /// Whether keys go into the filter.
    pub(super) typing: bool,
    pub(super) overlay: Option<Overlay>,
    pub(super) notice: Option<Notice>,
    panes: [PaneView; Pane::ALL.len()],
    world: World,
    /// The state that is not yet complete.
    coming: Option<World>,
    /// What the person sees while the screen is paused.
    frozen: Option<(World, u64)>,
    now: u64,
}

impl Model {
    pub(super) fn new(look: Look, now: u64) -> Self {
        let reason = "it has not answered yet".to_owned();
        Self {
            look,
            link: Link::Down { reason },
            focus: Pane::Transfers,
            zoomed: false,
            filter: String::new(),
            typing: false,
            overlay: None,
            notice: None,
            panes: Default::default(),
            world: World::default(),
            coming: None,
            frozen: None,
            now,
        }
    }

    /// Learns something from the daemon.
    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Up { pid, build } => {
                self.link = Link::Up { pid, build };
                self.coming = Some(World::default());
            }
            Heard::Down(reason) => {
                self.link = Link::Down { reason };
                self.coming = None;
                // It was about the daemon that is gone.
                self.notice = None;
            }
            Heard::Event(event) => self.learn(*event),
            Heard::Outcome(Ok(text)) => self.tell(text, false),
            Heard::Outcome(Err(text)) => self.tell(text, true),
        }
    }

    fn learn(&mut self, event: Event) {
        if event.kind == EventKind::StateComplete {
            if let Some(mut complete) = self.coming.take() {
                complete.continue_from(&mut self.world);
                self.world = complete;
            }
            return;
        }
        let world = self.coming.as_mut().unwrap_or(&mut self.world);
        world.learn(event);
    }

    /// The time is this now, in Unix seconds.
    pub(super) fn tick(&mut self, now: u64) {
        self.now = now;
    }

    pub(super) fn tell(&mut self, text: impl Into<String>, bad: bool) {
        let text = text.into();
        self.notice = Some(Notice { text, bad });
    }

    /// What to show: the daemon's state and its time.
    pub(super) fn shown(&self) -> (&World, u64) {
        match &self.frozen {
            Some((world, then)) => (world, *then),
            None => (&self.world, self.now),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// Stops showing what happens, or shows it again.
    pub(super) fn pause(&mut self) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some((self.world.clone(), self.now)),
        };
    }

    pub(super) fn view(&self, pane: Pane) -> &PaneView {
        let [profiles, tunnels, transfers, failures, log] = &self.panes;
        match pane {
            Pane::Profiles => profiles,
            Pane::Tunnels => tunnels,
            Pane::Transfers => transfers,
            Pane::Failures => failures,
            Pane::Log => log,
        }
    }

    pub(super) fn view_mut(&mut self, pane: Pane) -> &mut PaneView {
        let [profiles, tunnels, transfers, failures, log] = &mut self.panes;
        match pane {
            Pane::Profiles => profiles,
            Pane::Tunnels => tunnels,
            Pane::Transfers => transfers,
            Pane::Failures => failures,
            Pane::Log => log,
        }
    }

    /// The rows of a pane that the filter lets through, in order, and how many there are without the filter.
    pub(super) fn rows(&self, pane: Pane) -> (Vec<Row>, usize) {
        let (world, now) = self.shown();
        let mut rows = pane.rows(world, now, self.look);
        let all = rows.len();
        let filter = self.filter.to_lowercase();
        rows.retain(|row| row.has(&filter));
        let order = self.view(pane).order;
        rows.sort_by(|one, other| one.ranks.get(order).cmp(&other.ranks.get(order)));
        (rows, all)
    }

    /// The place of the selected row.
    pub(super) fn place(&self, pane: Pane, rows: &[Row]) -> usize {
        let selected = self.view(pane).selected.as_ref();
        let found = selected.and_then(|key| rows.iter().position(|row| row.key == *key));
        match (found, pane) {
            (Some(place), _) => place,
            (None, Pane::Log) => rows.len().saturating_sub(1),
            (None, _) => 0,
        }
    }

    /// The key of the selected row of the pane with the focus.
    pub(super) fn selected(&self) -> Option<Key> {
        let (rows, _) = self.rows(self.focus);
        let place = self.place(self.focus, &rows);
        rows.into_iter().nth(place).map(|row| row.key)
    }

    /// Selects the row that is this far from the selected one.
    pub(super) fn select(&mut self, step: isize) {
        let (rows, _) = self.rows(self.focus);
        let last = rows.len().saturating_sub(1);
        let place = self.place(self.focus, &rows).saturating_add_signed(step);
        let place = place.min(last);
        let follows = self.focus == Pane::Log && place == last;
        let key = rows.into_iter().nth(place).map(|row| row.key);
        self.view_mut(self.focus).selected = key.filter(|_| !follows);
    }

    /// Gives the focus to the pane that is this far from the one that has it.
    pub(super) fn turn(&mut self, step: usize) {
        let at = Pane::ALL.iter().position(|pane| *pane == self.focus);
        let next = (at.unwrap_or(0) + step) % Pane::ALL.len();
        if let Some(pane) = Pane::ALL.get(next) {
            self.focus = *pane;
        }
    }

    /// Sorts the pane with the focus in the next of its orders.
    pub(super) fn sort(&mut self) {
        let count = self.focus.orders().len();
        let view = self.view_mut(self.focus);
        view.order = (view.order + 1) % count;
    }
}
