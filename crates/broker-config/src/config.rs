//! The resolved configuration: the only form that the daemon sees.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_settings::{Identity, PasswordSource, PinnedKey, Settings};

use crate::log_target::LogTarget;
use crate::position::Position;
use crate::tunnel::TunnelSpec;
use crate::written::Written;

/// The meaning of all configuration files together.
///
/// Two configurations are equal if they mean the same. Positions do not count, so adding a comment to a file makes no
/// difference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The profiles, in the order of the files. Their ids are unique.
    pub profiles: Vec<Profile>,
    /// Tunnels whose listeners are open from the daemon's start.
    pub static_tunnels: Vec<StaticTunnel>,
    /// The settings of targets without a profile.
    pub defaults: Settings,
    /// The user on the server if a profile names none; `None` if the name of the daemon's user is unknown as well.
    pub default_user: Option<String>,
    /// The password of targets without a profile.
    pub default_password: Option<PasswordSource>,
    /// The places of host keys, in addition to those of the profiles.
    pub known_hosts: KnownHosts,
    /// The places of private keys, in addition to those of the profiles.
    pub key_stores: KeyStores,
    /// Whether only its owner may have access to the user's configuration file. If set, that has been checked.
    pub file_access_control: bool,
    /// Whether the daemon may use only FIPS-validated cryptography.
    pub fips: bool,
    /// The user's configuration directory, if the file moves it.
    pub user_config_directory: Option<PathBuf>,
    /// The log targets; empty: only the log that the command line chooses.
    pub logging: Vec<LogTarget>,
    /// The hooks for all profiles, and for targets without one.
    pub hooks: Vec<Hook>,
    /// The settings in the files that this version does not support yet.
    pub unsupported: Vec<Unsupported>,
    /// The files themselves, for [`Config::values`].
    pub written: Written,
}

impl Config {
    /// The SSH port of a target without one.
    pub const SSH_PORT: u16 = 22;

    /// The profile with this name; if none, the one with this id.
    pub fn profile(&self, name_or_id: &str) -> Option<&Profile> {
        self.profiles
            .iter()
            .find(|profile| profile.name.as_deref() == Some(name_or_id))
            .or_else(|| self.profile_by_id(name_or_id))
    }

    /// The profile with this id.
    pub fn profile_by_id(&self, id: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.id == id)
    }

    /// A profile for the target `[user@]host[#port]`, with the default settings.
    ///
    /// Its id is the target in full, so equal targets share a profile.
    pub fn adhoc(&self, user: Option<&str>, host: &str, port: Option<u16>) -> Profile {
        let user = user
            .map(str::to_owned)
            .or_else(|| self.default_user.clone());
        let port = port.unwrap_or(Self::SSH_PORT);
        let prefix = user
            .as_deref()
            .map(|user| format!("{user}@"))
            .unwrap_or_default();
        Profile {
            id: format!("{prefix}{host}#{port}"),
            name: None,
            host: host.to_owned(),
            port,
            user,
            connect_on_startup: false,
            gateway: None,
            settings: self.defaults.clone(),
            host_keys: Vec::new(),
            identities: Vec::new(),
            password: self.default_password.clone(),
            listen: ListenWhen::Startup,
            tunnels: Vec::new(),
            hooks: Vec::new(),
            position: Position::default(),
        }
    }
}

/// A server and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name for other elements of the file; unique, never empty.
    pub id: String,
    /// Its name for people.
    pub name: Option<String>,
    /// The server's name or address; never empty.
    pub host: String,
    /// The server's port, never 0.
    pub port: u16,
    /// The user on the server: the profile's, otherwise the default one, otherwise the daemon's user. `None` if the
    /// name of that user is unknown.
    pub user: Option<String>,
    /// Whether the daemon connects at its start.
    pub connect_on_startup: bool,
    /// The id of the gateway profile, through whose server the broker connects. The proxy is ignored then.
    pub gateway: Option<String>,
    /// All other settings of the connection.
    pub settings: Settings,
    /// The server's keys; empty: the broker looks them up in the places of `known_hosts`.
    pub host_keys: Vec<PinnedKey>,
    /// The private keys to use; empty: the default ones.
    pub identities: Vec<Identity>,
    /// The source of the password.
    pub password: Option<PasswordSource>,
    /// When the profile's listeners are open.
    pub listen: ListenWhen,
    /// Its tunnels, local and remote.
    pub tunnels: Vec<TunnelSpec>,
    /// Its own hooks.
    pub hooks: Vec<Hook>,
    /// Its position in the file.
    pub position: Position,
}

/// A tunnel that is open from the daemon's start. Its profile connects for the first client.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticTunnel {
    /// The id of an existing profile.
    pub profile: String,
    /// The tunnel. It listens on this host.
    pub tunnel: TunnelSpec,
}

/// A command that runs when something has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When it runs.
    pub on: Vec<HookEvent>,
    /// The command, for a shell.
    pub command: String,
    /// How long it may run.
    pub timeout: Duration,
}

impl Hook {
    /// How long a hook may run if nothing else is written.
    pub const TIMEOUT: Duration = Duration::from_secs(60);
}

/// What a hook can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// The profile has a connection to its SSH server.
    Connected,
    /// It has none any more.
    Disconnected,
    /// The FTP client has learned that a transfer is complete.
    TransferComplete,
    /// It has not.
    TransferFailed,
}

/// When a profile's listeners are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenWhen {
    /// From the daemon's start. The profile connects for the first client.
    Startup,
    /// While the profile is connected.
    Connected,
}

/// The places of host keys, in addition to those of the profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownHosts {
    /// Files in OpenSSH's format; `None`: the configuration names none; empty: it turns off the default ones.
    pub files: Option<Vec<PathBuf>>,
    /// Directories that contain only files in that format.
    pub directories: Vec<PathBuf>,
    /// Whether the broker stores names as hashes.
    pub hash_names: bool,
}

impl KnownHosts {
    /// Whether the configuration names no place, so the default files of the user and the system apply.
    pub fn are_the_usual(&self) -> bool {
        self.files.is_none() && self.directories.is_empty()
    }
}

/// The places of private keys, in addition to those of the profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStores {
    /// Directories of keys.
    pub user_keys: Vec<UserKeys>,
    /// Files that list keys.
    pub identification: Vec<Identification>,
    /// Single key files.
    pub key_files: Vec<PathBuf>,
}

/// A directory of private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserKeys {
    /// The directory; `None`: the default one.
    pub directory: Option<PathBuf>,
    /// How long the broker keeps a passphrase; `None`: without limit.
    pub passphrase_timeout: Option<Duration>,
    /// How long the broker keeps a passphrase after its last use; `None`: without limit.
    pub passphrase_idle_timeout: Option<Duration>,
}

/// A file that lists private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identification {
    /// The file; `None`: the default one.
    pub file: Option<PathBuf>,
    /// The directory of the listed files; `None`: that of the list.
    pub base_path: Option<PathBuf>,
    /// How long the broker keeps a passphrase; `None`: without limit.
    pub passphrase_timeout: Option<Duration>,
    /// How long the broker keeps a passphrase after its last use; `None`: without limit.
    pub passphrase_idle_timeout: Option<Duration>,
}

impl LogTarget {
    /// The file that it writes.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Transfers(path) => Some(path),
            Self::Syslog | Self::Discard => None,
        }
    }
}

/// A setting in a file that this version does not support yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Its position.
    pub position: Position,
    /// A message for a person.
    pub message: String,
}
