//! What `events` takes.

use broker_ipc::types::EventKind;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events of this target: a profile's name or id, or [user@]host[#port]
    #[arg(long, value_name = "TARGET")]
    pub(crate) profile: Option<String>,
    /// Only events of this kind, such as transfer-ended. Can be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = event_kind)]
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
    kind.map_err(|_| "docs/ipc-api.md names the kinds, such as transfer-ended".to_owned())
}
