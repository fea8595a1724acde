//! What a hook learns: environment variables with the facts about an event.

use std::collections::{BTreeMap, BTreeSet};

use broker_config::HookEvent;
use broker_ssh::ConnectionKind;
use plain_text::printable_start;

use crate::events::{Event, TransferRecord, TransferResult};

/// The longest value, in bytes. Paths and replies are shorter; all values together are far below what systems allow.
const MAX_VALUE: usize = 4096;

/// An event that hooks can wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occasion {
    pub(super) on: HookEvent,
    pub(super) profile: String,
    /// The environment variables.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// The control connections that are up, by profile. A profile is connected while it has at least one.
#[derive(Debug, Default)]
pub(super) struct Connected(BTreeMap<String, BTreeSet<u64>>);

impl Connected {
    /// Some events were lost, so nothing is known.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// What this event means for hooks.
    pub(super) fn occasion(&mut self, event: &Event) -> Option<Occasion> {
        match event {
            Event::Connected(it) if it.kind == ConnectionKind::Control => {
                let ids = self.0.entry(it.profile.clone()).or_default();
                ids.insert(it.id);
                (ids.len() == 1).then(|| of_connection(HookEvent::Connected, &it.profile, None))
            }
            Event::Disconnected {
                connection: it,
                reason,
            } if it.kind == ConnectionKind::Control => {
                let ids = self.0.get_mut(&it.profile)?;
                ids.remove(&it.id);
                if !ids.is_empty() {
                    return None;
                }
                self.0.remove(&it.profile);
                Some(of_connection(
                    HookEvent::Disconnected,
                    &it.profile,
                    Some(reason),
                ))
            }
            Event::TransferEnded(record) => Some(of_transfer(record)),
            Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::SessionOpened(_)
            | Event::SessionClosed(_)
            | Event::TransferStarted(_)
            | Event::TunnelChanged { .. }
            | Event::TunnelClosed(_)
            | Event::ProfileChanged(_)
            | Event::Failure(..)
            | Event::PromptWaiting(_)
            | Event::PromptAnswered { .. }
            | Event::ConfigurationChanged(_) => None,
        }
    }
}

fn of_connection(on: HookEvent, profile: &str, reason: Option<&String>) -> Occasion {
    let reason = reason.map(|reason| ("SSH_BROKER_REASON", reason.clone()));
    occasion(on, profile, reason)
}

fn of_transfer(record: &TransferRecord) -> Occasion {
    let on = match record.result {
        TransferResult::Complete => HookEvent::TransferComplete,
        TransferResult::Failed
        | TransferResult::Refused
        | TransferResult::Aborted
        | TransferResult::Cut => HookEvent::TransferFailed,
    };
    let started = record.started.duration_since(std::time::UNIX_EPOCH);
    let facts = [
        ("SSH_BROKER_COMMAND", record.command.clone()),
        ("SSH_BROKER_DIRECTION", record.kind.to_string()),
        ("SSH_BROKER_BYTES", record.bytes.to_string()),
        (
            "SSH_BROKER_STARTED",
            started.unwrap_or_default().as_secs().to_string(),
        ),
        (
            "SSH_BROKER_SECONDS",
            format!("{:.3}", record.duration.as_secs_f64()),
        ),
        ("SSH_BROKER_RESULT", record.result.to_string()),
        ("SSH_BROKER_REPLY", record.reply.clone()),
        ("SSH_BROKER_SERVER", record.server.clone()),
        ("SSH_BROKER_CLIENT", record.client.to_string()),
        ("SSH_BROKER_SESSION", record.session.to_string()),
        ("SSH_BROKER_TUNNEL", record.tunnel.to_string()),
    ];
    let known = [
        ("SSH_BROKER_FILE", file(record)),
        ("SSH_BROKER_FTP_USER", record.ftp_user.clone()),
        ("SSH_BROKER_REASON", record.reason.clone()),
        ("SSH_BROKER_BY", record.fault.map(|fault| fault.to_string())),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    occasion(on, &record.profile, facts.into_iter().chain(known))
}

/// The path, or else the name as the client has sent it.
fn file(record: &TransferRecord) -> Option<String> {
    let sent = || {
        record
            .command
            .split_once(' ')
            .map(|(_, name)| name.to_owned())
    };
    record.path.clone().or_else(sent)
}

fn occasion(
    on: HookEvent,
    profile: &str,
    facts: impl IntoIterator<Item = (&'static str, String)>,
) -> Occasion {
    let always = [
        ("SSH_BROKER_EVENT", name(on).to_owned()),
        ("SSH_BROKER_PROFILE", profile.to_owned()),
    ];
    let facts = always.into_iter().chain(facts);
    Occasion {
        on,
        profile: profile.to_owned(),
        facts: facts
            .map(|(name, value)| (name, printable_start(&value, MAX_VALUE)))
            .collect(),
    }
}

/// The event's name in the configuration.
pub(super) fn name(on: HookEvent) -> &'static str {
    match on {
        HookEvent::Connected => "connected",
        HookEvent::Disconnected => "disconnected",
        HookEvent::TransferComplete => "transfer-complete",
        HookEvent::TransferFailed => "transfer-failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::ConnectionFacts;

    fn connection(id: u64, kind: ConnectionKind) -> ConnectionFacts {
        ConnectionFacts {
            id,
            profile: "p\n\0".to_owned(),
            kind,
        }
    }

    fn ended(id: u64) -> Event {
        Event::Disconnected {
            connection: connection(id, ConnectionKind::Control),
            reason: "r".to_owned(),
        }
    }

    #[test]
    fn a_profile_is_connected_while_it_has_a_control_connection() {
        let mut connected = Connected::default();
        let mut on = |event| connected.occasion(&event).map(|it| it.on);
        assert_eq!(
            on(Event::Connected(connection(1, ConnectionKind::Data))),
            None
        );
        let up = |id| Event::Connected(connection(id, ConnectionKind::Control));
        assert_eq!(on(up(2)), Some(HookEvent::Connected));
        assert_eq!(on(up(3)), None);
        assert_eq!(on(ended(2)), None);
        assert_eq!(on(ended(3)), Some(HookEvent::Disconnected));
        assert_eq!(on(ended(3)), None);
    }

    #[test]
    fn values_have_no_control_characters() {
        let found = of_connection(HookEvent::Connected, "p\n\0", None);
        let profile = found.facts.last().unwrap();
        assert_eq!(profile, &("SSH_BROKER_PROFILE", "p\\n\\u{0}".to_owned()));
    }
}
