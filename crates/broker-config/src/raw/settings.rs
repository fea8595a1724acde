//! The settings that `default-settings` and each profile may hold.

use std::time::Duration;

use broker_settings::{AddressFamily, AuthMethod, Compression, HostKeyPolicy, ProxyRule};
use secrecy::ExposeSecret;

use crate::algorithms::{CIPHERS, Family, HOST_KEYS, KEXS, MACS};
use crate::choices::{CompressionName, IdleOfConnection};
use crate::findings::{Located, Span};
use crate::proxy;
use crate::suggest::{clip, did_you_mean};
use crate::tree::Element;
use crate::values::Values;

/// What the settings say; each is `None` where the file is silent.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawSettings {
    pub(crate) user: Option<Located<String>>,
    pub(crate) ciphers: Option<Vec<String>>,
    pub(crate) macs: Option<Vec<String>>,
    pub(crate) kexs: Option<Vec<String>>,
    pub(crate) host_keys: Option<Vec<String>>,
    /// 0: never.
    pub(crate) rekey_bytes: Option<u64>,
    pub(crate) auth_methods: Option<Vec<AuthMethod>>,
    pub(crate) compression: Option<Compression>,
    pub(crate) proxy: Option<Vec<ProxyRule>>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Option<Duration>>,
    pub(crate) keepalive_interval: Option<Option<Duration>>,
    pub(crate) exclusive: Option<bool>,
    pub(crate) server_banners: Option<bool>,
    pub(crate) host_key_policy: Option<HostKeyPolicy>,
    pub(crate) address_family: Option<AddressFamily>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_dialing: Option<usize>,
    pub(crate) stall_timeout: Option<Duration>,
}

/// The most SSH connections a pool may be given: each costs sockets and buffers at both ends.
const MAX_POOL: u64 = 1024;

/// The fewest bytes between two key exchanges: with fewer, exchanges would be most of the traffic.
const MIN_REKEY: u64 = 64 * 1024;

pub(super) fn read(parent: &Element, values: &mut Values<'_>) -> RawSettings {
    let policy = parent
        .child("server-authentication-methods")
        .and_then(|it| it.child("auth-server-publickey"));
    let pool = parent.child("connection-pool");
    let count = |name: &str, values: &mut Values<'_>| {
        pool.and_then(|it| values.count(it, name, 1..=MAX_POOL))
    };
    RawSettings {
        user: values.word(parent, "user"),
        ciphers: read_algorithms(parent, CIPHERS, values),
        macs: read_algorithms(parent, MACS, values),
        kexs: read_algorithms(parent, KEXS, values),
        host_keys: read_algorithms(parent, HOST_KEYS, values),
        rekey_bytes: parent.child("rekey").and_then(|it| read_rekey(it, values)),
        auth_methods: parent
            .child("authentication-methods")
            .and_then(|it| read_methods(it, values)),
        compression: parent
            .child("compression")
            .and_then(|it| read_compression(it, values)),
        proxy: parent.child("proxy").and_then(|it| read_proxy(it, values)),
        idle_timeout: parent.child("idle-timeout").and_then(|it| {
            values.choice::<IdleOfConnection>(it, "type");
            values.seconds(it, "time", 0)
        }),
        connect_timeout: parent
            .child("tcp-connect-timeout")
            .and_then(|it| values.limit(it, "time")),
        keepalive_interval: parent
            .child("keepalive-interval")
            .and_then(|it| values.limit(it, "time")),
        exclusive: parent
            .child("exclusive-connection")
            .and_then(|it| values.flag(it, "enable")),
        server_banners: parent
            .child("server-banners")
            .and_then(|it| values.flag(it, "visible")),
        host_key_policy: policy
            .and_then(|it| values.choice(it, "policy"))
            .map(|policy| policy.value),
        address_family: parent
            .child("address-family")
            .and_then(|it| values.choice(it, "type"))
            .map(|family| family.value),
        max_connections: count("max-connections", values),
        max_dialing: count("max-dialing", values),
        stall_timeout: pool.and_then(|it| values.seconds(it, "stall-timeout", 1)),
    }
}

/// 0, or a number of bytes that makes sense.
fn read_rekey(element: &Element, values: &mut Values<'_>) -> Option<u64> {
    let bytes = values.number(element, "bytes", 0..=u64::MAX)?;
    if bytes.value > 0 && bytes.value < MIN_REKEY {
        values
            .findings
            .error(
                bytes.span,
                format!("new keys every {} bytes are too many", bytes.value),
            )
            .help(format!(
                "write {MIN_REKEY} or more, or 0 to leave it to the server"
            ));
        return None;
    }
    Some(bytes.value)
}

fn read_compression(element: &Element, values: &mut Values<'_>) -> Option<Compression> {
    let level = values
        .count(element, "level", 0..=9)
        .and_then(|level| u8::try_from(level).ok());
    let name = values.choice(element, "name").map(|name| name.value);
    Some(match name? {
        CompressionName::None => Compression::None,
        CompressionName::Zlib => Compression::Zlib {
            level: level.filter(|level| *level > 0),
        },
    })
}

fn read_proxy(element: &Element, values: &mut Values<'_>) -> Option<Vec<ProxyRule>> {
    let ruleset = values.text(element, "ruleset")?;
    match proxy::parse(&ruleset.value) {
        Ok(rules) => {
            if rules.iter().any(has_password) {
                values
                    .findings
                    .warning(
                        ruleset.span,
                        "everybody who can read this file can read the proxy's password",
                    )
                    .help("let only its owner read it: chmod 600");
            }
            Some(rules)
        }
        Err(fault) => {
            values.findings.error(ruleset.span, fault.to_string()).help(
                "a rule is `direct:///`, `socks4://host:port/`, `socks5://host:port/` or \
                 `http-connect://host:port/`, with `user:password@` before the host if need be, and \
                 conditions, such as `10.0.0.0/8,*.example.com:22`",
            );
            None
        }
    }
}

fn has_password(rule: &ProxyRule) -> bool {
    let login = rule.proxy.as_ref().and_then(|proxy| proxy.login.as_ref());
    login.is_some_and(|login| !login.password.expose_secret().is_empty())
}

fn read_methods(element: &Element, values: &mut Values<'_>) -> Option<Vec<AuthMethod>> {
    let mut methods = Vec::new();
    for child in &element.children {
        let Some(method) = read_method(child, values) else {
            continue;
        };
        if !method.value.is_supported() {
            let name = if method.value == AuthMethod::Gssapi {
                "GSSAPI"
            } else {
                "host-based"
            };
            values.findings.unsupported(
                method.span,
                format!("{name} authentication is not supported"),
            );
        }
        if methods.contains(&method.value) {
            values
                .findings
                .warning(method.span, "this method is in the list already");
        } else {
            methods.push(method.value);
        }
    }
    if element.children.is_empty() {
        values
            .findings
            .error(element.span, "the list of authentication methods is empty")
            .help("name at least one, such as `<auth-publickey/>`, or remove the list");
    }
    (!methods.is_empty()).then_some(methods)
}

fn read_method(element: &Element, values: &mut Values<'_>) -> Option<Located<AuthMethod>> {
    let value = match element.name.as_str() {
        "auth-publickey" => AuthMethod::PublicKey,
        "auth-password" => AuthMethod::Password,
        "auth-keyboard-interactive" => AuthMethod::KeyboardInteractive,
        "auth-gssapi" => AuthMethod::Gssapi,
        "auth-hostbased" => AuthMethod::HostBased,
        "authentication-method" => return values.choice(element, "name"),
        _ => return None,
    };
    Some(Located {
        value,
        span: element.span,
    })
}

/// The names in a list of algorithms, all of which can be offered.
fn read_algorithms(
    parent: &Element,
    family: Family,
    values: &mut Values<'_>,
) -> Option<Vec<String>> {
    let element = parent.child(family.list)?;
    let mut names: Vec<String> = Vec::new();
    for item in element.children_named(family.item) {
        let Some(name) = values.word(item, "name") else {
            continue;
        };
        check_algorithm(&name.value, name.span, family, values);
        if names.contains(&name.value) {
            values
                .findings
                .warning(name.span, "this name is in the list already");
        } else if names.len() < family.good.len() {
            names.push(name.value);
        }
    }
    if element.children.is_empty() {
        values
            .findings
            .error(
                element.span,
                format!("`<{}>` is empty: nothing could be offered", family.list),
            )
            .help("name at least one, or remove the list to have today's safe ones");
    }
    Some(names)
}

fn check_algorithm(name: &str, span: Span, family: Family, values: &mut Values<'_>) {
    if family.good.contains(&name) {
        return;
    }
    let broken = family.broken.iter().find(|(broken, _)| *broken == name);
    if let Some((_, instead)) = broken {
        values
            .findings
            .error(span, format!("`{name}` is insecure and is not offered"))
            .help(format!(
                "use `{instead}`, or remove the list to have today's safe ones"
            ));
        return;
    }
    values
        .findings
        .error(
            span,
            format!(
                "`{}` is not the name of a {} known here",
                clip(name),
                family.item
            ),
        )
        .help(did_you_mean(name, family.good.iter().copied()));
}
