//! The totals of the connections of each profile. They outlast the pools, of which a reload makes new ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use broker_config::Config;

use super::connection_totals::ConnectionTotals;
use crate::sync::lock;

/// The totals of all profiles.
#[derive(Debug, Default)]
pub(super) struct ProfileTotals {
    /// By the ids of configured profiles.
    configured: Mutex<BTreeMap<String, Arc<ConnectionTotals>>>,
    /// Those of all targets without a profile. A script may name a new one with each request.
    requested: Arc<ConnectionTotals>,
}

impl ProfileTotals {
    /// The totals of the profile with this id, or of the targets without one.
    pub(super) fn of(&self, config: &Config, id: &str) -> Arc<ConnectionTotals> {
        if config.profile_by_id(id).is_none() {
            return self.requested.clone();
        }
        let mut configured = lock(&self.configured);
        configured.entry(id.to_owned()).or_default().clone()
    }

    /// Forgets the profiles that this configuration does not have.
    pub(super) fn adopt(&self, config: &Config) {
        lock(&self.configured).retain(|id, _| config.profile_by_id(id).is_some());
    }
}
