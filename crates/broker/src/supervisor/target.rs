//! The meaning of a request for a tunnel: its target and its listener.

use broker_config::{Config, ListenSide, MAX_HOST, Profile, TunnelSpec, is_host};
use broker_ipc::RpcError;
use broker_ipc::methods::OpenTunnelListener;
use broker_ipc::types::{TunnelKind, TunnelSide};
use tracing::warn;

use crate::profiles::Profiles;

/// The longest user name in a target. Servers allow a few dozen characters; a company's directory may use e-mail
/// addresses as names.
const MAX_USER: usize = 512;

/// The shortest word that can be a misspelt profile: short names differ in one letter by design.
const SHORTEST: usize = 4;

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
/// If the target has no host or an invalid port, or looks like a misspelt profile.
pub(crate) fn profile(config: &Config, target: &str) -> Result<Profile, RpcError> {
    if let Some(profile) = config.profile(target) {
        return Ok(profile.clone());
    }
    if target.len() > MAX_USER + MAX_HOST {
        return Err(RpcError::invalid_params("the target is too long"));
    }
    let wrong = |what: &str| RpcError::invalid_params(format!("the target \"{target}\" {what}"));
    let form = "write a profile's name or [user@]host[#port]";
    let Parts { user, host, port } = Parts::of(target);
    let port = port.map(port_number).transpose().map_err(wrong)?;
    let bare = plain_text::without_brackets(host);
    if bare.is_empty() || user == Some("") {
        return Err(wrong(&format!("is incomplete: {form}")));
    }
    if let Some((host, port)) = with_colon(bare) {
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        return Err(wrong(&format!(
            "has its port after a colon: write the port with #: {user}{host}#{port}"
        )));
    }
    if !is_host(bare) || bare.contains('/') {
        return Err(wrong(&format!("names no host: {form}")));
    }
    if user.is_some_and(|user| user.len() > MAX_USER || user.contains(char::is_control)) {
        return Err(wrong(&format!(
            "has a user name that no server can have: {form}"
        )));
    }
    if let Some(meant) = misspelt(config, target) {
        return Err(wrong(&format!(
            "is not the name of a profile: did you mean {meant}? For a host with this name, write user@{target} or {target}#22"
        )));
    }
    Ok(config.adhoc(user, bare, port))
}

/// The parts of `[user@]host[#port]`, as written.
struct Parts<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(target: &'a str) -> Self {
        // A user name may contain an @, a host cannot.
        let (user, rest) = match target.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, target),
        };
        let (host, port) = match rest.split_once('#') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        Self { user, host, port }
    }
}

fn port_number(text: &str) -> Result<u16, &'static str> {
    let number = text.parse().ok().filter(|port| *port != 0);
    number.ok_or("has a wrong port: ports go from 1 to 65535")
}

/// The host and port of `host:port`, as most programs write it. An IPv6 address has more colons.
fn with_colon(host: &str) -> Option<(&str, &str)> {
    let (host, port) = host.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
    let is_name = !host.contains(':') || host.ends_with(']');
    (is_number && is_name && !host.is_empty()).then_some((host, port))
}

/// The profile whose name is almost this word. Looking up a misspelt name would only say that there is no such host, or
/// lead to another one.
fn misspelt<'a>(config: &'a Config, word: &str) -> Option<&'a str> {
    let is_host = word.contains(['@', '#', '.', ':']) || word == "localhost";
    let is_known = |profile: &Profile| profile.host.eq_ignore_ascii_case(word);
    if is_host || word.len() < SHORTEST || config.profiles.iter().any(is_known) {
        return None;
    }
    let names = config.profiles.iter();
    let names = names.flat_map(|profile| profile.name.as_deref().into_iter().chain([&*profile.id]));
    // Hosts with the same name and different numbers are different hosts, not typing errors.
    plain_text::closest(word, names.filter(|name| digits(name) == digits(word)))
}

fn digits(text: &str) -> String {
    text.matches(|c: char| c.is_ascii_digit()).collect()
}

/// The id of a profile, or of another target that the daemon serves. A client can also wait for the first tunnel to a host if
/// it leaves no doubt that it means a host.
///
/// # Errors
/// As those of [`profile`], and if nothing can ever happen to the target.
pub(crate) fn watched(profiles: &Profiles, target: &str) -> Result<String, RpcError> {
    let meant = profile(profiles.config(), target)?;
    let is_profile = profiles.config().profile_by_id(&meant.id).is_some();
    if is_profile || profiles.pool(&meant.id).is_some() || target.contains(['@', '#']) {
        return Ok(meant.id);
    }
    Err(RpcError::not_found(format!(
        "there is no profile {target}, and no tunnel leads to such a host: see list-profiles. For a host that a tunnel will lead \
to, write user@{target} or {target}#22"
    )))
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

    fn said(config: &Config, target: &str) -> String {
        profile(config, target).unwrap_err().message
    }

    #[test]
    fn a_port_after_a_colon_is_recognised() {
        let config = Config::default();
        for (target, meant) in [
            ("alice@host:22022", "alice@host#22022"),
            ("127.0.0.1:22", "127.0.0.1#22"),
            ("[::1]:22", "[::1]#22"),
        ] {
            let said = said(&config, target);
            let advice = format!("write the port with #: {meant}");
            assert!(said.ends_with(&advice), "{said}");
        }
        check("2001:db8::1:22", None, "2001:db8::1:22", 22);
        assert_eq!(
            said(&config, "host#0"),
            "the target \"host#0\" has a wrong port: ports go from 1 to 65535"
        );
    }

    #[test]
    fn a_misspelt_profile_is_recognised() {
        let mut config = Config::default();
        let named = |name: &str, host: &str| Profile {
            name: Some(name.to_owned()),
            ..Config::default().adhoc(None, host, None)
        };
        config.profiles = vec![named("work", "files.example"), named("web1", "w0rk")];
        for word in ["wrok", "Work", "worrk"] {
            let said = said(&config, word);
            assert!(said.contains("did you mean work?"), "{said}");
        }
        for host in [
            "files",
            "me@wrok",
            "wrok#22",
            "wrok.example",
            "web2",
            "w0rk",
            "wor",
            "localhost",
        ] {
            assert!(profile(&config, host).is_ok(), "{host}");
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
