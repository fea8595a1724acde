//! The vocabulary: every element the format knows, its attributes, and what may stand in it.
//!
//! This is the only list of names; what they mean is said where they are read.

/// What may stand in an element of one name.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// Attributes that must be there; they are in one of the other lists too.
    pub(crate) required: &'static [&'static str],
    /// Attributes that mean something.
    pub(crate) attributes: &'static [&'static str],
    /// The same, in groups that several elements have in common.
    pub(crate) shared: &'static [&'static [&'static str]],
    /// Attributes that are known and have no effect.
    pub(crate) idle: &'static [&'static str],
    /// Children, in groups.
    pub(crate) children: &'static [&'static [&'static Rule]],
    /// Whether several may stand side by side.
    pub(crate) many: bool,
    pub(crate) content: Content,
}

/// What an element is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Other elements.
    Elements,
    /// Text.
    Text,
    /// Known, but without effect: nothing in it is looked at.
    Idle,
    /// Known, but not supported yet: nothing in it is looked at.
    Unsupported,
}

impl Rule {
    /// The rule for a child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&'static Rule> {
        self.all_children().find(|rule| rule.name == name)
    }

    pub(crate) fn all_children(&self) -> impl Iterator<Item = &'static Rule> + Clone + use<> {
        self.children.iter().flat_map(|group| group.iter().copied())
    }

    /// The attributes that mean something.
    pub(crate) fn meaningful(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        self.attributes
            .iter()
            .chain(self.shared.iter().copied().flatten())
            .copied()
    }

    pub(crate) fn all_attributes(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        self.meaningful().chain(self.idle.iter().copied())
    }

    const fn new(name: &'static str) -> Self {
        Self {
            name,
            required: &[],
            attributes: &[],
            shared: &[],
            idle: &[],
            children: &[],
            many: false,
            content: Content::Elements,
        }
    }

    const fn idle(name: &'static str) -> Self {
        Self {
            content: Content::Idle,
            ..Self::new(name)
        }
    }

    const fn attributes(self, attributes: &'static [&'static str]) -> Self {
        Self { attributes, ..self }
    }

    const fn shared(self, shared: &'static [&'static [&'static str]]) -> Self {
        Self { shared, ..self }
    }

    const fn required(self, required: &'static [&'static str]) -> Self {
        Self { required, ..self }
    }

    const fn idle_attributes(self, idle: &'static [&'static str]) -> Self {
        Self { idle, ..self }
    }

    const fn children(self, children: &'static [&'static [&'static Rule]]) -> Self {
        Self { children, ..self }
    }

    const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    const fn content(self, content: Content) -> Self {
        Self { content, ..self }
    }
}

/// The outermost element.
pub(crate) static ROOT: Rule = Rule::new("secsh-broker")
    .attributes(&["version"])
    .children(&[&[
        &GENERAL,
        &DEFAULT_SETTINGS,
        &PROFILES,
        &STATIC_TUNNELS,
        &LOGGING,
        &Rule::idle("gui"),
        &Rule::new("filter-engine").content(Content::Unsupported),
    ]]);

static GENERAL: Rule = Rule::new("general").children(&[&[
    &Rule::new("crypto-lib").attributes(&["mode"]),
    &KEY_STORES,
    &Rule::new("user-config-directory")
        .attributes(&["path"])
        .required(&["path"]),
    &Rule::new("file-access-control").attributes(&["enable"]),
    &Rule::new("known-hosts")
        .attributes(&["path", "file", "directory", "filename-format"])
        .many(),
    &Rule::new("strict-host-key-checking").attributes(&["enable"]),
    &Rule::new("host-key-always-ask").attributes(&["enable"]),
    &Rule::new("accept-unknown-host-keys").attributes(&["enable"]),
]]);

static KEY_STORES: Rule = Rule::new("key-stores").children(&[&[
    &Rule::new("user-keys")
        .attributes(&["directory", "passphrase-timeout", "passphrase-idle-timeout"])
        .many(),
    &Rule::new("identification")
        .attributes(&[
            "file",
            "base-path",
            "passphrase-timeout",
            "passphrase-idle-timeout",
        ])
        .many(),
    &Rule::new("key-store")
        .attributes(&["type", "init"])
        .required(&["type"])
        .many(),
]]);

static DEFAULT_SETTINGS: Rule = Rule::new("default-settings")
    .attributes(&["user"])
    .children(&[SETTINGS]);

/// What stands in `default-settings` and, for itself alone, in each profile.
const SETTINGS: &[&Rule] = &[
    &Rule::new("ciphers").children(&[&[&named("cipher")]]),
    &Rule::new("macs").children(&[&[&named("mac")]]),
    &Rule::new("kexs").children(&[&[&named("kex")]]),
    &Rule::new("hostkey-algorithms").children(&[&[&named("hostkey-algorithm")]]),
    &Rule::new("rekey").attributes(&["bytes"]),
    &AUTHENTICATION_METHODS,
    &Rule::new("compression").attributes(&["name", "level"]),
    &Rule::new("proxy")
        .attributes(&["ruleset"])
        .required(&["ruleset"]),
    &Rule::new("idle-timeout").attributes(&["type", "time"]),
    &Rule::new("tcp-connect-timeout").attributes(&["time"]),
    &Rule::new("keepalive-interval").attributes(&["time"]),
    &Rule::new("exclusive-connection").attributes(&["enable"]),
    &Rule::new("server-banners").attributes(&["visible"]),
    &Rule::new("server-authentication-methods").children(&[&[
        &Rule::new("auth-server-publickey").attributes(&["policy"]),
        &Rule::new("auth-server-certificate").content(Content::Unsupported),
    ]]),
    &Rule::new("address-family").attributes(&["type"]),
    &Rule::new("connection-pool").attributes(&["max-connections", "max-dialing", "stall-timeout"]),
    &Rule::idle("forwards"),
    &Rule::idle("remote-environment"),
    &Rule::idle("authentication-success-message"),
    &Rule::idle("sftpg3-mode"),
    &Rule::idle("terminal-selection"),
    &Rule::idle("terminal-bell"),
    &Rule::idle("close-window-on-disconnect"),
    &Rule::idle("quiet-mode"),
    &Rule::idle("checksum"),
];

static AUTHENTICATION_METHODS: Rule = Rule::new("authentication-methods").children(&[&[
    &Rule::new("auth-publickey"),
    &Rule::new("auth-password"),
    &Rule::new("auth-keyboard-interactive"),
    &Rule::new("auth-gssapi"),
    &Rule::new("auth-hostbased"),
    &named("authentication-method"),
]]);

static PROFILES: Rule = Rule::new("profiles").children(&[&[&PROFILE]]);

static PROFILE: Rule = Rule::new("profile")
    .attributes(&[
        "id",
        "name",
        "host",
        "port",
        "protocol",
        "connect-on-startup",
        "user",
        "gateway-profile",
    ])
    .required(&["id", "host"])
    .idle_attributes(&["host-type"])
    .many()
    .children(&[
        &[
            &Rule::new("hostkey")
                .attributes(&["file"])
                .content(Content::Text)
                .many(),
            &Rule::new("user-identities").children(&[&[&Rule::new("identity")
                .attributes(&["identity-file", "file", "hash"])
                .many()]]),
            &Rule::new("password").attributes(&["string", "file", "command"]),
            &TUNNELS,
        ],
        SETTINGS,
    ]);

static TUNNELS: Rule = Rule::new("tunnels").attributes(&["listen"]).children(&[&[
    &LOCAL_TUNNEL,
    &Rule::new("remote-tunnel")
        .shared(TUNNEL_ATTRIBUTES)
        .required(&["listen-port"])
        .many(),
]]);

/// Also what a tunnel is read by that no file has.
pub(crate) static LOCAL_TUNNEL: Rule = Rule::new("local-tunnel")
    .shared(TUNNEL_ATTRIBUTES)
    .required(&["listen-port"])
    .many();

/// The attributes of a tunnel that only mean something to FTP.
pub(crate) const FTP_ATTRIBUTES: [&str; 11] = [
    "data-address",
    "tls",
    "data-open",
    "foreign-port",
    "active",
    "active-address",
    "passive-ports",
    "active-ports",
    "advertise-address",
    "data-timeout",
    "max-sessions",
];

/// The attributes of every tunnel.
const TUNNEL_ATTRIBUTES: &[&[&str]] = &[
    &[
        "type",
        "listen-address",
        "listen-port",
        "dst-host",
        "dst-port",
        "allow-relay",
        "allow-from",
    ],
    &FTP_ATTRIBUTES,
];

static STATIC_TUNNELS: Rule = Rule::new("static-tunnels").children(&[&[&Rule::new("tunnel")
    .attributes(&["profile"])
    .shared(TUNNEL_ATTRIBUTES)
    .required(&["profile", "listen-port"])
    .many()]]);

static LOGGING: Rule = Rule::new("logging")
    .children(&[&[&Rule::new("log-target").attributes(&["type", "file"]).many()]]);

/// An element that is only a name, in a list of such.
const fn named(name: &'static str) -> Rule {
    Rule::new(name)
        .attributes(&["name"])
        .required(&["name"])
        .many()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule below this one, and itself.
    fn rules(rule: &'static Rule, all: &mut Vec<&'static Rule>) {
        all.push(rule);
        rule.all_children().for_each(|child| rules(child, all));
    }

    #[test]
    fn the_reference_explains_every_name() {
        let reference = include_str!("../../../docs/configuration.md");
        let mut all = Vec::new();
        rules(&ROOT, &mut all);
        for rule in all {
            for name in rule.all_attributes().chain([rule.name]) {
                let explained = reference.contains(&format!("`{name}`"))
                    || reference.contains(&format!("`<{name}>`"));
                assert!(
                    explained,
                    "`{name}` of `<{}>` is not in the reference",
                    rule.name
                );
            }
        }
    }

    #[test]
    fn rules_agree_with_themselves() {
        let mut all = Vec::new();
        rules(&ROOT, &mut all);
        for rule in all {
            for name in rule.required {
                let known = rule.meaningful().any(|meaningful| meaningful == *name);
                assert!(known, "`{name}` of `<{}>`", rule.name);
            }
        }
    }
}
