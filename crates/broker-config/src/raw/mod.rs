//! The values in the files before they are resolved, and the tables that define the format.

mod algorithm_list;
mod general;
mod hook;
mod hostkey;
mod key_hash;
mod logging;
mod password;
mod profile;
mod settings;
mod socks;
mod tunnel;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub(crate) use profile::RawProfile;
pub(crate) use tunnel::{FTP, RawTls, RawTunnel, SOCKS, TUNNEL, is_in, read_tunnel, tunnel_rule};

use crate::environment::Environment;
use crate::findings::{Findings, Located};
use crate::log_target::LogTarget;
use crate::source::Source;
use crate::table::{Child, Content, Rule, Vocabulary, part, rows};
use crate::tree::Element;
use crate::values::Values;
use general::{GENERAL, General};
use logging::LOGGING;
use profile::PROFILES;
use settings::{DEFAULT_SETTINGS, Defaults};
use tunnel::STATIC_TUNNELS;

/// One file with checked names.
pub(crate) struct File {
    pub(crate) root: Element,
    /// Whether other users can read it.
    pub(crate) open_to_others: bool,
    /// The directory to which its paths are relative.
    pub(crate) directory: PathBuf,
}

impl File {
    pub(crate) fn new(root: Element, source: &Source) -> Self {
        let absolute = std::path::absolute(&source.path).unwrap_or_else(|_| source.path.clone());
        Self {
            root,
            open_to_others: source.open_to_others,
            directory: absolute.parent().unwrap_or(Path::new("/")).to_owned(),
        }
    }
}

/// The values of all files together.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) general: General,
    pub(crate) defaults: Defaults,
    pub(crate) profiles: Vec<RawProfile>,
    pub(crate) static_tunnels: Vec<RawTunnel>,
    pub(crate) logging: Vec<LogTarget>,
}

/// The outermost element, with its parts in the order in which they are read from all files: each builds on those
/// before.
static PASSES: [Rule<Document>; 3] = [
    root()
        .attributes(rows! { Document: "version": "any value", |_, _| {}; })
        .children(&[part!(GENERAL, |it, e, v| {
            GENERAL.apply(&mut it.general, e, v);
            it.defaults.settings.host_key_policy = it.general.policy.policy();
        })]),
    root().children(&[part!(DEFAULT_SETTINGS, |it, e, v| {
        DEFAULT_SETTINGS.apply(&mut it.defaults, e, v);
    })]),
    root().children(&[
        part!(PROFILES, |it, e, v| {
            let defaults = it.defaults.clone();
            it.add_profiles(profile::read(e, defaults, v));
        }),
        part!(STATIC_TUNNELS, |it, e, v| {
            it.add_static_tunnels(STATIC_TUNNELS.read(e, v));
        }),
        part!(LOGGING, |it, e, v| it.logging = LOGGING.read(e, v)),
        Child::Idle("gui", Content::Idle),
        Child::Same(&Rule::new("filter-engine").content(Content::Unsupported)),
    ]),
];

const fn root() -> Rule<Document> {
    Rule::new("secsh-broker")
}

/// Every name of the format.
pub(crate) static FORMAT: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary {
    facts: root().facts,
    attributes: PASSES
        .iter()
        .flat_map(|it| it.vocabulary().attributes)
        .collect(),
    children: PASSES
        .iter()
        .flat_map(|it| it.vocabulary().children)
        .collect(),
});

/// Reads all values from the files. A later file overrides an earlier one.
pub(crate) fn read(files: &[File], env: &Environment, findings: &mut Findings) -> Document {
    let mut document = Document::default();
    for pass in &PASSES {
        for file in files {
            let mut values = Values {
                env,
                literal: false,
                open_to_others: file.open_to_others,
                directory: &file.directory,
                findings,
            };
            pass.apply(&mut document, &file.root, &mut values);
        }
    }
    document
}

impl Document {
    /// Adds a later file's profiles. Each replaces earlier ones with its id or name.
    fn add_profiles(&mut self, later: Vec<RawProfile>) {
        let ids = texts(later.iter().map(|profile| &profile.id));
        let names = texts(later.iter().map(|profile| &profile.name));
        self.profiles
            .retain(|old| !is_among(&old.id, &ids) && !is_among(&old.name, &names));
        self.profiles.extend(later);
    }

    /// Adds a later file's static tunnels. Each replaces an earlier one with the same address and port.
    fn add_static_tunnels(&mut self, later: Vec<RawTunnel>) {
        self.static_tunnels
            .retain(|old| !later.iter().any(|new| old.listens_like(new)));
        self.static_tunnels.extend(later);
    }
}

fn texts<'a>(located: impl Iterator<Item = &'a Option<Located<String>>>) -> BTreeSet<String> {
    located.flatten().map(|text| text.value.clone()).collect()
}

fn is_among(text: &Option<Located<String>>, texts: &BTreeSet<String>) -> bool {
    text.as_ref()
        .is_some_and(|text| texts.contains(&text.value))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use broker_settings::Settings;

    use super::settings::SETTINGS;
    use super::*;
    use crate::config::UserKeys;
    use crate::table::{Attribute, Usual};
    use crate::tree;
    use crate::tunnel::ListenSide;
    use crate::values::Field;

    /// Writes the documented defaults, and checks that nothing changes.
    fn check<T, V: Debug + PartialEq>(
        attributes: &[Attribute<T>],
        new: fn() -> T,
        part: fn(&T) -> &V,
    ) {
        for attribute in attributes {
            let Usual::Value(value) = attribute.row.usual else {
                continue;
            };
            let written = tree::Attribute {
                name: attribute.row.name.to_owned(),
                name_span: Default::default(),
                value: value.to_owned(),
                value_span: Default::default(),
            };
            let element = Element::new("x");
            let mut findings = Findings::default();
            let mut values = Values {
                env: &Environment::default(),
                literal: true,
                open_to_others: false,
                directory: Path::new(""),
                findings: &mut findings,
            };
            let mut target = new();
            let mut field = Field::new(&element, &written, &mut values);
            (attribute.read)(&mut target, &mut field);
            assert_eq!(part(&target), part(&new()), "{}", attribute.row.name);
            assert!(!findings.has_errors(), "{}", attribute.row.name);
        }
    }

    fn check_settings(rule: &Rule<Settings>) {
        check(rule.attributes, Settings::default, |it| it);
        for child in rule.children {
            if let Child::Same(rule) = child {
                check_settings(rule);
            }
        }
    }

    #[test]
    fn what_the_tables_say_is_usual_holds_where_nothing_is_written() {
        check_settings(&SETTINGS);
        let tunnel = || RawTunnel::at(Default::default(), ListenSide::OwnHost);
        check(FTP, tunnel, |it| &it.ftp);
        check(FTP, tunnel, |it| &it.tls);
        check(TUNNEL, tunnel, |it| &it.allow_relay);
        check(TUNNEL, tunnel, |it| &it.kind.value);
        check(general::USER_KEYS.attributes, UserKeys::default, |it| it);
    }
}
