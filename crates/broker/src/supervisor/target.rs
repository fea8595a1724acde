//! The meaning of a request for a tunnel: its target and its listener.

use broker_config::{Config, ListenSide, MAX_HOST, Profile, TunnelSpec, is_host};
use broker_ipc::RpcError;
use broker_ipc::methods::OpenTunnelListener;
use broker_ipc::types::{TunnelKind, TunnelSide};
use tracing::warn;

/// The longest user name in a target. Servers allow a few dozen characters; a company's directory may use e-mail
/// addresses as names.
const MAX_USER: usize = 512;

/// The requested tunnel, read by the rules of the configuration file.
///
/// # Errors
/// If the configuration file would not allow it, or if something is given twice.
pub(crate) fn tunnel_spec(asked: &OpenTunnelListener) -> Result<TunnelSpec, RpcError> {
    let listens = match asked.side {
        TunnelSide::Local => ListenSide::OwnHost,
        TunnelSide::Remote => ListenSide::SshServer,
    };
    let kind = asked.kind.to_string();
    let [listen_port, dst_port] = [asked.listen_port, asked.dst_port].map(|port| port.to_string());
    let mut attributes = vec![("type", kind.as_str()), ("listen-port", &listen_port)];
    if asked.kind != TunnelKind::Socks {
        attributes.extend([
            ("dst-host", asked.dst_host.as_str()),
            ("dst-port", &dst_port),
        ]);
    }
    attributes.extend(
        asked
            .listen_address
            .as_deref()
            .map(|it| ("listen-address", it)),
    );
    attributes.extend(asked.relay.then_some(("allow-relay", "yes")));
    for (name, value) in &asked.options {
        if attributes.iter().any(|(given, _)| given == name) {
            let message = format!("`{name}` is given already: leave the option out");
            return Err(RpcError::invalid_params(message));
        }
        attributes.push((name, value));
    }
    let (tunnel, warnings) =
        broker_config::requested_tunnel(listens, &attributes).map_err(RpcError::invalid_params)?;
    for warning in warnings {
        warn!("about the requested tunnel: {warning}");
    }
    Ok(tunnel)
}

/// The profile that a target names, by name or id, or one made up for `[user@]host[#port]`.
///
/// # Errors
/// If the target has no host, or an invalid port.
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
    // A user name may contain an @, a host cannot.
    let (user, rest) = match target.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, target),
    };
    let (host, port) = match rest.split_once('#') {
        Some((host, port)) => (
            host,
            Some(
                port.parse()
                    .map_err(|_| wrong("has a port that is not a number from 1 to 65535"))?,
            ),
        ),
        None => (rest, None),
    };
    let bare = plain_text::without_brackets(host);
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

/// As [`profile`], for commands in which only the server matters. If a profile has this host and port, its settings
/// apply.
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
    use std::collections::BTreeMap;

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

    fn asked(dst_host: &str) -> OpenTunnelListener {
        OpenTunnelListener {
            kind: TunnelKind::Ftp,
            side: TunnelSide::Local,
            listen_address: None,
            listen_port: 0,
            dst_host: dst_host.to_owned(),
            dst_port: 21,
            relay: false,
            options: BTreeMap::new(),
            target: "server".to_owned(),
            while_connected: false,
        }
    }

    #[test]
    fn options_are_those_of_the_file() {
        let mut asked = asked("host");
        asked.options.insert("max-sessions".into(), "7".into());
        let spec = tunnel_spec(&asked).unwrap();
        assert_eq!(spec.max_sessions, 7);
        asked.options.insert("dst-port".into(), "22".into());
        let twice = tunnel_spec(&asked).unwrap_err().message;
        assert_eq!(twice, "`dst-port` is given already: leave the option out");
    }

    #[test]
    fn a_destination_that_is_none_is_refused() {
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
