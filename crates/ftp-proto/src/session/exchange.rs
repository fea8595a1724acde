//! Connects the server's lines with the pending replies and the data: finds the subject of each reply, and acts on it.

mod ahead;

use std::net::SocketAddr;
use std::time::Instant;

use super::announcement::{Announcement, NO_DATA_CONNECTION};
use super::burst::Burst;
use super::data::{AskedReply, Data, Release};
use super::forms::Forms;
use super::login::{Login, LoginNews};
use super::reply_part::{Heard, Place, ReplyPart};
use super::representation::Representation;
use super::server::{Expected, SERVICE_CLOSING, ServerSide};
use super::sizes::Sizes;
use crate::address::IPV6_ADDRESS;
use crate::config::{DataOpen, SessionConfig};
use crate::event::{Announced, DataEvent, DataId, Direction, Event, Told, TransferFacts};
use crate::kind::{
    COMPLETED, CommandKind, PassiveForm, is_completion, is_unsupported, reports_success,
};
use crate::pending_replies::{Answered, PendingReplies};
use crate::sent::{Attempt, Sent};
use crate::text::printable_line;
use ahead::Ahead;
pub(super) use ahead::{Claim, Claimed};

/// Why there is no endpoint for a reply whose channel ended just when its client asked for it.
const CLOSED: &str = "The data connection was closed; ask for another one";

/// The server's side of a session, with everything that its replies can belong to.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) server: ServerSide,
    pending: PendingReplies,
    pub(super) data: Data,
    data_open: DataOpen,
    /// Whether the session offers TLS in the place of the server.
    offers_tls: bool,
    forms: Forms,
    refused: Option<Refused>,
    logged_in: bool,
    in_use: bool,
    encrypts: bool,
    login: Login,
    sizes: Sizes,
    representation: Representation,
    burst: Burst,
    ahead: Ahead,
}

/// A command whose form the server does not support.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) sent: Sent,
    /// The server's reply, which the client has not received.
    pub(super) reply: Vec<u8>,
}

impl Exchange {
    /// The state before the server's greeting.
    pub(super) fn new(config: &SessionConfig, offers_tls: bool) -> Self {
        Self {
            server: ServerSide::default(),
            pending: PendingReplies::new(),
            data: Data::new(config.behind_ssh),
            data_open: config.data_open,
            offers_tls,
            forms: Forms::new(config),
            refused: None,
            logged_in: false,
            in_use: false,
            encrypts: false,
            login: Login::default(),
            sizes: Sizes::default(),
            representation: Representation::default(),
            burst: Burst::new(config.data_ahead),
            ahead: Ahead::default(),
        }
    }

    /// Whether the server has accepted a login.
    pub(super) fn logged_in(&self) -> bool {
        self.logged_in
    }

    /// Whether the server has accepted a command that needs a login, or begun a transfer.
    pub(super) fn in_use(&self) -> bool {
        self.in_use || self.logged_in
    }

    /// Whether the server has agreed to encrypt the control connection.
    pub(super) fn encrypts(&self) -> bool {
        self.encrypts
    }

    /// Whether the server owes a reply that can still come.
    pub(super) fn owes_reply(&self) -> bool {
        self.data.has_transfer() || !self.pending.is_empty() || self.server.is_inside_reply()
    }

    /// Whether the server owes the client a reply, however late it is.
    pub(super) fn owes_any_reply(&self) -> bool {
        self.owes_reply() || self.pending.has_clients()
    }

    /// Whether a transfer runs, or can begin without a reply.
    pub(super) fn expects_transfer(&self) -> bool {
        self.data.has_transfer() || self.pending.has_transfer()
    }

    /// How a passive command that asks for this reply should go to the server.
    pub(super) fn attempt(&mut self, form: PassiveForm) -> Attempt {
        let attempt = self.forms.attempt(form);
        self.unless_in_transfer(attempt)
    }

    /// The same for a command with the address of an active endpoint.
    pub(super) fn attempt_active(&self) -> Attempt {
        self.unless_in_transfer(self.forms.attempt_active())
    }

    /// During a transfer nothing is tried: the server can answer late, and the client must be able to abort.
    fn unless_in_transfer(&self, attempt: Attempt) -> Attempt {
        if attempt == Attempt::First && self.expects_transfer() {
            Attempt::Only
        } else {
            attempt
        }
    }

    /// Requests an endpoint to announce instead of the client's address.
    pub(super) fn offer_active(&mut self, target: Announced) -> DataId {
        let other_family = self.forms.other_family();
        self.data.offer_active(target, other_family)
    }

    /// There is no endpoint of the other family, so the client receives the server's refusal.
    pub(super) fn keep_family(&mut self, refusal: &[u8]) {
        self.forms.keep_family();
        self.server.pass(refusal);
    }

    /// Passes on the server's refusals that the session held in order to try another form.
    pub(super) fn pass_refusals(&mut self) {
        for refusal in self.pending.take_refusals() {
            self.server.pass(&refusal);
        }
    }

    /// Whether the client's next command must wait for a reply.
    pub(super) fn holds_client(&self) -> bool {
        self.pending.holds_client() || self.ahead.is_claimed()
    }

    /// The client's next command can no longer wait.
    pub(super) fn forgo_attempts(&mut self) {
        self.drop_ahead();
        self.pending.forgo_attempts();
    }

    /// Takes the command to try in another form.
    pub(super) fn take_refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    /// Handles the server's next input. False if there is none, or if it is held.
    pub(super) fn step(&mut self, now: Instant) -> bool {
        if self.data.holds_reply() && !self.ahead_comes_first() {
            return false;
        }
        let expected = Expected {
            start: self.pending.expects_start(),
            ahead: self.pending.begins_with_ahead(),
        };
        let heard = self.server.next(now, expected);
        let more = heard.is_some();
        heard.into_iter().for_each(|heard| self.hear(heard));
        more
    }

    /// Handles an event on a data channel. True if it released a held reply.
    pub(super) fn data_event(&mut self, now: Instant, id: DataId, event: DataEvent) -> bool {
        let asked = self.pending.transfer_direction();
        if matches!(event, DataEvent::Ended(_)) && self.data.awaits_endpoint(id) {
            self.offered(id, Err(CLOSED.to_owned()));
            return true;
        }
        let release = self.data.event(now, id, event, asked);
        let released = release.is_some();
        self.release(release);
        self.review_ahead();
        released
    }

    /// Ends waits whose time is over. True if that released a held reply of the server.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let release = self.data.expire(now);
        let released = release.is_some();
        self.release(release);
        let heard = self.server.expire(now);
        heard.into_iter().for_each(|heard| self.hear(heard));
        if self.ahead.deadline().is_some_and(|due| now >= due) {
            self.drop_ahead();
        }
        released
    }

    /// Records what has happened to transfers by now.
    pub(super) fn count_transfers(&mut self, now: Instant) {
        self.burst.count(now, self.data.ended());
    }

    /// When [`expire`](Self::expire) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let data = self.data.deadline();
        let others = [self.server.deadline(), self.ahead.deadline()];
        data.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Handles the endpoint of a held reply, or one that was requested ahead, or the failure to make it.
    pub(super) fn offered(&mut self, id: DataId, answer: Result<SocketAddr, String>) {
        if let Some(reply) = self.data.offered(id, answer) {
            self.server.pass(&reply);
        }
        self.review_ahead();
    }

    /// Sets whether the client's data connections use TLS.
    pub(super) fn protect_data(&mut self, protected: bool) {
        if self.data.protect(protected) {
            self.drop_ahead();
        }
    }

    /// Stops offering these channels.
    pub(super) fn withdraw(&mut self, offers: impl IntoIterator<Item = DataId>) {
        for id in offers {
            self.data.withdraw(id);
        }
    }

    /// The client aborts its transfer.
    pub(super) fn abort(&mut self) {
        let release = self.data.abort();
        self.release(release);
    }

    /// The server has been silent for too long, so the session no longer waits for its replies.
    pub(super) fn forgo_replies(&mut self) {
        self.pending.mark_overdue();
        self.server.forget_reply();
    }

    /// The server will send nothing more. `told` is what the client received for a running transfer.
    pub(super) fn close(&mut self, told: Told) {
        self.server.close();
        self.drop_ahead();
        self.data.close(told);
        let sent = self.pending.clear();
        self.withdraw(sent.into_iter().filter_map(|sent| sent.offer));
    }

    /// A command goes to the server.
    pub(super) fn command_sent(&mut self, sent: Sent) {
        self.expect_reply(sent);
        self.server.command_sent();
    }

    /// A line that the server will answer goes to it.
    pub(super) fn expect_reply(&mut self, sent: Sent) {
        let never_answered = self.pending.push(sent);
        self.assume_accepted(never_answered);
    }

    /// Counts commands that will never be answered as accepted, since the server continued after them.
    fn assume_accepted(&mut self, skipped: impl IntoIterator<Item = Sent>) {
        for sent in skipped {
            if sent.ahead {
                self.ahead_failed();
                continue;
            }
            self.login.skipped(&sent);
            if let Attempt::Substitute(Some(own)) = &sent.attempt {
                self.data.answered(&sent, false);
                self.server.pass(own);
            } else {
                self.data.assume_accepted(&sent);
            }
        }
    }

    /// Acts on the server's input.
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Preliminary(part) => self.preliminary_reply(part),
            // While the report of a transfer is held, only the reply to the command sent ahead is read.
            Heard::Final(part) if part.place == Place::Last || self.data.holds_completion() => {
                self.attribute(part);
            }
            Heard::Final(part) => self.final_reply(part),
            Heard::Announcement(announcement) => self.announcement(announcement),
        }
    }

    fn preliminary_reply(&mut self, part: ReplyPart) {
        if matches!(part.code, 125 | 150)
            && let Some(started) = self.pending.start(self.data.has_transfer())
        {
            self.assume_accepted(started.skipped);
            self.in_use = true;
            let aborted = self.pending.has_abort();
            let facts = self.facts(started.sent, &part.line);
            self.data.begin(facts, aborted, started.was_answered);
            let release = self.data.pass_start(part);
            return self.release(release);
        }
        self.server.pass(&part.line);
    }

    /// Handles a line that is, or looks like, the end of a reply. If it can be a false success, turns it into the
    /// transfer's failure, or waits until more is known.
    fn final_reply(&mut self, part: ReplyPart) {
        let begins = part.place == Place::First;
        self.logged_in |= begins && matches!(part.code, 230 | 232);
        let running = self.data.has_transfer();
        let may_be_a_transfers = if begins {
            self.pending.may_be_a_transfers(part.code, running)
        } else {
            reports_success(part.code)
        };
        if !may_be_a_transfers {
            return self.harmless(part);
        }
        let asked = self.pending.transfer_direction();
        let release = self.data.consider(part, asked);
        self.release(release);
    }

    /// Handles a passive reply that has ended, or whose time is over. If it is unsolicited, the session continues as if
    /// the server had sent `425`, which is what the client receives, whatever it waits for.
    fn announcement(&mut self, announcement: Announcement) {
        let Some((sent, skipped)) = self.pending.answer_passive() else {
            // It answers the command that was sent ahead, although that counted as never answered.
            if self.data.is_unasked() {
                return;
            }
            return self.final_reply(ReplyPart {
                place: Place::First,
                code: NO_DATA_CONNECTION,
                line: announcement.refusal_unasked(),
                own: true,
                at: announcement.since,
            });
        };
        self.assume_accepted(skipped);
        if sent.ahead {
            return self.ahead_announced(&sent, announcement);
        }
        self.burst.answered(announcement.since);
        match announcement.address {
            Ok(found) => {
                self.in_use = true;
                self.ahead.remember(&sent);
                self.forms.learn(&sent, true);
                let reply = AskedReply {
                    found,
                    text: announcement.text,
                    asked: sent.passive_form(),
                    substituted: matches!(sent.attempt, Attempt::Substitute(_)),
                    pasv_over_ipv6: self.forms.pasv_over_ipv6,
                };
                self.data.offer_passive(reply, self.data_open);
            }
            Err(IPV6_ADDRESS) => self.refuse(sent, announcement.refusal(IPV6_ADDRESS)),
            Err(why) => {
                let refusal = announcement.refusal(why);
                self.data.actions().tell_refusal(&refusal);
                self.server.pass(&refusal);
            }
        }
    }

    /// Carries out the decision about a reply; `None` if it is held.
    fn release(&mut self, release: Option<Release>) {
        match release {
            Some(Release::Pass(line)) => self.server.pass(&line),
            Some(Release::Replace(reply)) => self.server.replace(&reply),
            Some(Release::Harmless(part)) => self.harmless(part),
            Some(Release::Broken(part)) => self.end_broken_transfer(part),
            None => {}
        }
    }

    /// Handles a line that no client can take for a false success.
    fn harmless(&mut self, part: ReplyPart) {
        // A completion that is due, although it could also answer a command sent meanwhile.
        let due = match part.place {
            Place::First | Place::Last => is_completion(part.code),
            Place::Within => reports_success(part.code),
        };
        if due && self.data.awaits_last_word() {
            self.end_transfer(part);
        } else if part.place == Place::Within {
            self.server.pass(&part.line);
        } else {
            self.attribute(part);
        }
    }

    /// Counts a success as the end of a transfer that is known to be broken.
    fn end_broken_transfer(&mut self, part: ReplyPart) {
        if self.data.has_transfer() {
            self.end_transfer(part);
        } else if let Some((sent, skipped)) = self.pending.take_transfer() {
            self.assume_accepted(skipped);
            self.end_unannounced_transfer(sent, part);
        }
    }

    /// Finds the subject of a final reply, and acts on it.
    fn attribute(&mut self, part: ReplyPart) {
        if self.is_about_unused_data(part.code) {
            return self.server.replace(&[]);
        }
        if self.is_late_success(part.code) {
            return self.unsolicited(part);
        }
        let running = self.data.has_transfer() && !self.data.holds_completion();
        match self.pending.answer(part.code, running) {
            Answered::Running => self.end_transfer(part),
            Answered::Command { sent, skipped } => {
                self.assume_accepted(skipped);
                self.command_answered(sent, part);
            }
            Answered::Nothing => self.unsolicited(part),
        }
    }

    /// Whether a success is that of a broken transfer, which ended with the reply to a command sent meanwhile.
    fn is_late_success(&self, code: u16) -> bool {
        let refuted = !self.data.has_transfer() && self.data.refute_unasked_success().is_some();
        let can_be = self.pending.has_swapped() && !self.pending.has_abort();
        refuted && code == COMPLETED && can_be
    }

    /// Handles a final reply that answers nothing, or takes the place of one that counted as a transfer's end.
    fn unsolicited(&mut self, part: ReplyPart) {
        let swapped = self.pending.take_swapped();
        self.assume_accepted(swapped);
        let suspect = reports_success(part.code);
        let refutation = self.data.refute_unasked_success().filter(|_| suspect);
        self.release(Some(refutation.unwrap_or(Release::Pass(part.line))));
    }

    fn command_answered(&mut self, sent: Sent, part: ReplyPart) {
        if sent.ahead {
            return self.ahead_answered(&sent, part);
        }
        let accepted = matches!(part.code, 200..=299);
        if sent.kind == CommandKind::Greeting {
            self.burst.greeted(&part.line);
        }
        self.in_use |= accepted && sent.shows_use();
        if sent.kind.is_transfer() {
            return self.end_unannounced_transfer(sent, part);
        }
        self.data.answered(&sent, accepted);
        self.sizes.answered(&sent, part.code, &part.line);
        if sent.words().0 == "MLST" && part.code == 250 {
            self.server.read_facts();
        }
        self.representation.answered(&sent, part.code);
        if let Some(news) = self.login.answered(&sent, part.code, &part.line) {
            self.tell_login(news, &part.line);
        }
        if accepted && sent.kind == CommandKind::Port {
            self.forms.learn(&sent, true);
            self.port_accepted(&sent, part.at);
        }
        if sent.kind == CommandKind::Auth && part.code == 234 {
            self.encrypts = true;
        }
        // The first lines of a longer reply have passed. After a 421 nothing else comes.
        let whole = part.place == Place::First && part.code != SERVICE_CLOSING;
        let replaceable = match sent.attempt {
            Attempt::First => is_unsupported(part.code),
            Attempt::Only | Attempt::Substitute(_) => !accepted,
        };
        if whole && replaceable {
            self.refuse(sent, part.line);
        } else if self.offers_tls && part.code == 211 && sent.text == "FEAT" {
            self.server.pass_features(&part.line);
        } else {
            self.server.pass(&part.line);
        }
    }

    fn tell_login(&mut self, news: LoginNews, line: &[u8]) {
        self.data.actions().tell(match news {
            LoginNews::Accepted { user } => Event::LoggedIn { user },
            LoginNews::Refused { user } => Event::LoginRefused {
                user,
                reply: printable_line(line),
            },
        });
    }

    /// The server has refused a command, or its reply must not pass. `reply` is the client's, unless there is another
    /// form to try, or this was one.
    fn refuse(&mut self, sent: Sent, reply: Vec<u8>) {
        self.forms.learn(&sent, false);
        match sent.attempt {
            Attempt::First => self.refused = Some(Refused { sent, reply }),
            Attempt::Substitute(Some(own)) => self.server.pass(&own),
            Attempt::Only | Attempt::Substitute(None) => self.server.pass(&reply),
        }
    }

    fn end_transfer(&mut self, part: ReplyPart) {
        if part.place == Place::First {
            self.pending.swap(part.code);
        }
        let release = self.data.complete(part);
        self.release(release);
    }

    fn end_unannounced_transfer(&mut self, sent: Sent, part: ReplyPart) {
        let aborted = self.pending.has_abort();
        let facts = self.facts(sent, &[]);
        let release = self.data.complete_unannounced(facts, aborted, part);
        self.release(release);
    }

    /// What the transfer of this command is about. `start`: the line that announces it.
    fn facts(&mut self, sent: Sent, start: &[u8]) -> TransferFacts {
        let direction = sent.kind.direction().unwrap_or(Direction::Unknown);
        if let Some(size) = self.server.take_listed_size() {
            self.sizes.listed(size);
        }
        TransferFacts {
            path: self.login.path(&sent),
            size: self.sizes.of(&sent, direction, start),
            text: self.representation.is_text(&sent),
            command: sent.text,
            direction,
        }
    }
}
