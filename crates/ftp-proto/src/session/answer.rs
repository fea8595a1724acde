//! Replies made here to a command of the client, given when their turn comes.
//!
//! A client takes replies in the order of its commands. So a command that is answered here stops the client's side until
//! the server owes no reply.

use std::time::{Duration, Instant};

use super::ending::End;
use super::{ClientHold, Session};
use crate::text::reply;

/// How long a server that owes a reply may be silent before it is taken as not coming. Servers that skip replies would
/// otherwise make the client wait forever; a reply on a slow link takes less.
const SILENCE: Duration = Duration::from_secs(2);

/// A reply that waits for its turn.
#[derive(Debug)]
pub(super) struct LocalAnswer {
    reply: Vec<u8>,
    /// Since when the server has been silent.
    since: Instant,
}

impl Session {
    /// Answers the client's last command here. Its further commands wait until the answer is given.
    pub(super) fn answer_in_turn(&mut self, now: Instant, code: u16, text: &str) {
        let answer = LocalAnswer {
            reply: reply(code, text),
            since: now,
        };
        self.client_hold = Some(ClientHold::Answer(answer));
    }

    /// Gives the answer that waits, if its turn has come. False if not.
    pub(super) fn answer_step(&mut self) -> bool {
        let server_is_done = self.server_end != End::Open && self.server_hold.is_none();
        (self.nothing_is_owed() || server_is_done) && self.give_answer()
    }

    /// The server is not silent.
    pub(super) fn server_spoke(&mut self, now: Instant) {
        if let Some(ClientHold::Answer(answer)) = &mut self.client_hold {
            answer.since = now;
        }
    }

    /// When the server will have been silent for too long, where a silence can mean that it owes nothing.
    pub(super) fn answer_deadline(&self) -> Option<Instant> {
        let transfers = self.transfer.is_some() || self.pending.has_transfer();
        match &self.client_hold {
            Some(ClientHold::Answer(answer)) if self.server_hold.is_none() && !transfers => {
                Some(answer.since + SILENCE)
            }
            Some(ClientHold::Answer(_) | ClientHold::Offer(_)) | None => None,
        }
    }

    /// Gives the answer that waits, if the server has been silent for too long.
    pub(super) fn expire_answer(&mut self, now: Instant) {
        if self
            .answer_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            self.pending.mark_overdue();
            self.replies.reset();
            self.give_answer();
        }
    }

    fn nothing_is_owed(&self) -> bool {
        self.server_hold.is_none()
            && self.transfer.is_none()
            && self.pending.is_empty()
            && !self.replies.is_open()
    }

    fn give_answer(&mut self) -> bool {
        match self.client_hold.take() {
            Some(ClientHold::Answer(answer)) => {
                self.to_client.extend(answer.reply);
                true
            }
            other => {
                self.client_hold = other;
                false
            }
        }
    }
}
