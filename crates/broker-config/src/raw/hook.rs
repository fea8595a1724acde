//! `hook`: a command that runs when something has happened.

use std::time::Duration;

use crate::config::{Hook, HookEvent};
use crate::table::{Rule, rows, rule};
use crate::tree::Element;
use crate::values::{Values, set};

/// The longest time that a hook may run, in seconds. Longer work belongs to a service that the hook starts.
const MAX_TIMEOUT: u64 = 3600;

/// The values of a hook.
pub(super) struct RawHook {
    on: Vec<HookEvent>,
    command: Option<String>,
    timeout: Duration,
}

pub(super) static HOOK: Rule<RawHook> = rule("hook", rows! { RawHook:
    "on" required: "when it runs: one or more of `connected`, `disconnected`, `transfer-complete` and `transfer-failed`, see \
        [Hooks](#hooks)", |it, f| it.on = f.choices();
    "command" required: "the command, for `sh`. The broker replaces no variables in it: it puts the facts into the \
        environment of the command", |it, f| it.command = f.verbatim();
    "timeout" usual "60": "how many seconds it may run, 1 to 3600; then the broker ends it",
        |it, f| set(&mut it.timeout, f.number(1..=MAX_TIMEOUT).map(Duration::from_secs));
})
.many();

/// Adds a hook, unless a part of it is missing.
pub(super) fn add(hooks: &mut Vec<Hook>, element: &Element, values: &mut Values<'_>) {
    let mut raw = RawHook {
        on: Vec::new(),
        command: None,
        timeout: Hook::TIMEOUT,
    };
    HOOK.apply(&mut raw, element, values);
    hooks.extend(raw.command.map(|command| Hook {
        on: raw.on,
        command,
        timeout: raw.timeout,
    }));
}
