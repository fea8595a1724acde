//! FTP over TLS between the client and the caller (RFC 4217): the commands about it, which the server never sees, and the
//! commands that must wait for it.

use crate::command::Command;
use crate::config::{Terminate, TlsPolicy};
use crate::kind::CommandKind;

/// The reason for a session that ends because of unencrypted bytes after `AUTH`. Whoever can insert bytes before the
/// handshake could otherwise have commands carried out as if they had come encrypted (CVE-2011-0411).
pub(super) const SENT_AHEAD: &str = "The client sent more bytes after AUTH without waiting for its reply. They were not encrypted, so the session ends; connect again";

/// The commands that pass before TLS although TLS is required. They contain no secret and change nothing.
const HARMLESS: [&str; 6] = ["CLNT", "CSID", "FEAT", "HELP", "NOOP", "SYST"];

/// The code and the text of the session's answer.
type Answer = (u16, &'static str);

/// The session's decision about a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TlsDecision {
    /// It does not concern TLS.
    Pass,
    /// The session answers it.
    Answer(Answer),
    /// The session answers it, and TLS begins after the answer.
    Start(Answer),
}

/// The client's use of TLS.
#[derive(Debug)]
pub(super) struct ClientTls {
    policy: TlsPolicy,
    control: Control,
    /// Whether the client has sent `PBSZ`, which `PROT` needs.
    sized: bool,
    /// Whether the client's data connections use TLS (`PROT P`).
    protected: bool,
}

/// The state of the client's control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Clear,
    /// The answer to `AUTH` waits for its turn.
    Starting,
    Encrypted,
}

impl ClientTls {
    /// The state before the client's first command. With implicit TLS, clients expect protected data connections.
    pub(super) fn new(policy: TlsPolicy) -> Self {
        let implicit = matches!(
            policy,
            TlsPolicy::Terminate(Terminate { implicit: true, .. })
        );
        Self {
            policy,
            control: if implicit {
                Control::Encrypted
            } else {
                Control::Clear
            },
            sized: false,
            protected: implicit,
        }
    }

    /// Whether the session answers the commands about TLS itself, and accepts them.
    pub(super) fn is_offered(&self) -> bool {
        matches!(self.policy, TlsPolicy::Terminate(_))
    }

    /// Whether the client's data connections use TLS.
    pub(super) fn protects_data(&self) -> bool {
        self.protected
    }

    /// Whether the answer to `AUTH` waits for its turn.
    pub(super) fn is_starting(&self) -> bool {
        self.control == Control::Starting
    }

    /// Whether only harmless commands may pass until the client begins TLS.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_required() && self.control == Control::Clear
    }

    /// Records that the answer to `AUTH` was sent, if one waited. True if TLS begins now.
    pub(super) fn answered(&mut self) -> bool {
        let starts = self.is_starting();
        if starts {
            self.control = Control::Encrypted;
        }
        starts
    }

    /// Decides about a command. `logged_in`: the server has accepted a login.
    pub(super) fn decide(
        &mut self,
        command: &Command,
        line: &[u8],
        logged_in: bool,
    ) -> TlsDecision {
        match self.policy {
            TlsPolicy::Refuse if command.kind == CommandKind::Auth => TlsDecision::Answer((
                534,
                "AUTH is refused: SSH already encrypts this connection; continue without TLS",
            )),
            TlsPolicy::Refuse | TlsPolicy::Pass => TlsDecision::Pass,
            TlsPolicy::Terminate(_) if command.kind == CommandKind::Auth => {
                self.auth(command.argument(line), logged_in)
            }
            TlsPolicy::Terminate(_) => self
                .answer(command, line)
                .map_or(TlsDecision::Pass, TlsDecision::Answer),
        }
    }

    fn auth(&mut self, mechanism: &[u8], logged_in: bool) -> TlsDecision {
        if self.is_encrypted() {
            return TlsDecision::Answer((503, "This connection already uses TLS"));
        }
        if logged_in {
            let late = "AUTH must come before the login; connect again and send AUTH TLS first";
            return TlsDecision::Answer((503, late));
        }
        // The older names imply protected data connections.
        self.protected = match &*mechanism.to_ascii_uppercase() {
            b"TLS" | b"TLS-C" => false,
            b"SSL" | b"TLS-P" => true,
            _ => return TlsDecision::Answer((504, "Unknown mechanism; send AUTH TLS")),
        };
        self.control = Control::Starting;
        TlsDecision::Start((234, "Begin TLS now"))
    }

    /// The answer to a command other than `AUTH`, if it concerns TLS or must wait for it.
    fn answer(&mut self, command: &Command, line: &[u8]) -> Option<Answer> {
        match command.verb.as_str() {
            "PBSZ" => Some(self.buffer_size(command.argument(line))),
            "PROT" => Some(self.protection(command.argument(line))),
            "CCC" => Some((533, "The control connection stays encrypted")),
            "REIN" if self.is_encrypted() => Some((502, "Connect again for another login")),
            "QUIT" => None,
            verb if self.is_awaited() && !HARMLESS.contains(&verb) => Some((
                530,
                "This server requires TLS: send AUTH TLS first. In most clients the setting is called: require explicit FTP over TLS",
            )),
            _ if self.needs_protection(command.kind) => Some((
                522,
                "Data connections must be encrypted: send PBSZ 0 and PROT P first",
            )),
            _ => None,
        }
    }

    fn buffer_size(&mut self, size: &[u8]) -> Answer {
        if !self.is_encrypted() {
            return (503, "Send AUTH TLS first");
        }
        if size.is_empty() || !size.iter().all(u8::is_ascii_digit) {
            return (501, "PBSZ needs a number; send PBSZ 0");
        }
        self.sized = true;
        (200, "PBSZ=0")
    }

    fn protection(&mut self, level: &[u8]) -> Answer {
        if !self.sized {
            return (503, "Send AUTH TLS and PBSZ 0 first");
        }
        match level {
            b"P" | b"p" => {
                self.protected = true;
                (200, "Data connections use TLS")
            }
            b"C" | b"c" => {
                // Also if it is refused: a client that continues without TLS would wait for data forever.
                self.protected = false;
                match self.is_required() {
                    true => (534, "Data connections must be encrypted; send PROT P"),
                    false => (200, "Data connections are not encrypted"),
                }
            }
            b"S" | b"s" | b"E" | b"e" => (536, "Send PROT P or PROT C"),
            _ => (504, "Unknown protection level; send PROT P"),
        }
    }

    /// Without a passive reply or a `PORT` there is no data connection.
    fn needs_protection(&self, kind: CommandKind) -> bool {
        let begins_data = matches!(kind, CommandKind::Passive(_) | CommandKind::Port);
        begins_data && self.is_required() && !self.protected
    }

    fn is_encrypted(&self) -> bool {
        self.control == Control::Encrypted
    }

    fn is_required(&self) -> bool {
        matches!(
            self.policy,
            TlsPolicy::Terminate(Terminate { required: true, .. })
        )
    }
}
