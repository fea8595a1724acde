//! `profile`: a server and its settings.

use broker_settings::{Identity, PasswordSource, PinnedKey, Settings};

use crate::config::{Config, Hook, ListenWhen};
use crate::findings::{Located, Remedy, Span};
use crate::raw::hook::{self, HOOK};
use crate::raw::hostkey::HOSTKEY;
use crate::raw::key_hash;
use crate::raw::password::{self, PASSWORD};
use crate::raw::settings::{Defaults, SETTINGS, user};
use crate::raw::tunnel::{LOCAL_TUNNEL, REMOTE_TUNNEL, RawTunnel, read_tunnel};
use crate::table::{Child, Rule, part, rows, rule};
use crate::tree::Element;
use crate::tunnel::{ListenSide, is_host};
use crate::values::{Field, Values, set};

/// The values of a profile, in addition to the default settings.
#[derive(Clone, Debug)]
pub(crate) struct RawProfile {
    /// The place of its name.
    pub(crate) span: Span,
    pub(crate) id: Option<Located<String>>,
    pub(crate) name: Option<Located<String>>,
    /// `None` after an error, and if the profile is for any host.
    pub(crate) host: Option<String>,
    /// Whether programs name the host.
    pub(crate) for_any_host: bool,
    pub(crate) port: u16,
    pub(crate) connect_on_startup: Option<Located<bool>>,
    pub(crate) gateway: Option<Located<String>>,
    pub(crate) user: Option<String>,
    pub(crate) settings: Settings,
    /// The place of its own proxy rules.
    pub(crate) proxy: Option<Span>,
    pub(crate) host_keys: Vec<PinnedKey>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) password: Option<PasswordSource>,
    pub(crate) listen: ListenWhen,
    pub(crate) tunnels: Vec<RawTunnel>,
    pub(crate) hooks: Vec<Hook>,
}

/// A file's profiles while they are read.
pub(super) struct Profiles {
    defaults: Defaults,
    list: Vec<RawProfile>,
}

pub(super) static PROFILES: Rule<Profiles> =
    Rule::<Profiles>::new("profiles").children(&[part!(PROFILE, |it, e, v| {
        let mut profile = RawProfile::new(e, it.defaults.clone());
        PROFILE.apply(&mut profile, e, v);
        it.list.push(profile);
    })]);

/// The profiles in `profiles`, each based on the defaults.
pub(super) fn read(
    element: &Element,
    defaults: Defaults,
    values: &mut Values<'_>,
) -> Vec<RawProfile> {
    let list = Vec::new();
    let mut profiles = Profiles { defaults, list };
    PROFILES.apply(&mut profiles, element, values);
    profiles.list
}

static PROFILE: Rule<RawProfile> = Rule::<RawProfile>::new("profile")
    .many()
    .before(|it, e, v| {
        password::inside_method(&mut it.password, e, v);
        true
    })
    .attributes(rows! { RawProfile:
        "id" required: "its unique name for the rest of the file", |it, f| it.id = f.located(Field::word);
        "name": "its name on the command line, where a name counts before an id",
            |it, f| it.name = f.located(Field::word);
        "host" required: "the server's name or address. Not `*`, see below", |it, f| it.host = host(f);
        "port" usual "22": "the server's TCP port", |it, f| set(&mut it.port, f.port(1));
        "protocol" usual "secsh2": "only `secsh2`", |_, f| f.only("secsh2");
        "connect-on-startup" usual "no": "`yes`: connect when the daemon starts, see below",
            |it, f| it.connect_on_startup = f.located(Field::choice);
        "user" otherwise "that of `default-settings`, otherwise the name of the user who runs the daemon": "the user name on the server",
            |it, f| set(&mut it.user, user(f));
        "gateway-profile": "the id of the profile whose server is the gateway to this one; `proxy` is ignored then. See \
 [Ways to a server](#ways-to-a-server)", |it, f| it.gateway = f.located(Field::word);
        "host-type" idle: "no effect", |_, _| {};
    })
    .children(&[
        part!(HOSTKEY, |it, e, v| HOSTKEY.apply(&mut it.host_keys, e, v)),
        part!(IDENTITIES, |it, e, v| IDENTITIES.apply(&mut it.identities, e, v)),
        part!(PASSWORD, |it, e, v| PASSWORD.apply(&mut it.password, e, v)),
        Child::Same(&TUNNELS),
        part!(HOOK, |it, e, v| hook::add(&mut it.hooks, e, v)),
        Child::Settings(&SETTINGS, |it| &mut it.settings),
    ]);

static IDENTITIES: Rule<Vec<Identity>> = Rule::new("user-identities")
    .meaning(
        "the private keys to log in with, see [Keys](#keys)",
        "those of the agent and of `key-stores`",
    )
    .children(&[Child::Same(&IDENTITY)]);

static IDENTITY: Rule<Vec<Identity>> = rule("identity", rows! { Vec<Identity>:
    "identity-file": "a file with a private key, its public half, or a list of keys; see [Keys](#keys)", read_identity_file;
    "file": "the same", read_identity_file;
    "hash": "or: the key whose public half has this hash", |it, f| it.extend(key_hash(f).map(Identity::Hash));
    "id" idle: "no effect", |_, _| {};
    "data" idle: "no effect", |_, _| {};
})
.many()
.before(|_, e, v| IDENTITY.exactly_one(e, v));

static TUNNELS: Rule<RawProfile> = rule("tunnels", rows! { RawProfile:
    "listen" usual "startup": "when the ports of the tunnels in it are open: `startup`: from the daemon's start, and the \
        first client makes it connect; `connected`: see [Listening only while connected](#listening-only-while-connected)",
        |it, f| set(&mut it.listen, f.choice());
})
.children(&[
    part!(LOCAL_TUNNEL, |it, e, v| it.tunnels.push(read_tunnel(ListenSide::OwnHost, e, v))),
    part!(REMOTE_TUNNEL, |it, e, v| it.tunnels.push(read_tunnel(ListenSide::SshServer, e, v))),
]);

impl RawProfile {
    /// A profile without values.
    fn new(element: &Element, defaults: Defaults) -> Self {
        Self {
            span: element.span,
            id: None,
            name: None,
            host: None,
            for_any_host: element
                .attribute("host")
                .is_some_and(|host| is_any_host(&host.value)),
            port: Config::SSH_PORT,
            connect_on_startup: None,
            gateway: None,
            user: defaults.user,
            settings: defaults.settings,
            proxy: element.child("proxy").map(|proxy| proxy.span),
            host_keys: Vec::new(),
            identities: Vec::new(),
            password: defaults.password,
            listen: ListenWhen::Startup,
            tunnels: Vec::new(),
            hooks: Vec::new(),
        }
    }
}

fn is_any_host(written: &str) -> bool {
    matches!(written.trim(), "" | "*")
}

/// The host without the brackets that an IPv6 address may have; `None` if the profile is not for one host.
fn host(field: &mut Field<'_, '_>) -> Option<String> {
    if is_any_host(field.written()) {
        field
            .unsupported("a profile for any host is not supported yet, so this one is left out")
            .help("write the server's name, or put settings for all servers into `<default-settings>`")
            .remedy(Remedy::RemoveElement);
        return None;
    }
    let host = field.word()?;
    let bare = plain_text::without_brackets(&host);
    if bare.contains(['*', '?']) {
        field
            .error("a profile is for one server, so its host cannot be a pattern")
            .help("put settings for all servers into `<default-settings>`: they also apply to targets such as `user@host`");
        return None;
    }
    if !is_host(bare) || bare.contains(['@', '/', '#', '[', ']']) {
        field
            .error("this is not a host name or address")
            .help("write the host alone; `user` and `port` are separate attributes");
        return None;
    }
    Some(bare.to_owned())
}

fn read_identity_file(identities: &mut Vec<Identity>, field: &mut Field<'_, '_>) {
    identities.extend(field.path().map(Identity::File));
}

fn key_hash(field: &mut Field<'_, '_>) -> Option<String> {
    let known = key_hash::parse(&field.word()?);
    if known.is_none() {
        field.error("this is not the hash of a public key").help(
            "write its SHA-256, SHA-1 or MD5 in hex digits, or as `ssh-keygen -l` prints it: `SHA256:…`",
        );
    }
    known
}
