//! What `events` takes.

use broker_ipc::types::EventKind;
use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::candidates::profiles;

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events of this target: a profile's name or id, or [user@]host[#port]
    #[arg(long, value_name = "TARGET", add = profiles())]
    pub(crate) profile: Option<String>,
    /// Only events of this kind, such as transfer-ended. Can be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = event_kind, add = kinds())]
    pub(crate) kinds: Vec<EventKind>,
    /// Also show what has happened since the event with this number, as far as the daemon has kept it; 0 shows all of that
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// First show what is true now, as events of the usual kinds. `state-complete` ends that
    #[arg(long)]
    pub(crate) state: bool,
    /// End after this number of events
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<usize>,
}

/// A kind of events in its wire form.
fn event_kind(text: &str) -> Result<EventKind, String> {
    let kind = serde_json::from_value(text.into());
    kind.map_err(|_| format!("the kinds are {}", kind_names().join(", ")))
}

/// The names of all kinds. Serde lists them for a name that is none of them.
fn kind_names() -> Vec<String> {
    let none = serde_json::from_value::<EventKind>("".into());
    let listed = none.map_or_else(|error| error.to_string(), |_| String::new());
    let quoted = listed.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn kinds() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        kind_names()
            .into_iter()
            .map(CompletionCandidate::new)
            .collect()
    })
}
