//! The resolved configuration: the only thing the daemon sees.

use std::path::PathBuf;
use std::time::Duration;

use broker_settings::{Identity, PasswordSource, PinnedKey, Settings};

use crate::position::Position;
use crate::tunnel::{LocalTunnel, RemoteTunnel};

/// What all configuration files together mean.
///
/// Two configurations are equal when they mean the same: positions do not count, so that a comment added to the file
/// changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The profiles, in the order of the files; ids are unique.
    pub profiles: Vec<Profile>,
    /// Tunnels whose listeners stand from the daemon's start.
    pub static_tunnels: Vec<StaticTunnel>,
    /// The settings of targets that have no profile.
    pub defaults: Settings,
    /// The user on the server where no profile names one; `None` when the daemon's own user has no known name either.
    pub default_user: Option<String>,
    /// Where host keys are looked up besides the profiles' own.
    pub known_hosts: KnownHosts,
    /// Where private keys are looked for besides the profiles' own.
    pub key_stores: KeyStores,
    /// Whether the user's configuration must be accessible to its owner only; it is then, or there is no configuration.
    pub file_access_control: bool,
    /// Whether only FIPS-validated cryptography may be used.
    pub fips: bool,
    /// The user's configuration directory, where the file moves it.
    pub user_config_directory: Option<PathBuf>,
    /// Where the log goes; empty: wherever the daemon was told.
    pub logging: Vec<LogTarget>,
    /// What the files ask for and this version cannot do yet.
    pub unsupported: Vec<Unsupported>,
}

impl Config {
    /// The SSH port where none is given.
    pub const SSH_PORT: u16 = 22;

    /// The profile of this name, else the one of this id.
    pub fn profile(&self, name_or_id: &str) -> Option<&Profile> {
        self.profiles
            .iter()
            .find(|profile| profile.name.as_deref() == Some(name_or_id))
            .or_else(|| self.profile_by_id(name_or_id))
    }

    /// The profile of this id.
    pub fn profile_by_id(&self, id: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.id == id)
    }

    /// A profile for the target `[user@]host[#port]`, made of the default settings.
    ///
    /// Its id is the target written in full, so that equal targets share a profile.
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
            password: None,
            listen: ListenWhen::Startup,
            local_tunnels: Vec::new(),
            remote_tunnels: Vec::new(),
            position: Position::default(),
        }
    }
}

/// A server and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What other elements of the file call it; unique, never empty.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The server's name or address; never empty.
    pub host: String,
    /// The server's port, never 0.
    pub port: u16,
    /// The user on the server: the profile's, else the default one, else the daemon's own user; `None` when even that
    /// has no known name.
    pub user: Option<String>,
    /// Whether to connect when the daemon starts.
    pub connect_on_startup: bool,
    /// The id of the profile through whose server this one is reached; the proxy is ignored then.
    pub gateway: Option<String>,
    /// Everything else about the connection.
    pub settings: Settings,
    /// The server's keys; empty: they are looked up in the known-hosts places.
    pub host_keys: Vec<PinnedKey>,
    /// The private keys to use; empty: the usual ones.
    pub identities: Vec<Identity>,
    /// Where the password comes from.
    pub password: Option<PasswordSource>,
    /// When the profile's listeners stand.
    pub listen: ListenWhen,
    /// Tunnels from this host.
    pub local_tunnels: Vec<LocalTunnel>,
    /// Tunnels to this host.
    pub remote_tunnels: Vec<RemoteTunnel>,
    /// Where the file defines it.
    pub position: Position,
}

/// A tunnel that stands from the daemon's start; its profile connects with the first client.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticTunnel {
    /// The id of a profile, which exists.
    pub profile: String,
    /// The tunnel.
    pub tunnel: LocalTunnel,
}

/// When a profile's listeners stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenWhen {
    /// From the daemon's start; the first client makes the profile connect.
    Startup,
    /// While the profile is connected.
    Connected,
}

/// Where host keys are looked up besides the profiles' own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownHosts {
    /// Files in OpenSSH's format; `None`: none is named; empty: the usual ones are turned off.
    pub files: Option<Vec<PathBuf>>,
    /// Directories whose files are all in that format.
    pub directories: Vec<PathBuf>,
    /// Whether names are stored as hashes.
    pub hash_names: bool,
}

impl KnownHosts {
    /// Whether no place is named, so that the user's and the system's usual files count.
    pub fn are_the_usual(&self) -> bool {
        self.files.is_none() && self.directories.is_empty()
    }
}

/// Where private keys are looked for besides the profiles' own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStores {
    /// Directories of keys.
    pub user_keys: Vec<UserKeys>,
    /// Files that list keys.
    pub identification: Vec<Identification>,
    /// Other providers.
    pub providers: Vec<KeyStoreProvider>,
}

/// A directory of private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserKeys {
    /// The directory; `None`: the usual one.
    pub directory: Option<PathBuf>,
    /// How long a passphrase is kept; `None`: for ever.
    pub passphrase_timeout: Option<Duration>,
    /// How long a passphrase is kept after its last use; `None`: for ever.
    pub passphrase_idle_timeout: Option<Duration>,
}

/// A file that lists private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identification {
    /// The file; `None`: the usual one.
    pub file: Option<PathBuf>,
    /// Where the listed files are looked for; `None`: beside the list.
    pub base_path: Option<PathBuf>,
    /// How long a passphrase is kept; `None`: for ever.
    pub passphrase_timeout: Option<Duration>,
    /// How long a passphrase is kept after its last use; `None`: for ever.
    pub passphrase_idle_timeout: Option<Duration>,
}

/// A provider of private keys by its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStoreProvider {
    /// `software`, `pkcs11`, …
    pub kind: String,
    /// What the provider is started with.
    pub init: Option<String>,
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To a file.
    File(PathBuf),
    /// To the system's log.
    Syslog,
    /// Nowhere.
    Discard,
}

/// Something a file asks for that this version cannot do yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Where it is asked for.
    pub position: Position,
    /// What it is, as a message for a person.
    pub message: String,
}
