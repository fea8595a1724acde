//! The next command for a data connection, which the session sends before its client does.
//!
//! In a burst of transfers each file costs a round trip for its `PORT`, or for its passive command and another one if the
//! channel to the announced port is new. A program asks for the next file as soon as it has one, so asking the server
//! earlier by no more than that gains nothing. The session therefore sends the client's last such command again right
//! behind the client's transfer command. The server answers it after the transfer, in the same breath as it reports that,
//! and the session has a passive channel opened. It holds the reply until the client sends that command, and drops it if
//! the client does something else. The client never learns of a failure: the session then sends the client's own command.
//!
//! This is only for servers that read no command while a transfer runs. A server answers in order, so the client's command
//! takes the held reply only if the server owes none for a command before it.

mod port;

use std::time::{Duration, Instant};

use super::super::announcement::Announcement;
use super::super::data::{AskedReply, Failure};
use super::super::forms::substitute;
use super::super::reply_part::ReplyPart;
use super::super::server::SERVICE_CLOSING;
use super::Exchange;
use crate::command::Command;
use crate::config::DataOpen;
use crate::event::{Announced, Direction};
use crate::kind::{COMPLETED, CommandKind, PassiveForm};
use crate::sent::{Attempt, Sent};

/// How long a prepared connection waits for its client. It is three times the longest pause in a burst, and less than
/// any server waits for a transfer on a data connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// The command that the session sends ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The last command for a data connection that the server accepted, or was sent ahead.
    last: Option<Sent>,
    /// Whether the client has just sent a transfer command.
    due: bool,
    stage: Stage,
    /// Until when the endpoint for the next `PORT` waits for a transfer command.
    endpoint_until: Option<Instant>,
    /// The same command of the client, which waits for the reply.
    claim: Option<Claim>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is prepared. A reply that still comes is dropped.
    #[default]
    Idle,
    /// The server has not answered.
    Asked,
    /// The reply is held, until then if the client does not claim it.
    Held(Instant),
}

/// A command of the client that waits for the held reply.
#[derive(Debug)]
pub(in crate::session) struct Claim {
    pub(in crate::session) command: Command,
    pub(in crate::session) line: Vec<u8>,
    /// Where the client listens, if it does.
    pub(in crate::session) announced: Option<Announced>,
}

/// What becomes of a claim.
#[derive(Debug)]
pub(in crate::session) enum Claimed {
    /// The client receives the held reply.
    Granted,
    /// Nothing is prepared after all, so the server is sent this command of the client.
    Unserved(Claim),
}

impl Ahead {
    /// Whether a command of the client waits for the held reply.
    pub(super) fn is_claimed(&self) -> bool {
        self.claim.is_some()
    }

    /// When to drop what is prepared.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Held(until) if self.claim.is_none() => Some(until),
            Stage::Idle => self.endpoint_until,
            Stage::Held(_) | Stage::Asked => None,
        }
    }

    /// The server has accepted this command of the client for a data connection.
    pub(super) fn remember(&mut self, sent: &Sent) {
        let can_repeat = sent.offer.is_some() || is_plain(&sent.text);
        self.last = can_repeat.then(|| sent.clone());
    }
}

impl Exchange {
    /// The command to send behind the client's transfer command, if that has just gone to the server. The caller has
    /// nothing of the client that waits.
    pub(in crate::session) fn ask_ahead(&mut self) -> Option<Vec<u8>> {
        let due = std::mem::take(&mut self.ahead.due);
        if !due || !self.burst.is_worth() || !self.has_only_a_transfer() {
            return None;
        }
        let last = self.ahead.last.clone()?;
        match last.passive_form() {
            Some(form) => self.ask_passive(last, form),
            None => self.ask_port(&last),
        }
    }

    fn ask_passive(&mut self, last: Sent, form: PassiveForm) -> Option<Vec<u8>> {
        let attempt = self.forms.attempt(form);
        let line = match &attempt {
            Attempt::Only => [last.text.as_bytes(), b"\r\n"].concat(),
            Attempt::Substitute(None) => substitute(form, b"\r\n"),
            Attempt::First | Attempt::Substitute(Some(_)) => return None,
        };
        self.sent_ahead(last.with_attempt(attempt));
        Some(line)
    }

    fn sent_ahead(&mut self, sent: Sent) {
        self.ahead.stage = Stage::Asked;
        self.data.set_unasked();
        if self.pending.transfer_direction() == Some(Direction::Download) {
            self.data.half_close_current();
        }
        self.command_sent(Sent {
            ahead: true,
            ..sent
        });
    }

    /// Whether the server has nothing to do but a transfer whose data connection is on offer, and ends with it.
    fn has_only_a_transfer(&self) -> bool {
        self.pending.is_one_transfer()
            && !self.data.has_transfer()
            && !self.server.is_inside_reply()
            && self.server.backlog() == 0
            && self.data.is_for_one_transfer()
    }

    /// The client has sent a command. Drops what is prepared if the command means something else for the next data
    /// connection.
    pub(in crate::session) fn client_spoke(&mut self, now: Instant, command: &Command) {
        match command.kind {
            CommandKind::Passive(PassiveForm::All) => {
                self.ahead.last = None;
                self.drop_ahead();
            }
            // Decided when it is claimed.
            CommandKind::Passive(_) | CommandKind::Port => self.burst.client_asks(now),
            // The server chooses the address for the file that this command names, so it must know the file first.
            CommandKind::Unknown if command.verb == "PRET" => self.ahead_failed(),
            CommandKind::Transfer(_) => {
                self.drop_asked();
                self.ahead.due = true;
            }
            CommandKind::Abort
            | CommandKind::Mode { .. }
            | CommandKind::Auth
            | CommandKind::Reinitialize
            | CommandKind::Unknown => self.drop_ahead(),
            CommandKind::Plain if matches!(command.verb.as_str(), "USER" | "QUIT" | "HOST") => {
                self.drop_ahead();
            }
            CommandKind::Greeting
            | CommandKind::Secret
            | CommandKind::Confirmed
            | CommandKind::File
            | CommandKind::Plain => {}
        }
    }

    /// Whether a transfer command of the client would use a data connection that only the session has asked for.
    pub(in crate::session) fn lacks_data_connection(&self, command: &Command) -> bool {
        command.kind.is_transfer() && self.data.is_unasked() && !self.pending.asks_for_data()
    }

    /// Whether a reply is about a data connection that the client has not asked for: some servers report a transfer when
    /// one closes.
    pub(super) fn is_about_unused_data(&self, code: u16) -> bool {
        // Behind a command for its own data connection, a transfer that the client has sent has not begun, and an ABOR without
        // a transfer to abort is answered in its turn.
        let can_be_the_clients = self.data.has_transfer()
            || self.pending.begins_with_transfer()
            || self.pending.abort_is_next();
        matches!(code, COMPLETED | 426) && self.data.is_unasked() && !can_be_the_clients
    }

    /// The server is sent a command of the client for a data connection, which shows how far away it is.
    pub(in crate::session) fn measure(&mut self, now: Instant) {
        let alone = self.pending.has_none() && !self.data.has_transfer();
        self.burst.sent(now, alone);
    }

    /// Whether this passive command of the client is the one that was sent ahead.
    pub(in crate::session) fn has_asked(&self, line: &[u8]) -> bool {
        let last = self.ahead.last.as_ref();
        self.ahead.stage != Stage::Idle
            && last.is_some_and(|last| {
                line.trim_ascii_end()
                    .eq_ignore_ascii_case(last.text.as_bytes())
            })
    }

    /// The client's command is the one that was sent ahead, and waits for [`Self::claimed`].
    pub(in crate::session) fn claim(&mut self, claim: Claim) {
        self.ahead.claim = Some(claim);
    }

    /// Decides about a waiting claim. `None` if it still waits, or if there is none.
    pub(in crate::session) fn claimed(&mut self, now: Instant) -> Option<Claimed> {
        self.ahead.claim.as_ref()?;
        match self.ahead.stage {
            Stage::Idle => self.ahead.claim.take().map(Claimed::Unserved),
            Stage::Held(_) if self.prepared_is_ready() && !self.owes_reply() => {
                let claim = self.ahead.claim.take()?;
                self.ahead.stage = Stage::Idle;
                self.data.announce_prepared(claim.announced);
                self.prepare_endpoint(now);
                Some(Claimed::Granted)
            }
            Stage::Asked | Stage::Held(_) => None,
        }
    }

    /// Whether the client can have the held reply: the connection has a place, or is open if it has to be first.
    fn prepared_is_ready(&self) -> bool {
        self.data
            .prepared_is_on_its_way(self.data_open == DataOpen::Eager)
    }

    /// The server's reply to the command that was sent ahead.
    pub(super) fn ahead_announced(&mut self, sent: &Sent, announcement: Announcement) {
        if self.ahead.stage != Stage::Asked {
            return;
        }
        if self.is_answered_early() {
            return self.ahead_failed();
        }
        match announcement.address {
            Ok(found) => {
                self.ahead.stage = Stage::Held(announcement.since + PATIENCE);
                self.data.prepare_passive(AskedReply {
                    found,
                    text: announcement.text,
                    asked: sent.passive_form(),
                    substituted: matches!(sent.attempt, Attempt::Substitute(_)),
                    pasv_over_ipv6: self.forms.pasv_over_ipv6,
                });
            }
            Err(_) => self.ahead_failed(),
        }
    }

    /// Whether the server reads commands while a transfer runs after all.
    fn is_answered_early(&self) -> bool {
        self.data.has_transfer() && !self.data.holds_completion()
    }

    /// Whether the server's next line is the reply to the command sent ahead, for which the report of a complete transfer
    /// need not leave first: the client receives the two in their order.
    pub(super) fn ahead_comes_first(&self) -> bool {
        let answers = || match self.ahead.sends_port() {
            true => self.server.next_confirms(),
            false => self.server.next_announces(),
        };
        self.ahead.stage == Stage::Asked
            && self.data.holds_completion()
            && self.pending.begins_with_ahead()
            && answers()
    }

    /// The server's reply to the command that was sent ahead, if it announces no address.
    pub(super) fn ahead_answered(&mut self, sent: &Sent, part: ReplyPart) {
        if !self.accepts_port(sent, &part) {
            self.ahead_failed();
        } else if self.ahead.stage == Stage::Asked {
            self.ahead.stage = Stage::Held(part.at + PATIENCE);
            self.data.hold_accepted(part.line.clone());
        }
        match part.code {
            // The server closes the session, whatever it was asked.
            SERVICE_CLOSING => self.server.pass(&part.line),
            _ => self.server.replace(&[]),
        }
    }

    /// The server has refused what was sent ahead, or has not answered it, or the connection was not made.
    pub(super) fn ahead_failed(&mut self) {
        self.burst.stop();
        self.drop_ahead();
    }

    /// Drops what the server was asked for. A waiting claim is then not served.
    pub(in crate::session) fn drop_asked(&mut self) {
        if self.ahead.stage != Stage::Idle {
            self.drop_ahead();
        }
    }

    /// The same, and the endpoint that waits for the next transfer.
    pub(in crate::session) fn drop_ahead(&mut self) {
        self.ahead.stage = Stage::Idle;
        self.ahead.endpoint_until = None;
        self.data.drop_prepared();
    }

    /// Reviews what is prepared after an event on a data channel.
    pub(super) fn review_ahead(&mut self) {
        match self.data.prepared_failure() {
            Some(Failure::Refused) => self.ahead_failed(),
            Some(Failure::Ended) => self.drop_ahead(),
            None => {}
        }
    }
}

/// Whether a command has no argument, or a number.
fn is_plain(command: &str) -> bool {
    let argument = command.split_once(' ').map_or("", |(_, argument)| argument);
    argument.bytes().all(|byte| byte.is_ascii_digit())
}
