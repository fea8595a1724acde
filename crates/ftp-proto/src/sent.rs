//! A command that was sent to the server.

use crate::event::DataId;
use crate::kind::{CommandKind, PassiveForm};

/// In which form a command about a data connection went to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// In the client's. The server's reply passes.
    Only,
    /// In the client's. If the server does not support it, the session tries another form.
    First,
    /// In another form. If the server refuses that one, too, the client receives this reply to its own form; `None` if
    /// that was not tried.
    Substitute(Option<Vec<u8>>),
}

/// A command that was sent to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The command and its argument, in a form that an event can show.
    pub(crate) text: String,
    pub(crate) kind: CommandKind,
    /// The data channel that a rewritten `PORT` announces.
    pub(crate) offer: Option<DataId>,
    /// The form in which it went to the server.
    pub(crate) attempt: Attempt,
    /// Whether the session sent it before its client did.
    pub(crate) ahead: bool,
}

impl Sent {
    pub(crate) fn new(text: String, kind: CommandKind) -> Self {
        Self {
            text,
            kind,
            offer: None,
            attempt: Attempt::Only,
            ahead: false,
        }
    }

    /// A `PORT` or `EPRT` in this line, which announces the endpoint of this channel.
    pub(crate) fn port(line: &[u8], offer: DataId) -> Self {
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        Self {
            offer: Some(offer),
            ..Self::new(text, CommandKind::Port)
        }
    }

    /// Whether a final reply with this code can answer it. Only the client can mean another command than it seems to.
    pub(crate) fn fits(&self, code: u16) -> bool {
        let odd = self.ahead && self.passive_form().is_some() && code == 200;
        self.kind.fits(code) && !odd
    }

    /// The same as an attempt of this kind.
    pub(crate) fn with_attempt(self, attempt: Attempt) -> Self {
        Self { attempt, ..self }
    }

    /// The verb and the argument.
    pub(crate) fn words(&self) -> (&str, &str) {
        self.text.split_once(' ').unwrap_or((&self.text, ""))
    }

    /// The reply that the client asked for; `None` if its command is unknown, or no passive one.
    pub(crate) fn passive_form(&self) -> Option<PassiveForm> {
        if let CommandKind::Passive(form) = self.kind {
            return Some(form);
        }
        None
    }

    /// Whether the client's next command must wait for the reply, since it decides what the server is sent next.
    pub(crate) fn holds_client(&self) -> bool {
        matches!(self.attempt, Attempt::First | Attempt::Substitute(Some(_)))
    }

    /// Whether its success shows that the server admits the client: a login, or a command that needs one.
    pub(crate) fn shows_use(&self) -> bool {
        let (verb, _) = self.words();
        self.kind.needs_login() || matches!(verb, "USER" | "PASS" | "ACCT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_recorded_as_it_was_sent() {
        let sent = Sent::port(b"PORT 127,0,0,1,178,132\r\n", DataId(7));
        assert_eq!(sent.text, "PORT 127,0,0,1,178,132");
        assert_eq!(
            (sent.kind, sent.offer),
            (CommandKind::Port, Some(DataId(7)))
        );
    }
}
