//! What a configuration names on this host, looked at: files and ports. Nothing is changed.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use broker_config::{
    Config, Identity, ListenAddress, ListenSide, LogTarget, PasswordSource, PinnedKey, Position,
    Profile, Report, TunnelSpec,
};
use file_access::Readers;
use socket_owners::{Holders, Obstacles};

/// Something that the daemon will stumble over.
struct Finding {
    at: Position,
    message: String,
    help: String,
}

/// Adds a warning for each file and port that the daemon could not use, if the configuration is valid.
pub(super) fn look(report: &mut Report) {
    let Some(config) = &report.config else {
        return;
    };
    let mut found = Vec::new();
    config
        .profiles
        .iter()
        .for_each(|it| profile(it, &mut found));
    places(config, &mut found);
    ports(config, &mut found);
    for Finding { at, message, help } in found {
        report.warn(&at, message, help);
    }
}

fn profile(profile: &Profile, found: &mut Vec<Finding>) {
    let at = &profile.position;
    for identity in &profile.identities {
        if let Identity::File(path) = identity {
            secret("the private key", path, at, found);
        }
    }
    if let Some(PasswordSource::File(path)) = &profile.password {
        secret("the password file", path, at, found);
    }
    for key in &profile.host_keys {
        if let PinnedKey::File(path) = key {
            trusted("the host key", path, at, found);
        }
    }
}

/// Files that concern all profiles. A missing known_hosts file is an empty one.
fn places(config: &Config, found: &mut Vec<Finding>) {
    let at = &Position::default();
    for path in config.known_hosts.files.iter().flatten() {
        if path.exists() {
            trusted("the known hosts file", path, at, found);
        }
    }
    for path in &config.key_stores.key_files {
        secret("the private key", path, at, found);
    }
    let lists = config.key_stores.identification.iter();
    for path in lists.filter_map(|it| it.file.as_deref()) {
        readable("the list of keys", path, at, found);
    }
    let directories = config.key_stores.user_keys.iter();
    for path in directories.filter_map(|it| it.directory.as_deref()) {
        readable("the directory of keys", path, at, found);
    }
    for path in config.logging.iter().filter_map(LogTarget::file) {
        log_file(path, at, found);
    }
}

/// A file that only its user may read.
fn secret(what: &str, path: &Path, at: &Position, found: &mut Vec<Finding>) {
    let Some(metadata) = readable(what, path, at, found) else {
        return;
    };
    if file_access::is_open_to_others(&metadata, Readers::None) {
        let shown = path.display();
        found.push(Finding {
            at: at.clone(),
            message: format!("other users can read {what} {shown}, so the broker refuses it"),
            help: format!("run: chmod 600 {shown}"),
        });
    }
}

/// A file that only its user may change.
fn trusted(what: &str, path: &Path, at: &Position, found: &mut Vec<Finding>) {
    let Some(metadata) = readable(what, path, at, found) else {
        return;
    };
    if file_access::exposure(&metadata).is_some() {
        let shown = path.display();
        found.push(Finding {
            at: at.clone(),
            message: format!("other users can change {what} {shown}"),
            help: format!("check its contents, then take ownership and run: chmod go-w {shown}"),
        });
    }
}

/// What the system knows of a file that can be read.
fn readable(what: &str, path: &Path, at: &Position, found: &mut Vec<Finding>) -> Option<Metadata> {
    match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) => Some(metadata),
        Err(error) => {
            found.push(Finding {
                at: at.clone(),
                message: format!("cannot read {what} {}: {error}", path.display()),
                help: if error.kind() == io::ErrorKind::NotFound {
                    "correct the path, or put the file there".to_owned()
                } else {
                    "let the user who runs brokerd read it".to_owned()
                },
            });
            None
        }
    }
}

/// A log that exists can be appended to; another one needs a directory that can be written.
fn log_file(path: &Path, at: &Position, found: &mut Vec<Finding>) {
    let problem = match OpenOptions::new().append(true).open(path) {
        Ok(_) => return,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            match rustix::fs::access(directory, rustix::fs::Access::WRITE_OK) {
                Ok(()) => return,
                Err(error) => format!("its directory: {}", io::Error::from(error)),
            }
        }
        Err(error) => error.to_string(),
    };
    found.push(Finding {
        at: at.clone(),
        message: format!("cannot write the log file {}: {problem}", path.display()),
        help: "make the directory, and let the user who runs brokerd write to it".to_owned(),
    });
}

fn ports(config: &Config, found: &mut Vec<Finding>) {
    let of_profiles = config.profiles.iter().flat_map(|it| &it.tunnels);
    let of_file = config.static_tunnels.iter().map(|it| &it.tunnel);
    let tunnels = of_profiles.chain(of_file);
    let (mut holders, mut obstacles) = (Holders::new(), Obstacles::new());
    for tunnel in tunnels.filter(|it| it.listens == ListenSide::OwnHost && it.listen_port != 0) {
        for address in addresses(tunnel) {
            let Err(error) = TcpListener::bind(address) else {
                continue;
            };
            // A host without IPv6 has no address for it, and a daemon that runs has its ports.
            let optional = address.is_ipv6() && tunnel.listen_address == ListenAddress::All;
            if optional || holders.of(address).is_some_and(|it| it.is_daemon()) {
                continue;
            }
            let wanted = format!("{}:{}", tunnel.listen_address, tunnel.listen_port);
            let said = obstacles.explain(&wanted, address, &error);
            let (message, help) = said.split_once("; ").unwrap_or((&said, ""));
            found.push(Finding {
                at: tunnel.position.clone(),
                message: message.to_owned(),
                help: help.to_owned(),
            });
        }
    }
}

fn addresses(tunnel: &TunnelSpec) -> Vec<SocketAddr> {
    let port = tunnel.listen_port;
    match tunnel.listen_address {
        ListenAddress::Address(ip) => vec![(ip, port).into()],
        ListenAddress::All => vec![
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ],
    }
}
