//! What a reload has changed.

use serde::{Deserialize, Serialize};

/// What a reload has changed, or would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReloadReport {
    /// True if nothing has been changed, since the request only asked what would change.
    pub dry_run: bool,
    /// The configuration files, in the order in which they were read.
    pub config: Vec<String>,
    /// The profiles, by their ids.
    pub profiles: Changes,
    /// The tunnels of the configuration, by where they listen.
    pub tunnels: Changes,
    /// What else has changed and holds from now on.
    pub settings: Vec<String>,
    /// What has changed and holds only after a restart of the daemon.
    pub restart: Vec<String>,
    /// What a person should look at: in the files, and of new tunnels that do not listen at once.
    pub warnings: Vec<String>,
}

impl ReloadReport {
    /// Whether the configuration means the same as before.
    pub fn is_unchanged(&self) -> bool {
        let same =
            |it: &Changes| it.added.is_empty() && it.removed.is_empty() && it.changed.is_empty();
        same(&self.profiles)
            && same(&self.tunnels)
            && self.settings.is_empty()
            && self.restart.is_empty()
    }
}

/// What has become of things of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<Change>,
    /// Those that have changed.
    pub changed: Vec<Change>,
    /// Those that have not changed.
    pub kept: Vec<String>,
}

/// What has become of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What that means for those who use it.
    pub effect: String,
}
