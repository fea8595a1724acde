//! The queue of actions for the caller, in order.

use std::collections::VecDeque;

use crate::event::{Action, Event};
use crate::text::printable_line;

/// The actions that the caller has not taken yet. The caller takes all of them after each event.
#[derive(Debug, Default)]
pub(crate) struct Actions(VecDeque<Action>);

impl Actions {
    pub(crate) fn push(&mut self, action: Action) {
        self.0.push_back(action);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.push(Action::Event(event));
    }

    /// The client receives this refusal of the session itself.
    pub(crate) fn tell_refusal(&mut self, reply: &[u8]) {
        let reply = printable_line(reply);
        self.tell(Event::Refused { reply });
    }

    pub(crate) fn pop(&mut self) -> Option<Action> {
        self.0.pop_front()
    }
}
