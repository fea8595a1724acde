//! Which hooks there are for a profile.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_config::{Config, Hook, HookEvent};

/// The hooks of a configuration.
#[derive(Debug, Default)]
pub(super) struct HookTable {
    /// Those for all profiles, and for targets without one.
    all: Vec<Arc<Hook>>,
    /// Those of single profiles.
    of_profile: BTreeMap<String, Vec<Arc<Hook>>>,
}

impl HookTable {
    pub(super) fn of(config: &Config) -> Self {
        let shared = |hooks: &[Hook]| hooks.iter().cloned().map(Arc::new).collect();
        let profiles = config.profiles.iter();
        Self {
            all: shared(&config.hooks),
            of_profile: profiles
                .map(|profile| (profile.id.clone(), shared(&profile.hooks)))
                .collect(),
        }
    }

    /// Whether no hook waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.of_profile.values().all(Vec::is_empty)
    }

    /// The hooks that wait for this, the profile's own ones last.
    pub(super) fn wanted(&self, profile: &str, on: HookEvent) -> impl Iterator<Item = &Arc<Hook>> {
        let own = self.of_profile.get(profile).into_iter().flatten();
        let hooks = self.all.iter().chain(own);
        hooks.filter(move |hook| hook.on.contains(&on))
    }
}
