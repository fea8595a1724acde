//! Every file of `tests/config` against what is to be said about it.
//!
//! `SNAPSHOTS=overwrite cargo test -p broker-config` writes the expectations anew; read each of them
//! before committing it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_config::{Config, Environment, Exposed, Report, check};
use snapbox::Data;
use snapbox::assert::{Assert, DEFAULT_ACTION_ENV};
use snapbox::data::DataFormat;
use tempfile::TempDir;

#[test]
fn valid_files_mean_what_is_expected() {
    for file in files("valid") {
        let copy = Copy::of(&file);
        let report = copy.check();
        let shown = copy.shown(&report);
        assert!(
            report.config.is_some(),
            "{} has errors:\n{shown}",
            file.display()
        );
        let config = sparse(&report.config.unwrap_or_default());
        compare(
            format!("{shown}---\n{}", copy.without_directory(&config)),
            &file,
            "expected",
        );
    }
}

#[test]
fn invalid_files_are_refused_with_the_reason() {
    for file in files("invalid") {
        let copy = Copy::of(&file);
        let report = copy.check();
        let shown = copy.shown(&report);
        assert!(
            report.has_errors() && report.config.is_none(),
            "{}: no error",
            file.display()
        );
        compare(shown, &file, "stderr");
    }
}

#[test]
fn the_example_warns_only_of_its_relay() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/ssh-broker-config.xml");
    let report = Copy::of(&example).check();
    let said: Vec<_> = report.diagnostics.iter().map(|it| &it.message).collect();
    assert!(
        matches!(said.as_slice(), [relay] if relay.contains("in clear text")),
        "{said:?}"
    );
    assert_eq!(report.config.map(|config| config.profiles.len()), Some(4));
}

#[test]
fn the_file_that_packages_install_opens_nothing_until_its_profile_is_no_comment() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/host/ssh-broker-config.xml");
    let text = std::fs::read_to_string(file).unwrap();
    let edited = text.replace("    <!--\n", "").replace("    -->\n", "");
    let directory = TempDir::new().unwrap();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM/ur+FlggcXArDrEpxYP1JWUhNaQ7kPIJd9msq2StDH";
    std::fs::write(directory.path().join("work-host-key.pub"), key).unwrap();
    for (text, tunnels) in [(text, vec![]), (edited, vec![1])] {
        let file = directory.path().join("ssh-broker-config.xml");
        std::fs::write(&file, text).unwrap();
        let report = check(&file, &environment(), Exposed::Accepted);
        assert!(!report.has_errors(), "{:?}", report.diagnostics);
        let profiles = report.config.unwrap().profiles;
        let found: Vec<_> = profiles.iter().map(|it| it.tunnels.len()).collect();
        assert_eq!(found, tunnels);
    }
}

/// A file with one of each thing, and nothing said of it that need not be said.
const PLAIN: &str = r#"<secsh-broker><profiles><profile id="-" host="-"><tunnels>
    <local-tunnel listen-port="1" dst-port="1"/><local-tunnel type="ftp" listen-port="2" dst-port="1"/>
    <remote-tunnel listen-port="3" dst-port="1"/></tunnels></profile></profiles></secsh-broker>"#;

/// What the configuration says beyond that file.
fn sparse(config: &Config) -> String {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("plain.xml");
    std::fs::write(&file, PLAIN).unwrap();
    let plain = check(&file, &environment(), Exposed::Accepted).config;
    let mut config = Node::of(config);
    config.prune(&Node::of(&plain.unwrap()).structs());
    config.shown("")
}

/// A value as `{:#?}` prints it: its first line, its parts, and its last line if it has parts.
#[derive(Clone, Debug, PartialEq)]
struct Node {
    head: String,
    parts: Vec<Node>,
    tail: Option<String>,
}

impl Node {
    fn of(value: &impl Debug) -> Self {
        Self::read(&mut format!("{value:#?}").lines().map(str::trim))
    }

    fn read<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Self {
        let head = lines.next().unwrap().to_owned();
        let mut node = Self {
            parts: Vec::new(),
            tail: None,
            head,
        };
        while node.head.ends_with(['{', '[', '(']) && node.tail.is_none() {
            let part = Self::read(lines);
            if part.head.starts_with(['}', ']', ')']) {
                node.tail = Some(part.head);
            } else {
                node.parts.push(part);
            }
        }
        node
    }

    /// The first of each kind of struct in it, by its name.
    fn structs(&self) -> BTreeMap<String, Node> {
        let parts = self.parts.iter().rev();
        let mut found: BTreeMap<_, _> = parts.flat_map(Node::structs).collect();
        found.extend(self.name().map(|name| (name.to_owned(), self.clone())));
        found
    }

    fn name(&self) -> Option<&str> {
        self.head.strip_suffix(" {")?.rsplit(' ').next()
    }

    /// Removes from each struct what the usual one has as well.
    fn prune(&mut self, usual: &BTreeMap<String, Node>) {
        if let Some(usual) = self.name().and_then(|name| usual.get(name)) {
            self.parts.retain(|part| !usual.parts.contains(part));
        }
        self.parts.iter_mut().for_each(|part| part.prune(usual));
    }

    fn shown(&self, indent: &str) -> String {
        let deeper = format!("{indent}    ");
        let parts = self.parts.iter().map(|part| part.shown(&deeper));
        let tail = self.tail.iter().map(|tail| format!("{indent}{tail}\n"));
        format!("{indent}{}\n", self.head) + &parts.chain(tail).collect::<String>()
    }
}

/// Surroundings that are the same on every machine.
fn environment() -> Environment {
    let variables = [("SITE", "berlin"), ("EMPTY", "")];
    Environment {
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        home: "/home/anna".into(),
        config_directory: None,
        user: "anna".to_owned(),
        group: "users".to_owned(),
        user_id: 1000,
        group_id: 100,
    }
}

fn directory(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/config")
        .join(kind)
}

fn files(kind: &str) -> Vec<PathBuf> {
    let directory = directory(kind);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new("xml")))
        .collect();
    files.sort();
    assert!(
        files.len() > 5,
        "{} holds too few files",
        directory.display()
    );
    files
}

/// A file in a directory where nobody else can write, whoever can write where the tests were checked out.
struct Copy {
    directory: TempDir,
    file: PathBuf,
}

impl Copy {
    fn of(original: &Path) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join(original.file_name().unwrap());
        std::fs::copy(original, &file).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        Self { directory, file }
    }

    fn check(&self) -> Report {
        check(&self.file, &environment(), Exposed::Refused)
    }

    /// The report without the directory's path, which differs from run to run.
    fn shown(&self, report: &Report) -> String {
        self.without_directory(&report.render(false))
    }

    fn without_directory(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

fn compare(actual: String, file: &Path, extension: &str) {
    let expected = Data::read_from(&file.with_extension(extension), Some(DataFormat::Text));
    Assert::new()
        .action_env(DEFAULT_ACTION_ENV)
        .eq(Data::text(actual).raw(), expected.raw());
}
