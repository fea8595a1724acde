//! The settings that `default-settings` and each profile can contain.

use broker_settings::{AuthMethod, Compression, PasswordSource, ProxyRoute, ProxyRule, Settings};
use secrecy::ExposeSecret;

use crate::algorithms::{CIPHERS, HOST_KEYS, KEXS, MACS};
use crate::choices::{CompressionName, ServerMethod};
use crate::findings::{Remedy, Span};
use crate::proxy;
use crate::raw::algorithm_list::{CIPHER_LIST, HOST_KEY_LIST, KEX_LIST, MAC_LIST, algorithms};
use crate::raw::password::{self, PASSWORD};
use crate::table::{Child, Content, Rule, part, rows, rule};
use crate::tree::Element;
use crate::values::{Field, Values, set};

/// The defaults of profiles, and the settings of targets without a profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<PasswordSource>,
    pub(crate) settings: Settings,
}

/// The element of a method, with its attributes and children if there are any.
macro_rules! method {
    ($name:literal, $meaning:literal, $method:expr $(, $part:ident: $value:expr)*) => {
        Child::Same(&Rule::new($name).meaning($meaning, "").before(|it, e, v| {
            add_method(it, $method, e.span, v);
            true
        })$(.$part($value))*)
    };
}

/// The most SSH connections in a pool: each costs sockets and buffers at both ends.
const MAX_POOL: u64 = 1024;

/// The fewest bytes between two key exchanges. With fewer, key exchanges would be most of the traffic.
const MIN_REKEY: u64 = 64 * 1024;

pub(super) static DEFAULT_SETTINGS: Rule<Defaults> = rule(
    "default-settings",
    rows! { Defaults:
        "user" otherwise "the name of the user who runs the daemon": "the user name on the servers",
            |it, f| set(&mut it.user, user(f));
    },
)
.before(|it, e, v| {
    password::inside_method(&mut it.password, e, v);
    true
})
.children(&[Child::Settings(&SETTINGS, |it| &mut it.settings)]);

/// The children of `default-settings` and of each profile. The rule has no element.
pub(super) static SETTINGS: Rule<Settings> = Rule::new("").children(&[
    part!(AUTHENTICATION_METHODS, read_methods),
    Child::Same(&SERVER_AUTHENTICATION),
    part!(CIPHER_LIST, |it, e, v| it.algorithms.ciphers = algorithms(&CIPHER_LIST, CIPHERS, e, v)),
    part!(MAC_LIST, |it, e, v| it.algorithms.macs = algorithms(&MAC_LIST, MACS, e, v)),
    part!(KEX_LIST, |it, e, v| it.algorithms.kexs = algorithms(&KEX_LIST, KEXS, e, v)),
    part!(HOST_KEY_LIST, |it, e, v| it.algorithms.host_keys = algorithms(&HOST_KEY_LIST, HOST_KEYS, e, v)),
    Child::Same(&rule("rekey", rows! { Settings:
        "bytes" usual "1000000000": "exchange keys after this many bytes in one direction, 65536 to 1073741824, and after an \
 hour; 0: when the server requests it, at the latest after 16 GiB", |it, f| set(&mut it.rekey_bytes, rekey_bytes(f));
    })),
    part!(COMPRESSION, |it, e, v| set(&mut it.compression, compression(e, v))),
    Child::Same(&rule("proxy", rows! { Settings:
        "ruleset" required otherwise "none": "the rules that choose a proxy for the server; see [Ways to a server](#ways-to-a-server)", |it, f| set(&mut it.proxy, proxy_rules(f));
    })),
    Child::Same(&rule("idle-timeout", rows! { Settings:
        "time" usual "5": "how long an unused SSH connection stays open; 0: the broker closes it at once",
            |it, f| set(&mut it.pool.idle_timeout, f.seconds(0));
        "type" usual "connection": "only `connection`", |_, f| f.only("connection");
    })),
    Child::Same(&rule("tcp-connect-timeout", rows! { Settings:
        "time" usual "5": "how long connecting may take, see below; 0: as long as the operating system tries, some two \
 minutes", |it, f| set(&mut it.connect_timeout, f.limit());
    })),
    Child::Same(&rule("keepalive-interval", rows! { Settings:
        "time" usual "15": "how long a server may be silent before the broker sends a keepalive, see below; 0: no keepalives",
            |it, f| set(&mut it.keepalive_interval, f.limit());
    })),
    Child::Same(&rule("exclusive-connection", rows! { Settings:
        "enable" usual "no": "`yes`: each client has its own SSH connections, which end with it; `connection-pool` then \
 bounds those of one client", |it, f| set(&mut it.exclusive, f.choice());
    })),
    Child::Same(&rule("low-latency", rows! { Settings:
        "enable" usual "no": "`yes`: the broker makes an OpenSSH server before 10.1 send small packets at once, see below",
            |it, f| set(&mut it.low_latency, f.choice());
    })),
    Child::Same(&rule("server-banners", rows! { Settings:
        "visible" usual "yes": "whether the broker logs the text that the server shows before the login, on each SSH connection \
 for control connections; at most 2048 characters", |it, f| set(&mut it.server_banners, f.choice());
    })),
    Child::Same(&rule("address-family", rows! { Settings:
        "type" usual "any": "which addresses of the server, or of its proxy, the broker tries: `any`, `inet` (IPv4), \
 `inet6`", |it, f| set(&mut it.address_family, f.choice());
    })),
    Child::Same(&rule("connection-pool", rows! { Settings:
        "max-connections" usual "8": "how many SSH connections a profile may have for transfers, see below",
            |it, f| set(&mut it.pool.max_connections, f.count(1..=MAX_POOL));
        "max-dialing" usual "2": "how many of them the broker may open at a time",
            |it, f| set(&mut it.pool.max_dialing, f.count(1..=MAX_POOL));
        "stall-timeout" usual "60": "how long a stalled transfer may block others on the same connection",
            |it, f| set(&mut it.pool.stall_timeout, f.seconds(1));
    })),
    Child::Idle("extended", Content::Idle),
    Child::Idle("forwards", Content::Idle),
    Child::Idle("hostbased-default-domain", Content::Idle),
    Child::Idle("remote-environment", Content::Idle),
    Child::Idle("authentication-success-message", Content::Idle),
    Child::Idle("sftpg3-mode", Content::Idle),
    Child::Idle("terminal-selection", Content::Idle),
    Child::Idle("terminal-bell", Content::Idle),
    Child::Idle("close-window-on-disconnect", Content::Idle),
    Child::Idle("quiet-mode", Content::Idle),
    Child::Idle("checksum", Content::Idle),
]);

static SERVER_AUTHENTICATION: Rule<Settings> = Rule::new("server-authentication-methods")
    .meaning("how the server proves who it is", "")
    .children(&[
        Child::Same(&rule("auth-server-publickey", rows! { Settings:
            "policy" usual "ask": "what happens with an unknown key; see [Host keys](#host-keys)",
                |it, f| set(&mut it.host_key_policy, f.choice());
        })),
        Child::Same(&Rule::new("auth-server-certificate").content(Content::Unsupported)),
        Child::Same(&rule("authentication-method", rows! { Settings:
            "name" required: "`publickey`, or `certificate` (*later*), as in older files", read_server_method;
        }).many()),
    ]);

fn read_server_method(_: &mut Settings, field: &mut Field<'_, '_>) {
    if field.choice() == Some(ServerMethod::Certificate) {
        field.unsupported("`certificate` is not supported yet");
    }
}

/// A user name. Empty or `*`, it is one that a person or a program has to give.
pub(super) fn user(field: &mut Field<'_, '_>) -> Option<Option<String>> {
    if !matches!(field.written(), "" | "*") {
        return field.word().map(Some);
    }
    field
        .unsupported("the broker asks nobody for a user name, so this counts as no user name")
        .help("write the name, or remove the attribute");
    None
}

/// The names of the methods.
static AUTHENTICATION_METHODS: Rule<Vec<AuthMethod>> = Rule::new("authentication-methods")
    .meaning("which login methods the broker tries, in this order; see below", "public key, password, keyboard-interactive")
    .children(&[
        method!("auth-publickey", "a key", AuthMethod::PublicKey, attributes: rows! { Vec<AuthMethod>:
            "signature-algorithms" missing "the broker signs with the best algorithm that the server accepts, and never \
                with DSA or SHA-1": "no effect", |_, _| {};
        }, children: &[Child::Idle("key-selection", Content::Missing(
            "the broker tries all keys that it finds, with and without certificates, and asks nobody which; name the keys in \
             `<user-identities>`"
        ))]),
        method!("auth-password", "a password", AuthMethod::Password, children: &[
            // The profile reads it, since settings contain no secrets.
            part!(PASSWORD, |_, _, _| {}),
        ]),
        method!("auth-keyboard-interactive", "answers to the server's questions", AuthMethod::KeyboardInteractive),
        method!("auth-gssapi", "not supported", AuthMethod::Gssapi, content: Content::Skipped),
        method!("auth-hostbased", "not supported", AuthMethod::HostBased, content: Content::Skipped),
        Child::Same(&rule("authentication-method", rows! { Vec<AuthMethod>:
            "name" required: "a method by its name, as in older files",
                |it, f| if let Some(method) = f.choice() { add_method(it, method, f.span(), f.values); };
        }).many()),
    ]);

fn read_methods(settings: &mut Settings, element: &Element, values: &mut Values<'_>) {
    let methods = AUTHENTICATION_METHODS.read(element, values);
    if element.children.is_empty() {
        values
            .findings
            .error(element.span, "the list of authentication methods is empty")
            .help("name at least one, such as `<auth-publickey/>`, or remove the list");
    }
    if !methods.is_empty() {
        settings.auth_methods = methods;
    }
}

fn add_method(
    methods: &mut Vec<AuthMethod>,
    method: AuthMethod,
    span: Span,
    values: &mut Values<'_>,
) {
    if !method.is_supported() {
        let name = if method == AuthMethod::Gssapi {
            "GSSAPI"
        } else {
            "host-based"
        };
        let message = format!("{name} authentication is not supported");
        values.findings.unsupported(span, message);
    }
    if methods.contains(&method) {
        let message = "this method is already in the list";
        values
            .findings
            .warning(span, message)
            .remedy(Remedy::Remove);
    } else {
        methods.push(method);
    }
}

/// The values of `compression`.
#[derive(Default)]
struct RawCompression {
    name: Option<CompressionName>,
    level: Option<u64>,
}

static COMPRESSION: Rule<RawCompression> = rule(
    "compression",
    rows! { RawCompression:
        "name" usual "none": "compression of the SSH connection: `none` or `zlib`", |it, f| it.name = f.choice();
        "level" usual "0": "1 (fast) to 9 (small); 0: the library's choice", |it, f| it.level = f.number(0..=9);
    },
);

fn compression(element: &Element, values: &mut Values<'_>) -> Option<Compression> {
    let RawCompression { name, level } = COMPRESSION.read(element, values);
    Some(match name? {
        CompressionName::None => Compression::None,
        CompressionName::Zlib => Compression::Zlib {
            level: level
                .and_then(|it| u8::try_from(it).ok())
                .filter(|it| *it > 0),
        },
    })
}

/// 0, or a valid number of bytes.
fn rekey_bytes(field: &mut Field<'_, '_>) -> Option<Option<u64>> {
    let bytes = field.number(0..=u64::MAX)?;
    if bytes > 0 && bytes < MIN_REKEY {
        field
            .error(format!("a key exchange every {bytes} bytes is too often"))
            .help(format!(
                "write {MIN_REKEY} or more, or 0 to leave it to the server"
            ));
        return None;
    }
    Some((bytes > 0).then_some(bytes))
}

fn proxy_rules(field: &mut Field<'_, '_>) -> Option<Vec<ProxyRule>> {
    let ruleset = field.text()?;
    match proxy::parse(&ruleset) {
        Ok(rules) => {
            if field.values.open_to_others && rules.iter().any(has_password) {
                field
                    .warning("other users can read this file, and so the proxy's password")
                    .help("run chmod 600 on the file");
            }
            Some(rules)
        }
        Err(fault) => {
            field.error(fault.to_string()).help(
                "a rule is `direct:///`, `socks4://host:port/`, `socks5://host:port/`, \
                 `http-connect://host:port/` or, at the end, `command:COMMAND`, with `user:password@` before the host if needed, and \
                 conditions, such as `10.0.0.0/8,*.example.com:22`",
            );
            None
        }
    }
}

fn has_password(rule: &ProxyRule) -> bool {
    let ProxyRoute::Proxy(proxy) = &rule.route else {
        return false;
    };
    let login = proxy.login.as_ref();
    login.is_some_and(|login| !login.password.expose_secret().is_empty())
}
