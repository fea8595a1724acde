//! The environment of a configuration: variables, the user, the standard directories.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment of a configuration.
///
/// Tests make their own; [`Environment::current`] asks the operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The user's home directory.
    pub home: PathBuf,
    /// The platform's directory for this program's configuration.
    pub config_directory: Option<PathBuf>,
    /// The user's name; empty when unknown.
    pub user: String,
    /// The name of the user's group; empty when unknown.
    pub group: String,
    /// The user's number.
    pub user_id: u32,
    /// The group's number.
    pub group_id: u32,
}

impl Environment {
    /// The environment of this process, without variables that are not UTF-8.
    pub fn current() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let owner = Owner::current();
        let named = ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| variables.get(*name).filter(|value| !value.is_empty()));
        // Services and containers often have none of these variables.
        let user = named.cloned().unwrap_or(owner.user);
        Self {
            home: directories::BaseDirs::new()
                .map(|dirs| dirs.home_dir().to_owned())
                .unwrap_or_default(),
            config_directory: directories::ProjectDirs::from("", "", "ssh-broker")
                .map(|dirs| dirs.config_dir().to_owned()),
            user,
            group: owner.group,
            user_id: owner.user_id,
            group_id: owner.group_id,
            variables,
        }
    }
}

/// The user who runs this process. On systems without user numbers, the numbers are 0.
#[derive(Default)]
struct Owner {
    user: String,
    group: String,
    user_id: u32,
    group_id: u32,
}

impl Owner {
    /// From the system's user database, which also knows the users of a directory service.
    #[cfg(unix)]
    fn current() -> Self {
        use nix::unistd::{Group, User, getgid, getuid};
        let user = User::from_uid(getuid()).ok().flatten();
        let group = Group::from_gid(getgid()).ok().flatten();
        Self {
            user: user.map(|it| it.name).unwrap_or_default(),
            group: group.map(|it| it.name).unwrap_or_default(),
            user_id: getuid().as_raw(),
            group_id: getgid().as_raw(),
        }
    }

    #[cfg(not(unix))]
    fn current() -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_system_names_the_user_and_the_group() {
        let told = |option| {
            let output = std::process::Command::new("id").arg(option).output();
            String::from_utf8(output.unwrap().stdout)
                .unwrap()
                .trim()
                .to_owned()
        };
        let owner = Owner::current();
        assert_eq!((owner.user, owner.group), (told("-un"), told("-gn")));
    }

    #[test]
    fn knows_the_surroundings_of_this_process() {
        let current = Environment::current();
        assert_eq!(
            current.variables.get("CARGO_PKG_NAME").map(String::as_str),
            Some("broker-config")
        );
        assert!(current.home.is_absolute());
    }
}
