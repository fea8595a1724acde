//! The settings that `default-settings` and each profile may hold.

use broker_settings::{AuthMethod, Compression, ProxyRule, Settings};
use secrecy::ExposeSecret;

use crate::algorithms::{CIPHERS, Family, HOST_KEYS, KEXS, MACS};
use crate::choices::{CompressionName, IdleOfConnection};
use crate::findings::Span;
use crate::proxy;
use crate::suggest::{clip, did_you_mean};
use crate::table::{Attribute, Child, Content, Rule, part, row};
use crate::tree::Element;
use crate::values::{Field, Values, set};

/// What holds for profiles that say nothing else, and for targets without a profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) user: Option<String>,
    pub(crate) settings: Settings,
}

/// The most SSH connections a pool may be given: each costs sockets and buffers at both ends.
const MAX_POOL: u64 = 1024;

/// The fewest bytes between two key exchanges: with fewer, exchanges would be most of the traffic.
const MIN_REKEY: u64 = 64 * 1024;

pub(super) static DEFAULT_SETTINGS: Rule<Defaults> = Rule::<Defaults>::new("default-settings")
    .attributes(&[&[row("user", "the user name on the servers")
        .otherwise("the name of the user who runs the daemon")
        .read(|it, f| set(&mut it.user, f.word().map(Some)))]])
    .children(&[Child::Settings(&SETTINGS, |it| &mut it.settings)]);

/// What stands in `default-settings` and, for itself alone, in each profile. It has no element of its own.
pub(super) static SETTINGS: Rule<Settings> = Rule::<Settings>::new("").children(&[
    part!(AUTHENTICATION_METHODS, read_methods),
    part!(SERVER_AUTHENTICATION, |it, e, v| SERVER_AUTHENTICATION
        .apply(it, e, v)),
    part!(CIPHER_LIST, |it, e, v| {
        it.algorithms.ciphers = algorithms(&CIPHER_LIST, CIPHERS, e, v);
    }),
    part!(MAC_LIST, |it, e, v| {
        it.algorithms.macs = algorithms(&MAC_LIST, MACS, e, v);
    }),
    part!(KEX_LIST, |it, e, v| {
        it.algorithms.kexs = algorithms(&KEX_LIST, KEXS, e, v);
    }),
    part!(HOST_KEY_LIST, |it, e, v| {
        it.algorithms.host_keys = algorithms(&HOST_KEY_LIST, HOST_KEYS, e, v);
    }),
    one(&Rule::<Settings>::new("rekey").attributes(&[&[row(
        "bytes",
        "new keys after so many bytes in one direction, 65536 to 1073741824, and \
             after an hour; 0: when the server asks for them, else after 16 GiB",
    )
    .usual("1000000000")
    .read(|it, f| set(&mut it.rekey_bytes, rekey_bytes(f)))]])),
    part!(COMPRESSION, |it, e, v| set(
        &mut it.compression,
        compression(e, v)
    )),
    one(&Rule::<Settings>::new("proxy").attributes(&[&[row(
        "ruleset",
        "the proxy through which the server is reached; see [Ways to a \
             server](#ways-to-a-server)",
    )
    .required()
    .otherwise("none")
    .read(|it, f| set(&mut it.proxy, proxy_rules(f)))]])),
    one(&Rule::<Settings>::new("idle-timeout").attributes(&[&[
        row(
            "time",
            "how long an SSH connection stays open once nothing uses it; 0: closed at \
             once",
        )
        .usual("5")
        .read(|it, f| set(&mut it.pool.idle_timeout, f.seconds(0))),
        row("type", "only `connection`")
            .usual("connection")
            .read(|_, f| {
                f.choice::<IdleOfConnection>();
            }),
    ]])),
    one(
        &Rule::<Settings>::new("tcp-connect-timeout").attributes(&[&[row(
            "time",
            "how long connecting may take: looking the name up, TCP, the proxy's answer \
             and the SSH key exchange together; 0: as long as the operating system would \
             try, some two minutes. Each gateway on the way has its own time",
        )
        .usual("5")
        .read(|it, f| set(&mut it.connect_timeout, f.limit()))]]),
    ),
    one(
        &Rule::<Settings>::new("keepalive-interval").attributes(&[&[row(
            "time",
            "how long a server may be silent before it is asked for a sign of life. Where \
             nothing comes for three times as long again, the connection ends, with the \
             usual 15 seconds after a minute; an upload whose bytes nobody acknowledges \
             ends after the same time (on Linux). 0: never, so that only the operating \
             system notices, after two minutes or more, that it is gone",
        )
        .usual("15")
        .read(|it, f| set(&mut it.keepalive_interval, f.limit()))]]),
    ),
    one(
        &Rule::<Settings>::new("exclusive-connection").attributes(&[&[row(
            "enable",
            "`yes`: each client has SSH connections of its own, which end with it; \
             `connection-pool` then bounds those of one client",
        )
        .usual("no")
        .read(|it, f| set(&mut it.exclusive, f.choice()))]]),
    ),
    one(&Rule::<Settings>::new("server-banners").attributes(&[&[row(
        "visible",
        "whether what the server shows before the login is logged: its first text on \
             each connection that carries control channels, 2048 characters of it at most",
    )
    .usual("yes")
    .read(|it, f| set(&mut it.server_banners, f.choice()))]])),
    one(&Rule::<Settings>::new("address-family").attributes(&[&[row(
        "type",
        "which addresses of the server are tried, or of its proxy where it has one: \
             `any`, `inet` (IPv4), `inet6`",
    )
    .usual("any")
    .read(|it, f| set(&mut it.address_family, f.choice()))]])),
    one(&Rule::<Settings>::new("connection-pool").attributes(&[POOL])),
    Child::Idle("forwards"),
    Child::Idle("remote-environment"),
    Child::Idle("authentication-success-message"),
    Child::Idle("sftpg3-mode"),
    Child::Idle("terminal-selection"),
    Child::Idle("terminal-bell"),
    Child::Idle("close-window-on-disconnect"),
    Child::Idle("quiet-mode"),
    Child::Idle("checksum"),
]);

const POOL: &[Attribute<Settings>] = &[
    row(
        "max-connections",
        "how many SSH connections a profile may have for transfers, beside the one \
             that carries control channels (from 128 clients on there are more of these). \
             Each connection carries one transfer at a time, until there are more \
             transfers than connections. Where all of them stand still, two more are \
             made; after that a newcomer takes the place of the transfer that has stood \
             longest",
    )
    .usual("8")
    .read(|it, f| set(&mut it.pool.max_connections, f.count(1..=MAX_POOL))),
    row("max-dialing", "how many may be being made at one time")
        .usual("2")
        .read(|it, f| {
            set(&mut it.pool.max_dialing, f.count(1..=MAX_POOL));
        }),
    row(
        "stall-timeout",
        "how long a transfer that stands still may hold up others where they share a \
             connection",
    )
    .usual("60")
    .read(|it, f| set(&mut it.pool.stall_timeout, f.seconds(1))),
];

pub(super) static SERVER_AUTHENTICATION: Rule<Settings> =
    Rule::<Settings>::new("server-authentication-methods")
        .meaning("how the server proves who it is", "")
        .children(&[
            one(
                &Rule::<Settings>::new("auth-server-publickey").attributes(&[&[row(
                    "policy",
                    "what happens with a server's key that is not known; see [Host \
             keys](#host-keys)",
                )
                .usual("ask")
                .read(|it, f| set(&mut it.host_key_policy, f.choice()))]]),
            ),
            one(&Rule::<Settings>::new("auth-server-certificate").content(Content::Unsupported)),
        ]);

const fn one(rule: &'static Rule<Settings>) -> Child<Settings> {
    Child::Same(rule)
}

/// How the methods are named.
static AUTHENTICATION_METHODS: Rule<Vec<AuthMethod>> =
    Rule::<Vec<AuthMethod>>::new("authentication-methods")
        .meaning(
            "which ways to log in are tried, in this order; see below",
            "public key, password, keyboard-interactive",
        )
        .children(&[
            Child::Same(&method("auth-publickey", "a key", |it, e, v| {
                add_method(it, AuthMethod::PublicKey, e.span, v)
            })),
            Child::Same(&method("auth-password", "a password", |it, e, v| {
                add_method(it, AuthMethod::Password, e.span, v)
            })),
            Child::Same(&method(
                "auth-keyboard-interactive",
                "answers to what the server asks",
                |it, e, v| add_method(it, AuthMethod::KeyboardInteractive, e.span, v),
            )),
            Child::Same(&method("auth-gssapi", "not supported", |it, e, v| {
                add_method(it, AuthMethod::Gssapi, e.span, v)
            })),
            Child::Same(&method("auth-hostbased", "not supported", |it, e, v| {
                add_method(it, AuthMethod::HostBased, e.span, v)
            })),
            Child::Same(
                &Rule::new("authentication-method")
                    .many()
                    .attributes(&[
                        &[row("name", "a method by its name, as older files have it")
                            .required()
                            .read(|it, f| {
                                if let Some(method) = f.choice() {
                                    add_method(it, method, f.span(), f.values);
                                }
                            })],
                    ]),
            ),
        ]);

type Before<T> = fn(&mut T, &Element, &mut Values<'_>) -> bool;

const fn method(
    name: &'static str,
    meaning: &'static str,
    before: Before<Vec<AuthMethod>>,
) -> Rule<Vec<AuthMethod>> {
    Rule::new(name).meaning(meaning, "").before(before)
}

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
) -> bool {
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
        let message = "this method is in the list already";
        values.findings.warning(span, message);
    } else {
        methods.push(method);
    }
    true
}

/// What `compression` says.
#[derive(Default)]
struct RawCompression {
    name: Option<CompressionName>,
    level: Option<u8>,
}

static COMPRESSION: Rule<RawCompression> =
    Rule::<RawCompression>::new("compression").attributes(&[&[
        row(
            "name",
            "compression of the SSH connection: `none` or `zlib`",
        )
        .usual("none")
        .read(|it, f| it.name = f.choice()),
        row("level", "1 (fast) to 9 (small); 0: the library's choice")
            .usual("0")
            .read(|it, f| {
                let level = f.count(0..=9).and_then(|level| u8::try_from(level).ok());
                it.level = level.filter(|level| *level > 0);
            }),
    ]]);

fn compression(element: &Element, values: &mut Values<'_>) -> Option<Compression> {
    let RawCompression { name, level } = COMPRESSION.read(element, values);
    Some(match name? {
        CompressionName::None => Compression::None,
        CompressionName::Zlib => Compression::Zlib { level },
    })
}

/// 0, or a number of bytes that makes sense.
fn rekey_bytes(field: &mut Field<'_, '_>) -> Option<Option<u64>> {
    let bytes = field.number(0..=u64::MAX)?;
    if bytes > 0 && bytes < MIN_REKEY {
        field
            .error(format!("new keys every {bytes} bytes are too many"))
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
            if rules.iter().any(has_password) {
                let message = "everybody who can read this file can read the proxy's password";
                field
                    .warning(message)
                    .help("let only its owner read it: chmod 600");
            }
            Some(rules)
        }
        Err(fault) => {
            field.error(fault.to_string()).help(
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

/// A list of algorithms while it is read.
struct Names {
    family: Family,
    list: Vec<String>,
}

static CIPHER_LIST: Rule<Names> = Rule::<Names>::new(CIPHERS.list)
    .meaning(
        "holds `cipher` elements with `name`, in order of preference",
        "today's safe ones, AES-GCM first",
    )
    .children(&[Child::Same(&item(&CIPHERS))]);
static MAC_LIST: Rule<Names> = Rule::<Names>::new(MACS.list)
    .meaning("the same with `mac`", SAFE)
    .children(&[Child::Same(&item(&MACS))]);
static KEX_LIST: Rule<Names> = Rule::<Names>::new(KEXS.list)
    .meaning("the same with `kex`: key exchanges", SAFE)
    .children(&[Child::Same(&item(&KEXS))]);
static HOST_KEY_LIST: Rule<Names> = Rule::<Names>::new(HOST_KEYS.list)
    .meaning("the same with `hostkey-algorithm`", SAFE)
    .children(&[Child::Same(&item(&HOST_KEYS))]);

const SAFE: &str = "today's safe ones";

/// An element that is only a name, in a list of such.
const fn item(family: &Family) -> Rule<Names> {
    Rule::new(family.item).many().attributes(&[NAME])
}

const NAME: &[Attribute<Names>] = &[row("name", "an algorithm").required().read(add_algorithm)];

/// The names in a list of algorithms, all of which can be offered.
fn algorithms(
    rule: &Rule<Names>,
    family: Family,
    element: &Element,
    values: &mut Values<'_>,
) -> Vec<String> {
    let list = Vec::new();
    let mut names = Names { family, list };
    rule.apply(&mut names, element, values);
    if element.children.is_empty() {
        values
            .findings
            .error(
                element.span,
                format!("`<{}>` is empty: nothing could be offered", family.list),
            )
            .help("name at least one, or remove the list to have today's safe ones");
    }
    names.list
}

fn add_algorithm(names: &mut Names, field: &mut Field<'_, '_>) {
    let Some(name) = field.word() else {
        return;
    };
    check_algorithm(&name, names.family, field);
    if names.list.contains(&name) {
        let message = "this name is in the list already";
        field.warning(message);
    } else if names.list.len() < names.family.good.len() {
        names.list.push(name);
    }
}

fn check_algorithm(name: &str, family: Family, field: &mut Field<'_, '_>) {
    if family.good.contains(&name) {
        return;
    }
    let broken = family.broken.iter().find(|(broken, _)| *broken == name);
    if let Some((_, instead)) = broken {
        field
            .error(format!("`{name}` is insecure and is not offered"))
            .help(format!(
                "use `{instead}`, or remove the list to have today's safe ones"
            ));
        return;
    }
    field
        .error(format!(
            "`{}` is not the name of a {} known here",
            clip(name),
            family.item
        ))
        .help(did_you_mean(name, family.good.iter().copied()));
}
