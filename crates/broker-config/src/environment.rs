//! What the surroundings contribute to a configuration: variables, the user, the usual directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the surroundings contribute to a configuration.
///
/// Tests make one by hand; [`Environment::current`] asks the operating system.
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
    /// The surroundings of this process. Variables that are not UTF-8 are left out.
    pub fn current() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let (user_id, group_id) = ids();
        let named = ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| variables.get(*name).filter(|value| !value.is_empty()));
        // Services and containers often have none of these variables.
        let user = named
            .cloned()
            .or_else(|| name_of(Path::new("/etc/passwd"), user_id))
            .unwrap_or_default();
        Self {
            home: directories::BaseDirs::new()
                .map(|dirs| dirs.home_dir().to_owned())
                .unwrap_or_default(),
            config_directory: directories::ProjectDirs::from("", "", "ssh-broker")
                .map(|dirs| dirs.config_dir().to_owned()),
            user,
            group: name_of(Path::new("/etc/group"), group_id).unwrap_or_default(),
            user_id,
            group_id,
            variables,
        }
    }
}

/// The numbers of this process's user and group.
#[cfg(unix)]
fn ids() -> (u32, u32) {
    (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    )
}

/// Where users have no numbers, they are 0.
#[cfg(not(unix))]
fn ids() -> (u32, u32) {
    (0, 0)
}

/// The name of a user or group in a file of lines `name:password:number:…`.
fn name_of(file: &Path, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_group_by_its_number() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("group");
        std::fs::write(&file, "root:x:0:\nbroken\nstaff:x:50:anna,bert\n").unwrap();
        assert_eq!(name_of(&file, 50).as_deref(), Some("staff"));
        assert_eq!(name_of(&file, 5), None);
        assert_eq!(name_of(&directory.path().join("absent"), 0), None);
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
