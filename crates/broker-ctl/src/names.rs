//! The names of profiles, which people know them by.

use std::collections::BTreeMap;

use broker_ipc::types::Profile;

/// The names by id.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    pub(crate) fn new(profiles: &[Profile]) -> Self {
        let named = profiles.iter();
        Self(
            named
                .filter_map(|it| Some((it.id.clone(), it.name.clone()?)))
                .collect(),
        )
    }

    /// The name of the profile with this id; the id if it has none.
    pub(crate) fn of<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }

    /// The same for a server that may have no profile: then the target.
    pub(crate) fn of_server<'a>(&'a self, id: Option<&'a str>, target: &'a str) -> &'a str {
        id.map_or(target, |id| self.of(id))
    }
}
