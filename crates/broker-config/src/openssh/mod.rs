//! Profiles for the hosts of OpenSSH's client configuration.

mod options;
mod tunnels;

use std::collections::BTreeSet;

pub use options::OpenSshOptions;

use crate::algorithms::{CIPHERS, Family, HOST_KEYS, KEXS, MACS, Meaning};
use crate::environment::Environment;
use crate::tree::Element;

/// A host, as OpenSSH's client would connect to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSshHost {
    /// The id of its profile.
    pub id: String,
    /// Its name on the command line of `ssh`.
    pub alias: String,
    /// The id of the profile of the last server before it.
    pub gateway: Option<String>,
    /// Its options.
    pub options: OpenSshOptions,
    /// Its keys in OpenSSH's one-line form, if they are known under another name.
    pub host_keys: Vec<String>,
    /// Whether its forwards become tunnels; not for a host that is only on the route to another.
    pub has_tunnels: bool,
}

/// Options that become a part of a profile.
const USED: [&str; 26] = [
    "addressfamily",
    "ciphers",
    "compression",
    "connecttimeout",
    "dynamicforward",
    "gatewayports",
    "globalknownhostsfile",
    "host",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityfile",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "localforward",
    "macs",
    "passwordauthentication",
    "port",
    "preferredauthentications",
    "proxycommand",
    "proxyjump",
    "pubkeyauthentication",
    "remoteforward",
    "stricthostkeychecking",
    "user",
];

/// Options that say nothing about tunnels: terminals, commands, sharing and looks. And those that are handled for all
/// hosts together.
const BESIDE_THE_POINT: [&str; 36] = [
    "addkeystoagent",
    "batchmode",
    "canonicaldomains",
    "canonicalizehostname",
    "checkhostip",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "hashknownhosts",
    "identityagent",
    "ipqos",
    "localcommand",
    "loglevel",
    "numberofpasswordprompts",
    "permitlocalcommand",
    "remotecommand",
    "requesttty",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "sessiontype",
    "setenv",
    "stdinnull",
    "tcpkeepalive",
    "updatehostkeys",
    "userknownhostsfile",
    "visualhostkey",
    "xauthlocation",
];

/// The methods of a login, in OpenSSH's order, with the options that turn them off.
const METHODS: [(&str, &str, &str); 3] = [
    ("publickey", "auth-publickey", "pubkeyauthentication"),
    (
        "keyboard-interactive",
        "auth-keyboard-interactive",
        "kbdinteractiveauthentication",
    ),
    ("password", "auth-password", "passwordauthentication"),
];

/// The lists of algorithms with their options.
const ALGORITHMS: [(&str, Family); 4] = [
    ("ciphers", CIPHERS),
    ("macs", MACS),
    ("kexalgorithms", KEXS),
    ("hostkeyalgorithms", HOST_KEYS),
];

/// A tree with a profile for each host, and what has no place in it.
pub(crate) fn tree(hosts: &[OpenSshHost], env: &Environment) -> (Element, Vec<String>) {
    let mut notes = Vec::new();
    let mut taken = BTreeSet::new();
    let mut profiles = Element::new("profiles");
    for host in hosts {
        let mut drawing = Drawing {
            host,
            env,
            profile: Element::new("profile"),
            notes: Vec::new(),
        };
        drawing.draw(&mut taken);
        profiles.children.push(drawing.profile);
        let about = drawing.notes.into_iter();
        notes.extend(about.map(|note| format!("{}: left out: {note}", host.alias)));
    }
    let mut root = Element::new("secsh-broker").with("version", "1.0");
    root.children.extend(general(hosts, &mut notes));
    root.children.push(profiles);
    (root, notes)
}

/// The places of host keys, if they are not the usual ones. They count for all servers.
fn general(hosts: &[OpenSshHost], notes: &mut Vec<String>) -> Option<Element> {
    let is_set = |host: &OpenSshHost| {
        let lists = ["userknownhostsfile", "globalknownhostsfile"];
        lists.iter().any(|list| !host.options.set(list).is_empty())
    };
    if !hosts.iter().any(is_set) {
        return None;
    }
    let mut files: Vec<&str> = Vec::new();
    for file in hosts.iter().flat_map(|host| host.options.known_hosts()) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    if hosts.len() > 1 {
        notes.push(
            "to check: the broker looks up the keys of all servers in all files of host keys"
                .to_owned(),
        );
    }
    let mut general = Element::new("general");
    let element = |file: &&str| Element::new("known-hosts").with("path", file);
    general.children.extend(files.iter().map(element));
    Some(general)
}

/// One profile while it is made.
struct Drawing<'a> {
    host: &'a OpenSshHost,
    env: &'a Environment,
    profile: Element,
    notes: Vec<String>,
}

impl Drawing<'_> {
    fn draw(&mut self, taken: &mut BTreeSet<u16>) {
        self.attributes();
        for key in &self.host.host_keys {
            let mut element = Element::new("hostkey");
            element.text.clone_from(key);
            self.profile.children.push(element);
        }
        if let (Some(alias), true) = (
            self.host.options.host_key_alias(),
            self.host.host_keys.is_empty(),
        ) {
            let note = format!(
                "hostkeyalias {alias}: no key is known under it, so the host's own name counts"
            );
            self.notes.push(note);
        }
        self.policy();
        self.identities();
        self.methods();
        self.algorithms();
        self.route();
        self.numbers();
        if self.host.has_tunnels {
            let tunnels = tunnels::tunnels(self.host, taken, &mut self.notes);
            self.profile.children.extend(tunnels);
        }
        self.others();
    }

    fn attributes(&mut self) {
        let options = &self.host.options;
        let host = options.value("hostname").unwrap_or(&self.host.alias);
        let mut profile = Element::new("profile")
            .with("id", &self.host.id)
            .with("host", host);
        if let Some(port) = options.first_set("port") {
            profile = profile.with("port", port);
        }
        if let Some(user) = options.first_set("user") {
            profile = profile.with("user", user);
        }
        if let Some(gateway) = &self.host.gateway {
            profile = profile.with("gateway-profile", gateway);
        }
        self.profile = profile;
    }

    fn policy(&mut self) {
        let policy = match self.host.options.first_set("stricthostkeychecking") {
            Some("true" | "yes") => "strict",
            Some("accept-new") => "tofu",
            Some("false" | "no" | "off") => {
                self.notes.push(
                    "StrictHostKeyChecking no: unknown keys are accepted, and changed ones are not"
                        .to_owned(),
                );
                "tofu"
            }
            Some(_) | None => return,
        };
        let method = Element::new("auth-server-publickey").with("policy", policy);
        self.add(Element::new("server-authentication-methods").around([method]));
    }

    fn identities(&mut self) {
        let files = self.host.options.set("identityfile").iter();
        let files: Vec<_> = files
            .filter(|file| *file != "none")
            .filter_map(|file| self.expanded(file, ""))
            .map(|file| Element::new("identity").with("file", &file))
            .collect();
        if !files.is_empty() {
            self.add(Element::new("user-identities").around(files));
        }
    }

    /// The methods, if a file chooses them.
    fn methods(&mut self) {
        let options = &self.host.options;
        let preferred = options.first_set("preferredauthentications");
        let off = |option: &str| matches!(options.value(option), Some("no" | "false"));
        let listed: Vec<&str> = match preferred {
            Some(list) => list.split(',').map(str::trim).collect(),
            None => METHODS.iter().map(|(name, ..)| *name).collect(),
        };
        let known = listed
            .iter()
            .filter_map(|name| METHODS.iter().find(|it| it.0 == *name));
        let methods: Vec<_> = known.filter(|(_, _, option)| !off(option)).collect();
        let is_usual = preferred.is_none() && methods.len() == METHODS.len();
        if methods.is_empty() {
            self.notes
                .push("methods of login: none of them is supported".to_owned());
        } else if !is_usual {
            let elements = methods.iter().map(|(_, element, _)| Element::new(element));
            let elements: Vec<_> = elements.collect();
            self.add(Element::new("authentication-methods").around(elements));
        }
    }

    fn algorithms(&mut self) {
        for (option, family) in ALGORITHMS {
            let Some(list) = self.host.options.first_set(option) else {
                continue;
            };
            let usable = list
                .split(',')
                .filter_map(|name| match family.meaning(name.trim()) {
                    Some(Meaning::Offered(name) | Meaning::Twin(name)) => Some(name),
                    Some(Meaning::Broken(_) | Meaning::Foreign) | None => None,
                });
            let items: Vec<_> = usable
                .map(|name| Element::new(family.item).with("name", name))
                .collect();
            if items.len() < list.split(',').count() {
                self.notes
                    .push(format!("{option}: names that the broker does not offer"));
            }
            if !items.is_empty() {
                self.add(Element::new(family.list).around(items));
            }
        }
    }

    fn route(&mut self) {
        let Some(command) = self
            .host
            .options
            .first_set("proxycommand")
            .filter(|it| *it != "none")
        else {
            return;
        };
        match self.expanded(command, "hpr%") {
            Some(command) => {
                let rules = format!("command:{command}");
                self.add(Element::new("proxy").with("ruleset", &rules));
            }
            None => self.notes.push(
                "proxycommand: it has an expansion other than %d, %h, %n, %p, %r and %u".to_owned(),
            ),
        }
    }

    fn numbers(&mut self) {
        let options = &self.host.options;
        let with = |option: &str, element: &str, attribute: &str| {
            let value = options.first_set(option).filter(|it| *it != "none")?;
            Some(Element::new(element).with(attribute, value))
        };
        let compression = options.first_set("compression") == Some("yes");
        let found = [
            with("serveraliveinterval", "keepalive-interval", "time"),
            with("connecttimeout", "tcp-connect-timeout", "time"),
            with("addressfamily", "address-family", "type"),
            compression.then(|| Element::new("compression").with("name", "zlib")),
        ];
        for element in found.into_iter().flatten() {
            self.add(element);
        }
    }

    /// Notes what has no place in a profile.
    fn others(&mut self) {
        let names = self.host.options.names_set();
        let missing = names.filter(|name| !USED.contains(name) && !BESIDE_THE_POINT.contains(name));
        let missing: Vec<_> = missing
            .map(|name| format!("{name}: it has no counterpart"))
            .collect();
        self.notes.extend(missing);
    }

    /// The text with its `%` expansions replaced, but for these; `None` if there is an unknown one.
    fn expanded(&self, text: &str, kept: &str) -> Option<String> {
        let options = &self.host.options;
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let mut signs = after.chars();
            let sign = signs.next()?;
            if kept.contains(sign) {
                expanded.extend(['%', sign]);
            } else {
                expanded.push_str(&match sign {
                    'd' => self.env.home.display().to_string(),
                    'h' => options.value("hostname")?.to_owned(),
                    'n' => self.host.alias.clone(),
                    'p' => options.value("port")?.to_owned(),
                    'r' => options.value("user")?.to_owned(),
                    'u' => self.env.user.clone(),
                    '%' => "%".to_owned(),
                    _ => return None,
                });
            }
            rest = signs.as_str();
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    fn add(&mut self, element: Element) {
        self.profile.children.push(element);
    }
}
