//! `profile`: a server and how to reach it.

use broker_settings::{Identity, PasswordSource, PinnedKey};
use secrecy::SecretString;

use crate::choices::Secsh2;
use crate::config::ListenWhen;
use crate::findings::{Located, Span};
use crate::raw::hostkey;
use crate::raw::key_hash;
use crate::raw::settings::{self, RawSettings};
use crate::raw::tunnel::{self, RawTunnel};
use crate::tree::Element;
use crate::tunnel::is_host;
use crate::values::Values;

/// What a profile says.
#[derive(Clone, Debug)]
pub(crate) struct RawProfile {
    /// Where its name stands.
    pub(crate) span: Span,
    pub(crate) id: Option<Located<String>>,
    pub(crate) name: Option<Located<String>>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) connect_on_startup: Option<Located<bool>>,
    pub(crate) gateway: Option<Located<String>>,
    /// The user among them.
    pub(crate) settings: RawSettings,
    pub(crate) host_keys: Vec<PinnedKey>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) password: Option<PasswordSource>,
    pub(crate) listen: Option<ListenWhen>,
    pub(crate) local_tunnels: Vec<RawTunnel>,
    pub(crate) remote_tunnels: Vec<RawTunnel>,
}

pub(super) fn read(element: &Element, values: &mut Values<'_>) -> RawProfile {
    let tunnels = element.child("tunnels");
    let identities = element.child("user-identities");
    values.choice::<Secsh2>(element, "protocol");
    RawProfile {
        span: element.span,
        id: values.word(element, "id"),
        name: values.word(element, "name"),
        host: read_host(element, values),
        port: values.port(element, "port", 1).map(|port| port.value),
        connect_on_startup: values.choice(element, "connect-on-startup"),
        gateway: values.word(element, "gateway-profile"),
        settings: settings::read(element, values),
        host_keys: element
            .children_named("hostkey")
            .filter_map(|it| hostkey::read(it, values))
            .collect(),
        identities: identities
            .iter()
            .flat_map(|it| it.children_named("identity"))
            .filter_map(|it| read_identity(it, values))
            .collect(),
        password: element
            .child("password")
            .and_then(|it| read_password(it, values)),
        listen: tunnels
            .and_then(|it| values.choice(it, "listen"))
            .map(|listen| listen.value),
        local_tunnels: tunnels
            .iter()
            .flat_map(|it| it.children_named("local-tunnel"))
            .map(|it| tunnel::read_local(it, values))
            .collect(),
        remote_tunnels: tunnels
            .iter()
            .flat_map(|it| it.children_named("remote-tunnel"))
            .map(|it| tunnel::read_remote(it, values))
            .collect(),
    }
}

/// The host without the brackets that an IPv6 address may have.
fn read_host(element: &Element, values: &mut Values<'_>) -> Option<String> {
    let host = values.word(element, "host")?;
    let bare = host
        .value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(&host.value);
    if bare.contains(['*', '?']) {
        values
            .findings
            .error(host.span, "a profile is for one server, so that its host cannot be a pattern")
            .help("put what holds for all servers into `<default-settings>`: targets such as `user@host` take it");
        return None;
    }
    if !is_host(bare) || bare.contains(['@', '/', '#', '[', ']']) {
        values
            .findings
            .error(host.span, "this is not a host name or address")
            .help("write the host alone; user and port have attributes of their own");
        return None;
    }
    Some(bare.to_owned())
}

fn read_identity(element: &Element, values: &mut Values<'_>) -> Option<Identity> {
    if !exactly_one(element, &["identity-file", "file", "hash"], values) {
        return None;
    }
    if let Some(hash) = values.word(element, "hash") {
        let known = key_hash::parse(&hash.value);
        if known.is_none() {
            values
                .findings
                .error(hash.span, "this is not the hash of a public key")
                .help(
                    "write its SHA-256, SHA-1 or MD5 in hex digits, or as `ssh-keygen -l` prints it: `SHA256:…`",
                );
        }
        return known.map(Identity::Hash);
    }
    let file = values
        .path(element, "identity-file")
        .or_else(|| values.path(element, "file"));
    file.map(Identity::File)
}

fn read_password(element: &Element, values: &mut Values<'_>) -> Option<PasswordSource> {
    if !exactly_one(element, &["string", "file", "command"], values) {
        return None;
    }
    if let Some(string) = values.text(element, "string") {
        if string.value.is_empty() {
            values.report_empty(element, "string", string.span);
            return None;
        }
        values
            .findings
            .warning(
                string.span,
                "everybody who can read this file can read the password",
            )
            .help("put it into a file of its own: `<password file=\"…\"/>`, or use a key");
        return Some(PasswordSource::Inline(SecretString::from(string.value)));
    }
    let file = values.path(element, "file").map(PasswordSource::File);
    file.or_else(|| {
        values
            .word(element, "command")
            .map(|it| PasswordSource::Command(it.value))
    })
}

/// Complains unless exactly one of the attributes is there.
fn exactly_one(element: &Element, names: &[&str], values: &mut Values<'_>) -> bool {
    let given: Vec<_> = names
        .iter()
        .filter_map(|name| element.attribute(name))
        .collect();
    let choice = names.join("`, `");
    match given.as_slice() {
        [_] => return true,
        [first, second, ..] => values
            .findings
            .error(
                second.name_span,
                format!("`<{}>` takes only one of `{choice}`", element.name),
            )
            .related(first.name_span, "the first one"),
        [] => values.findings.error(
            element.span,
            format!("`<{}>` needs one of `{choice}`", element.name),
        ),
    };
    false
}
