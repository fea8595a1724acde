//! The life of an offered data channel: made, used or withdrawn.

use std::net::SocketAddr;
use std::time::Instant;

use super::{ClientHold, ServerHold, Session};
use crate::event::{Action, DataId};
use crate::kind::CommandKind;
use crate::pending_replies::Sent;

/// The code for a data connection that cannot be made (RFC 959, section 5.4).
pub(super) const NO_DATA_CONNECTION: u16 = 425;

impl Session {
    /// Hands the caller's answer to whatever waits for it.
    pub(super) fn resolve_offer(
        &mut self,
        now: Instant,
        id: DataId,
        answer: Result<SocketAddr, String>,
    ) {
        match (self.server_hold.take(), self.client_hold.take()) {
            (Some(ServerHold::Offer(offer)), client_hold) if offer.id == id => {
                self.client_hold = client_hold;
                self.passive_offered(offer, answer);
            }
            (server_hold, Some(ClientHold::Offer(offer))) if offer.id == id => {
                self.server_hold = server_hold;
                self.active_offered(now, offer, answer);
            }
            (server_hold, client_hold) => {
                self.server_hold = server_hold;
                self.client_hold = client_hold;
                if answer.is_ok() {
                    self.act(Action::Withdraw { id });
                }
            }
        }
    }

    /// From now on the server would use this channel. The one before is withdrawn, unless a transfer runs on it.
    pub(super) fn replace_current(&mut self, new: Option<DataId>) {
        let old = std::mem::replace(&mut self.current, new);
        let busy = self.transfer.as_ref().and_then(|transfer| transfer.data);
        if let Some(old) = old.filter(|_| old != busy) {
            self.withdraw(old);
        }
    }

    /// Stops offering a channel and forgets it.
    pub(super) fn withdraw(&mut self, id: DataId) {
        if self
            .channels
            .forget(id)
            .is_some_and(|channel| channel.end.is_none())
        {
            self.act(Action::Withdraw { id });
        }
    }

    /// The server accepted a command that names where the client listens.
    pub(super) fn port_accepted(&mut self, offer: Option<DataId>) {
        self.data_unseen = offer.is_none();
        self.replace_current(offer);
    }

    /// Commands that will never be answered are taken as accepted, since the server went on behind them.
    pub(super) fn assume_all_accepted(&mut self, skipped: Vec<Sent>) {
        for sent in skipped {
            self.assume_accepted(sent);
        }
    }

    /// A command that will never be answered is taken as accepted.
    pub(super) fn assume_accepted(&mut self, sent: Sent) {
        if sent.kind == CommandKind::Port {
            self.port_accepted(sent.offer);
        }
    }
}
