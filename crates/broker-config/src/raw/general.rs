//! `general`: settings for the whole program.

use std::path::PathBuf;

use broker_settings::HostKeyPolicy;

use crate::choices::{CryptoMode, FilenameFormat};
use crate::config::{Hook, Identification, KeyStores, KnownHosts, UserKeys};
use crate::findings::{Located, Remedy};
use crate::raw::hook::{self, HOOK};
use crate::table::{Child, Content, Rule, part, rows, rule};
use crate::tree::Element;
use crate::values::{Field, Values, set};

/// The values of `general`.
#[derive(Debug, Default)]
pub(crate) struct General {
    pub(crate) fips: bool,
    pub(crate) key_stores: KeyStores,
    pub(crate) user_config_directory: Option<PathBuf>,
    pub(crate) file_access_control: bool,
    pub(crate) known_hosts: KnownHosts,
    pub(crate) policy: DeprecatedPolicy,
    pub(crate) hooks: Vec<Hook>,
}

/// The deprecated switches that the host key policy replaces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeprecatedPolicy {
    pub(crate) strict: bool,
    pub(crate) always_ask: bool,
    pub(crate) accept_unknown: bool,
}

impl DeprecatedPolicy {
    /// The policy that the switches mean together.
    pub(super) fn policy(self) -> HostKeyPolicy {
        match (self.strict, self.accept_unknown, self.always_ask) {
            (true, _, true) => HostKeyPolicy::Ask,
            (true, _, false) => HostKeyPolicy::Strict,
            (false, true, _) => HostKeyPolicy::Tofu,
            (false, false, _) => HostKeyPolicy::Ask,
        }
    }
}

const DEPRECATED: &str = "deprecated; see [Host keys](#host-keys)";

pub(super) static GENERAL: Rule<General> = Rule::new("general")
    .before(forget_known_hosts)
    .children(&[
        Child::Same(&rule("crypto-lib", rows! { General:
            "mode" usual "standard": "which cryptography may be used: `standard` or `fips` (*later*)", read_crypto;
        })),
        Child::Idle("cert-validation", Content::Missing(
            "the broker accepts no X.509 certificates, and checks the server's key instead"
        )),
        Child::Idle("protocol-parameters", Content::Idle),
        Child::Idle("extended", Content::Idle),
        part!(KEY_STORES, |it, e, v| KEY_STORES.apply(&mut it.key_stores, e, v)),
        Child::Same(&rule("user-config-directory", rows! { General:
            "path" required: "*later*: moves the user's configuration directory", read_user_directory;
        })),
        Child::Same(&rule("file-access-control", rows! { General:
            "enable" usual "no": "`yes`: other users must not be able to read the user's own file, see below",
                |it, f| set(&mut it.file_access_control, f.choice());
        })),
        part!(KNOWN_HOSTS, |it, e, v| KNOWN_HOSTS.apply(&mut it.known_hosts, e, v)),
        part!(HOOK, |it, e, v| hook::add(&mut it.hooks, e, v)),
        Child::Same(&rule("strict-host-key-checking", rows! { General:
            "enable" usual "no": DEPRECATED, |it, f| set(&mut it.policy.strict, f.choice());
        }).before(warn_of_deprecation)),
        Child::Same(&rule("host-key-always-ask", rows! { General:
            "enable" usual "no": DEPRECATED, |it, f| set(&mut it.policy.always_ask, f.choice());
        }).before(warn_of_deprecation)),
        Child::Same(&rule("accept-unknown-host-keys", rows! { General:
            "enable" usual "no": DEPRECATED, |it, f| set(&mut it.policy.accept_unknown, f.choice());
        }).before(warn_of_deprecation)),
    ]);

static KEY_STORES: Rule<KeyStores> = Rule::new("key-stores")
    .meaning(
        "where the broker looks for private keys, see [Keys](#keys)",
        "",
    )
    .children(&[
        part!(USER_KEYS, |it, e, v| it
            .user_keys
            .push(USER_KEYS.read(e, v))),
        part!(IDENTIFICATION, |it, e, v| it
            .identification
            .push(IDENTIFICATION.read(e, v))),
        part!(KEY_STORE, add_key_store),
    ]);

const TYPED: &str =
    "how long the broker keeps what a person typed, see [Questions](#questions); 0: no such limit";
const USED: &str = "how long the broker keeps it after its last use; 0: no such limit";

pub(super) static USER_KEYS: Rule<UserKeys> = rule("user-keys", rows! { UserKeys:
    "directory" otherwise "the usual files": "a directory of keys", |it, f| it.directory = f.path();
    "passphrase-timeout" usual "0": TYPED, |it, f| set(&mut it.passphrase_timeout, f.limit());
    "passphrase-idle-timeout" usual "0": USED, |it, f| set(&mut it.passphrase_idle_timeout, f.limit());
}).many();

static IDENTIFICATION: Rule<Identification> = rule("identification", rows! { Identification:
    "file" otherwise "`~/.ssh2/identification`": "a file that lists keys", |it, f| it.file = f.path();
    "base-path" otherwise "that of the file": "the directory its entries are relative to", |it, f| it.base_path = f.path();
    "passphrase-timeout" usual "0": TYPED, |it, f| set(&mut it.passphrase_timeout, f.limit());
    "passphrase-idle-timeout" usual "0": USED, |it, f| set(&mut it.passphrase_idle_timeout, f.limit());
}).many();

/// The values of `key-store`.
#[derive(Default)]
struct KeyStore {
    kind: Option<String>,
    init: Option<Located<String>>,
}

static KEY_STORE: Rule<KeyStore> = rule("key-store", rows! { KeyStore:
    "type" required: "only `software`, which means keys in files. Use an SSH agent for other keys",
        |it, f| it.kind = f.word();
    "init" otherwise "no further keys": "the keys: `directory(path(DIRECTORY))` or `key_files(PUBLIC,PRIVATE)`",
        |it, f| it.init = f.located(Field::word);
}).many();

static KNOWN_HOSTS: Rule<KnownHosts> = rule("known-hosts", rows! { KnownHosts:
    "path": "a file of host keys in OpenSSH's format, or a directory of such files and of key files, see \
        [Host keys](#host-keys). Empty: no such files, not even the usual ones", read_known_hosts_file;
    "file": "the same", read_known_hosts_file;
    "directory": "the same, for a directory", |it, f| it.directories.extend(f.path());
    "filename-format" usual "plain": "how the broker stores host names: `plain`, or `hash` (also `default`) so that its file \
        does not tell which servers are used",
        |it, f| set(&mut it.hash_names, f.choice::<FilenameFormat>().map(|it| it == FilenameFormat::Hash));
}).many().children(&[Child::Idle("key-store", Content::Missing(
    "the broker looks up host keys only in files, directories and the profile's `<hostkey>`"
))]);

fn warn_of_deprecation(_: &mut General, element: &Element, values: &mut Values<'_>) -> bool {
    values
        .findings
        .warning(element.span, format!("`<{}>` is deprecated", element.name))
        .help("set `policy` of `<auth-server-publickey>` in `<default-settings>` instead")
        .remedy(Remedy::Remove);
    true
}

/// The places in a file replace those of earlier files.
fn forget_known_hosts(general: &mut General, element: &Element, _: &mut Values<'_>) -> bool {
    if element.child(KNOWN_HOSTS.facts.name).is_some() {
        general.known_hosts = KnownHosts::default();
    }
    true
}

fn read_crypto(general: &mut General, field: &mut Field<'_, '_>) {
    let mode = field.choice();
    set(&mut general.fips, mode.map(|it| it == CryptoMode::Fips));
    if mode == Some(CryptoMode::Fips) {
        field.unsupported("FIPS-validated cryptography is not supported yet");
    }
}

/// The variable for the usual directory. It is valid only here, and says nothing new.
const USUAL_DIRECTORY: &str = "%USER_CONFIG_DIRECTORY%";

fn read_user_directory(general: &mut General, field: &mut Field<'_, '_>) {
    if field.written().eq_ignore_ascii_case(USUAL_DIRECTORY) {
        return;
    }
    set(&mut general.user_config_directory, field.path().map(Some));
    field
        .unsupported("`user-config-directory` is not supported yet: name the file with `--config`");
}

/// `software` means keys in files. All other keys come from an agent.
fn add_key_store(stores: &mut KeyStores, element: &Element, values: &mut Values<'_>) {
    let store = KEY_STORE.read(element, values);
    if store
        .kind
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("software"))
    {
        values.findings.unsupported(
            element.span,
            "only key stores of the type `software` are supported: use an SSH agent for other keys",
        );
        return;
    }
    let Some(init) = store.init else {
        return;
    };
    if let Some(directory) = inside(&init.value, "directory(path(", "))") {
        stores.user_keys.push(UserKeys {
            directory: Some(values.resolve(directory)),
            ..UserKeys::default()
        });
    } else if let Some((_, private)) =
        inside(&init.value, "key_files(", ")").and_then(|files| files.split_once(','))
    {
        stores.key_files.push(values.resolve(private.trim()));
    } else {
        values.findings.unsupported(
            init.span,
            "this `init` of a key store is not supported: name the directory in `<user-keys directory=\"…\"/>`",
        );
    }
}

fn inside<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(begin)?.strip_suffix(end)
}

fn read_known_hosts_file(known: &mut KnownHosts, field: &mut Field<'_, '_>) {
    if field.is_empty() {
        known.files.get_or_insert_default();
    } else if let Some(path) = field.path() {
        known.files.get_or_insert_default().push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deprecated_switches_make_a_policy() {
        use HostKeyPolicy::{Ask, Strict, Tofu};
        let policy = |strict, accept_unknown, always_ask| {
            let [strict, accept_unknown, always_ask] =
                [strict, accept_unknown, always_ask].map(|switch| switch == 1);
            let switches = DeprecatedPolicy {
                strict,
                always_ask,
                accept_unknown,
            };
            switches.policy()
        };
        assert_eq!(policy(1, 1, 1), Ask);
        assert_eq!(policy(1, 0, 1), Ask);
        assert_eq!(policy(1, 1, 0), Strict);
        assert_eq!(policy(1, 0, 0), Strict);
        assert_eq!(policy(0, 1, 0), Tofu);
        assert_eq!(policy(0, 1, 1), Tofu);
        assert_eq!(policy(0, 0, 1), Ask);
        assert_eq!(policy(0, 0, 0), Ask);
    }
}
