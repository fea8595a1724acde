//! What a request for a tunnel means: its target and its listener.

use broker_config::{
    Config, FtpOptions, ListenAddress, LocalKind, LocalTunnel, MAX_HOST, Position, Profile, is_host,
};
use broker_ipc::RpcError;
use broker_ipc::methods::OpenTunnelListener;
use broker_ipc::types::TunnelKind;

/// The longest user name in a target. Servers allow some dozens of characters; directories of a company may have e-mail
/// addresses as names.
const MAX_USER: usize = 512;

/// The tunnel asked for.
///
/// # Errors
/// A listen address that is none, or a destination that can't be.
pub(crate) fn tunnel_spec(asked: &OpenTunnelListener) -> Result<LocalTunnel, RpcError> {
    let listen_address = match &asked.listen_address {
        Some(text) => text.parse().map_err(RpcError::invalid_params)?,
        None if asked.relay => ListenAddress::All,
        None => ListenAddress::LOOPBACK,
    };
    if !is_host(&asked.dst_host) || asked.dst_port == 0 {
        return Err(RpcError::invalid_params(format!(
            "the tunnel's destination needs a host, a name or address of at most {MAX_HOST} characters, and a port other than 0"
        )));
    }
    Ok(LocalTunnel {
        kind: match asked.kind {
            TunnelKind::Ftp => LocalKind::Ftp(FtpOptions::default()),
            TunnelKind::Tcp => LocalKind::Tcp,
        },
        listen_address,
        listen_port: asked.listen_port,
        dst_host: asked.dst_host.clone(),
        dst_port: asked.dst_port,
        allow_relay: asked.relay,
        allow_from: Vec::new(),
        position: Position::default(),
    })
}

/// The profile a target names, by name or id, or one made up for `[user@]host[#port]`.
///
/// # Errors
/// A target without a host, or with a port that is none.
pub(crate) fn profile(config: &Config, target: &str) -> Result<Profile, RpcError> {
    if let Some(profile) = config.profile(target) {
        return Ok(profile.clone());
    }
    if target.len() > MAX_USER + MAX_HOST {
        return Err(RpcError::invalid_params("the target is too long"));
    }
    let wrong = |what: &str| {
        RpcError::invalid_params(format!(
            "the target \"{target}\" {what}; write a profile's name or [user@]host[#port]"
        ))
    };
    // A user name may hold an @, a host can't.
    let (user, rest) = match target.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, target),
    };
    let (host, port) = match rest.split_once('#') {
        Some((host, port)) => (
            host,
            Some(
                port.parse()
                    .map_err(|_| wrong("has a port that is no number from 1 to 65535"))?,
            ),
        ),
        None => (rest, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    if bare.is_empty() || user == Some("") || port == Some(0) {
        return Err(wrong("is incomplete"));
    }
    if !is_host(bare) || bare.contains('/') {
        return Err(wrong("names no host"));
    }
    if user.is_some_and(|user| user.len() > MAX_USER || user.contains(char::is_control)) {
        return Err(wrong("has a user name that no server can have"));
    }
    Ok(config.adhoc(user, bare, port))
}

/// As [`profile`], where the server alone matters: a host and port that some profile has are reached the way of that one.
pub(crate) fn server(config: &Config, target: &str) -> Result<Profile, RpcError> {
    let asked = profile(config, target)?;
    let mut profiles = config.profiles.iter();
    let same = |it: &&Profile| it.host.eq_ignore_ascii_case(&asked.host) && it.port == asked.port;
    let is_configured = config.profile_by_id(&asked.id).is_some();
    let configured = profiles.find(same).filter(|_| !is_configured).cloned();
    Ok(configured.unwrap_or(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, user: Option<&str>, host: &str, port: u16) {
        let profile = profile(&Config::default(), target).unwrap();
        assert_eq!(profile.user.as_deref(), user);
        assert_eq!((profile.host.as_str(), profile.port), (host, port));
    }

    #[test]
    fn a_target_is_a_host_with_user_and_port_as_needed() {
        check("server", None, "server", 22);
        check("me@server", Some("me"), "server", 22);
        check("me@server#2222", Some("me"), "server", 2222);
        check("me@corp@server", Some("me@corp"), "server", 22);
        check("me@[::1]#2222", Some("me"), "::1", 2222);
        check("::1", None, "::1", 22);
    }

    #[test]
    fn a_server_is_reached_the_way_of_its_profile() {
        let mut config = Config::default();
        let mut work = config.adhoc(Some("me"), "Files.example", Some(2222));
        work.id = "work".into();
        let mut again = work.clone();
        again.id = "again".into();
        config.profiles = vec![work, again];
        for (target, id) in [
            ("files.example#2222", "work"),
            ("you@files.example#2222", "work"),
            ("again", "again"),
            ("files.example", "files.example#22"),
        ] {
            assert_eq!(server(&config, target).unwrap().id, id, "{target}");
        }
    }

    #[test]
    fn a_target_that_names_nothing_is_refused() {
        for wrong in [
            "",
            "@server",
            "me@",
            "server#0",
            "server#x",
            "server#70000",
            "a b",
            "a\u{1b}[2Jb",
            "me\n@server",
            "a\u{202e}b",
            &"a".repeat(MAX_HOST + 1),
            &format!("{}@server", "u".repeat(MAX_USER + 1)),
        ] {
            assert!(profile(&Config::default(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_destination_that_is_none_is_refused() {
        let asked = |dst_host: &str| OpenTunnelListener {
            kind: TunnelKind::Tcp,
            listen_address: None,
            listen_port: 0,
            dst_host: dst_host.to_owned(),
            dst_port: 80,
            relay: false,
            target: "server".to_owned(),
        };
        for right in ["host", "2001:db8::1", "fe80::1%eth0", "büro.example"] {
            assert!(tunnel_spec(&asked(right)).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "a\u{1b}[2Jb",
            "a b",
            "a\nb",
            "a\u{200b}b",
            &"a".repeat(500_000),
        ] {
            assert!(tunnel_spec(&asked(wrong)).is_err());
        }
    }
}
