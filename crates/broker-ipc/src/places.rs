//! Where daemons have their sockets: one for each user, and one for the whole host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::peer::own_uid;

/// The directory of the sockets of one daemon.
const DIRECTORY: &str = "ssh-broker";
const SOCKET: &str = "broker.sock";
/// Where the daemon for the whole host has its runtime directory.
const SYSTEM: &str = "/run";
/// Where systemd and its relatives make a runtime directory for each user who is logged in.
const OF_USERS: &str = "/run/user";
/// Where users without a runtime directory make their own.
const SHARED: &str = "/tmp";

/// The most daemons of one host that are listed. More directories than that come from somebody who makes them to annoy.
const MAX_PLACES: usize = 1024;

/// The variable of the commercial broker that names its socket. Scripts and profiles of users set it.
const FORMER_VARIABLE: &str = "SSH_SECSH_BROKER";

/// The default socket of a daemon: the one that `SSH_SECSH_BROKER` names; otherwise one in the user's runtime directory; if
/// there is none, in the user's own directory in `/tmp`.
pub fn default_socket_path() -> PathBuf {
    named().unwrap_or_else(own_socket)
}

fn own_socket() -> PathBuf {
    own_sockets().next().unwrap_or_else(in_shared)
}

/// The socket that the environment names.
fn named() -> Option<PathBuf> {
    let path = std::env::var_os(FORMER_VARIABLE).filter(|it| !it.is_empty());
    path.map(PathBuf::from)
}

/// The socket of the daemon that this user controls by default: the one that `SSH_SECSH_BROKER` names; otherwise the user's own, otherwise the one for the whole host if
/// this user may connect to it. If no daemon answers, it is the user's default socket.
pub fn find_socket() -> PathBuf {
    let usual = || {
        let mut places = own_sockets().chain([of_host()]);
        let answering = places.find(|socket| UnixStream::connect(socket).is_ok());
        answering.unwrap_or_else(own_socket)
    };
    named().unwrap_or_else(usual)
}

/// The sockets of this host in their usual places, whoever they belong to, as far as this user can see them. Sockets of
/// daemons that have ended can be among them.
pub fn usual_sockets() -> Vec<PathBuf> {
    let of_users = subdirectories(OF_USERS).map(|directory| directory.join(DIRECTORY));
    let shared = subdirectories(SHARED).filter(|directory| {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{DIRECTORY}-"))
    });
    let others = of_users
        .chain(shared)
        .map(|directory| directory.join(SOCKET));
    let mut sockets: Vec<_> = [of_host()]
        .into_iter()
        .chain(own_sockets())
        .chain(others)
        .collect();
    sockets.retain(|socket| socket.exists());
    sockets.sort();
    sockets.dedup();
    sockets.truncate(MAX_PLACES);
    sockets
}

/// This user's sockets, the preferred one first. The environment of cron and su has no runtime directory, or that of
/// another user, so the usual one counts as well.
fn own_sockets() -> impl Iterator<Item = PathBuf> {
    let named = directories::BaseDirs::new().and_then(|it| it.runtime_dir().map(Path::to_owned));
    let usual = Path::new(OF_USERS).join(own_uid().to_string());
    let runtime = named.into_iter().chain([usual]);
    let own = runtime.filter(|directory| is_own(directory));
    own.map(|directory| directory.join(DIRECTORY).join(SOCKET))
        .chain([in_shared()])
}

fn is_own(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|it| it.is_dir() && it.uid() == own_uid())
}

fn in_shared() -> PathBuf {
    let own = format!("{DIRECTORY}-{}", own_uid());
    Path::new(SHARED).join(own).join(SOCKET)
}

fn of_host() -> PathBuf {
    Path::new(SYSTEM).join(DIRECTORY).join(SOCKET)
}

fn subdirectories(of: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}
