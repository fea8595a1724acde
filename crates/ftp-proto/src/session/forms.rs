//! In which forms the server is sent the commands about data connections.
//!
//! `PASV` supports only IPv4, and a server reached over IPv6 can refuse it. An old server knows no `EPSV`, which a client
//! on IPv6 needs. A server refuses a `PORT` or `EPRT` with an address of another family than its own. So if the server has
//! refused one form, the session tries the other. It does so only if the client could not continue itself: a client on
//! IPv4 whose `EPSV` is refused sends `PASV`, as always.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::{PasvOverIpv6, SessionConfig};
use crate::kind::{CommandKind, PassiveForm};
use crate::sent::{Attempt, Sent};

/// What the session knows about the forms that the server supports.
#[derive(Debug)]
pub(super) struct Forms {
    client: IpAddr,
    pub(super) pasv_over_ipv6: PasvOverIpv6,
    two_families: bool,
    /// Whether another passive form is sent instead, for each one that was tried.
    replaced: BTreeMap<PassiveForm, bool>,
    /// Whether active endpoints are of the other family, once that was tried.
    other_family: Option<bool>,
}

impl Forms {
    pub(super) fn new(config: &SessionConfig) -> Self {
        Self {
            client: config.client.to_canonical(),
            pasv_over_ipv6: config.pasv_over_ipv6,
            two_families: config.two_families,
            replaced: BTreeMap::new(),
            other_family: None,
        }
    }

    /// How a command that asks for this reply should go to the server.
    pub(super) fn attempt(&mut self, form: PassiveForm) -> Attempt {
        if form == PassiveForm::All {
            // The server must refuse PASV from now on, whatever its family.
            self.replaced.insert(PassiveForm::Short, false);
        }
        match self.replaced.get(&form) {
            _ if !self.is_needed(form) => Attempt::Only,
            None => Attempt::First,
            Some(false) => Attempt::Only,
            Some(true) => Attempt::Substitute(None),
        }
    }

    /// The same for a command with the address of an active endpoint.
    pub(super) fn attempt_active(&self) -> Attempt {
        if self.two_families && self.other_family.is_none() {
            Attempt::First
        } else {
            Attempt::Only
        }
    }

    /// Whether an active endpoint must be of the other family.
    pub(super) fn other_family(&self) -> bool {
        self.other_family == Some(true)
    }

    /// Records whether the server supported the form in which this command was sent.
    pub(super) fn learn(&mut self, sent: &Sent, supported: bool) {
        let replaced = match &sent.attempt {
            Attempt::First if supported => false,
            // If neither form is supported, the next command is not tried again.
            Attempt::Substitute(Some(_)) => supported,
            Attempt::Only | Attempt::First | Attempt::Substitute(None) => return,
        };
        if let Some(form) = sent.passive_form() {
            self.replaced.insert(form, replaced);
        } else if sent.kind == CommandKind::Port {
            self.other_family = Some(replaced);
        }
    }

    /// Records that there is no active endpoint of the other family.
    pub(super) fn keep_family(&mut self) {
        self.other_family = Some(false);
    }

    /// Whether the client has no other form.
    fn is_needed(&self, form: PassiveForm) -> bool {
        match form {
            PassiveForm::Short => self.client.is_ipv4() || self.pasv_over_ipv6 == PasvOverIpv6::Any,
            PassiveForm::Long | PassiveForm::Extended => self.client.is_ipv6(),
            PassiveForm::All | PassiveForm::Other => false,
        }
    }
}

/// The command that the server is sent instead of one that asks for this reply.
pub(super) fn substitute(form: PassiveForm, line_end: &[u8]) -> Vec<u8> {
    let verb: &[u8] = match form {
        PassiveForm::Short => b"EPSV",
        PassiveForm::Long | PassiveForm::Extended | PassiveForm::All | PassiveForm::Other => {
            b"PASV"
        }
    };
    [verb, line_end].concat()
}
