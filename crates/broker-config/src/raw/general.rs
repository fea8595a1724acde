//! `general`: what holds for the whole program.

use std::path::PathBuf;

use crate::choices::{CryptoMode, FilenameFormat};
use crate::config::{Identification, KeyStoreProvider, KeyStores, KnownHosts, UserKeys};
use crate::tree::Element;
use crate::values::Values;

/// What `general` says; each value is `None` where the file is silent.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawGeneral {
    pub(crate) fips: Option<bool>,
    pub(crate) key_stores: KeyStores,
    pub(crate) user_config_directory: Option<PathBuf>,
    pub(crate) file_access_control: Option<bool>,
    pub(crate) known_hosts: Option<KnownHosts>,
    pub(crate) policy: DeprecatedPolicy,
}

/// The switches that a host key policy has replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeprecatedPolicy {
    pub(crate) strict: Option<bool>,
    pub(crate) always_ask: Option<bool>,
    pub(crate) accept_unknown: Option<bool>,
}

pub(super) fn read(element: &Element, values: &mut Values<'_>) -> RawGeneral {
    RawGeneral {
        fips: element
            .child("crypto-lib")
            .and_then(|it| read_crypto(it, values)),
        key_stores: element
            .child("key-stores")
            .map(|it| read_key_stores(it, values))
            .unwrap_or_default(),
        user_config_directory: element
            .child("user-config-directory")
            .and_then(|it| read_user_directory(it, values)),
        file_access_control: element
            .child("file-access-control")
            .and_then(|it| read_access_control(it, values)),
        known_hosts: read_known_hosts(element, values),
        policy: DeprecatedPolicy {
            strict: read_switch(element, "strict-host-key-checking", values),
            always_ask: read_switch(element, "host-key-always-ask", values),
            accept_unknown: read_switch(element, "accept-unknown-host-keys", values),
        },
    }
}

fn read_crypto(element: &Element, values: &mut Values<'_>) -> Option<bool> {
    let mode = values.choice::<CryptoMode>(element, "mode")?;
    let fips = mode.value == CryptoMode::Fips;
    if fips {
        values.findings.unsupported(
            mode.span,
            "FIPS-validated cryptography is not supported yet",
        );
    }
    Some(fips)
}

fn read_user_directory(element: &Element, values: &mut Values<'_>) -> Option<PathBuf> {
    values.findings.unsupported(
        element.span,
        "`user-config-directory` is not supported yet: name the file with `--config`",
    );
    values.path(element, "path")
}

fn read_access_control(element: &Element, values: &mut Values<'_>) -> Option<bool> {
    values.flag(element, "enable")
}

fn read_switch(parent: &Element, name: &str, values: &mut Values<'_>) -> Option<bool> {
    let element = parent.child(name)?;
    values
        .findings
        .warning(element.span, format!("`<{name}>` is deprecated"))
        .help("set `policy` of `<auth-server-publickey>` in `<default-settings>` instead");
    values.flag(element, "enable")
}

fn read_key_stores(element: &Element, values: &mut Values<'_>) -> KeyStores {
    for store in element.children_named("key-store") {
        check_key_store(store, values);
    }
    KeyStores {
        user_keys: element
            .children_named("user-keys")
            .map(|it| UserKeys {
                directory: values.path(it, "directory"),
                passphrase_timeout: values.limit(it, "passphrase-timeout").flatten(),
                passphrase_idle_timeout: values.limit(it, "passphrase-idle-timeout").flatten(),
            })
            .collect(),
        identification: element
            .children_named("identification")
            .map(|it| Identification {
                file: values.path(it, "file"),
                base_path: values.path(it, "base-path"),
                passphrase_timeout: values.limit(it, "passphrase-timeout").flatten(),
                passphrase_idle_timeout: values.limit(it, "passphrase-idle-timeout").flatten(),
            })
            .collect(),
        providers: element
            .children_named("key-store")
            .filter_map(|it| {
                let kind = values.word(it, "type")?.value;
                Some(KeyStoreProvider {
                    kind,
                    init: values.text(it, "init").map(|it| it.value),
                })
            })
            .collect(),
    }
}

/// Keys in files are what `software` means; everything else comes through an agent.
fn check_key_store(element: &Element, values: &mut Values<'_>) {
    let is_software = element
        .attribute("type")
        .is_some_and(|it| it.value.trim().eq_ignore_ascii_case("software"));
    if !is_software {
        values.findings.unsupported(
            element.span,
            "only key stores of the type `software` are supported: have other keys held by an SSH agent",
        );
    } else if element.attribute("init").is_some() {
        values.findings.unsupported(
            element.span,
            "`init` of a key store is not supported: name the directory in `<user-keys directory=\"…\"/>`",
        );
    }
}

fn read_known_hosts(general: &Element, values: &mut Values<'_>) -> Option<KnownHosts> {
    let mut known = KnownHosts::default();
    let mut any = false;
    for element in general.children_named("known-hosts") {
        any = true;
        for name in ["path", "file"] {
            if element
                .attribute(name)
                .is_some_and(|it| it.value.is_empty())
            {
                known.files.get_or_insert_default();
            } else if let Some(path) = values.path(element, name) {
                known.files.get_or_insert_default().push(path);
            }
        }
        known.directories.extend(values.path(element, "directory"));
        if let Some(format) = values.choice::<FilenameFormat>(element, "filename-format") {
            known.hash_names = format.value == FilenameFormat::Hash;
        }
    }
    any.then_some(known)
}
