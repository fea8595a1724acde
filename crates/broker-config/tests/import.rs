//! Clean files made from those of the commercial broker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_config::{
    Config, Environment, Exposed, Imported, OpenSshHost, OpenSshOptions, Report, check, import,
    import_openssh,
};
use snapbox::Data;
use snapbox::assert::{Assert, DEFAULT_ACTION_ENV};
use snapbox::data::DataFormat;
use tempfile::TempDir;

fn environment() -> Environment {
    Environment {
        home: "/home/anna".into(),
        user: "anna".to_owned(),
        ..Environment::default()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn load(path: &Path) -> Report {
    check(path, &environment(), Exposed::Refused)
}

/// An old file, and the new one in another directory.
struct Made {
    directory: TempDir,
    imported: Imported,
    new: PathBuf,
}

impl Made {
    fn of(text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let old = directory.path().join("old.xml");
        write(&old, text);
        let imported = import(&old, &environment())
            .unwrap_or_else(|report| unreachable!("{}", report.render(false)));
        let new = directory.path().join("elsewhere").join("new.xml");
        std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
        write(&new, &imported.text);
        Self {
            directory,
            imported,
            new,
        }
    }

    fn text(&self) -> String {
        let directory = format!("{}/", self.directory.path().display());
        self.imported.text.replace(&directory, "/old/")
    }
}

/// The configuration without the places in the file.
fn meaning(config: Config) -> String {
    let all = format!("{config:#?}");
    let lines = all.lines().filter(|line| !line.contains("position:"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/config")
        .join(name)
}

#[test]
fn a_file_with_everything_becomes_a_clean_one() {
    let original = corpus("valid/commercial.xml");
    let made = Made::of(&std::fs::read_to_string(&original).unwrap());
    let expected = Data::read_from(&original.with_extension("imported"), Some(DataFormat::Text));
    Assert::new()
        .action_env(DEFAULT_ACTION_ENV)
        .eq(Data::text(made.text()).raw(), expected.raw());
    assert!(!made.imported.has_secrets);
}

#[test]
fn a_new_file_loads_without_complaints_and_means_the_same() {
    for entry in std::fs::read_dir(corpus("valid")).unwrap() {
        let original = entry.unwrap().path();
        if original.extension().is_none_or(|it| it != "xml") {
            continue;
        }
        let made = Made::of(&std::fs::read_to_string(&original).unwrap());
        let old = load(&made.directory.path().join("old.xml"));
        let new = load(&made.new);
        let messages = |report: &Report| {
            let all = report.diagnostics.iter();
            all.map(|it| it.message.clone()).collect::<Vec<_>>()
        };
        let open = messages(&new).len();
        assert_eq!(made.imported.open.len(), open, "{}", original.display());
        let before = messages(&old);
        for message in messages(&new) {
            // What is left is about what the file means, so only a person can decide.
            assert!(
                before.contains(&message),
                "{}: {message}",
                original.display()
            );
            let removable = [
                "has no effect",
                "not supported yet",
                "left out",
                "deprecated",
            ];
            let decided = !removable.iter().any(|it| message.contains(it));
            assert!(decided || message.contains("`allow-"), "{message}");
        }
        let old = Config {
            unsupported: Vec::new(),
            ..old.config.unwrap()
        };
        let loses = [
            "commercial",
            "listeners-that-may-clash",
            "not-supported-yet",
        ];
        if !loses
            .iter()
            .any(|it| original.file_stem() == Some(it.as_ref()))
        {
            assert_eq!(
                meaning(old),
                meaning(new.config.unwrap()),
                "{}",
                original.display()
            );
        }
    }
}

#[test]
fn secrets_and_comments_that_may_have_some_are_noticed() {
    let profile = |inside: &str| {
        format!(
            r#"<secsh-broker><profiles><profile id="a" host="h">{inside}</profile></profiles></secsh-broker>"#
        )
    };
    for (inside, expected) in [
        ("", false),
        (r#"<password file="f"/>"#, false),
        (r#"<proxy ruleset="socks5://p:1/"/>"#, false),
        (r#"<password string="geheim"/>"#, true),
        (r#"<proxy ruleset="socks5://a:b@p:1/"/>"#, true),
        (r#"<!-- <password string="geheim"/> --><tunnels/>"#, true),
    ] {
        let made = Made::of(&profile(inside));
        assert_eq!(made.imported.has_secrets, expected, "{inside}");
    }
}

#[test]
fn a_file_with_errors_is_reported_and_not_imported() {
    let directory = TempDir::new().unwrap();
    let old = directory.path().join("old.xml");
    write(&old, "<secsh-broker><cert-validations/></secsh-broker>");
    let report = import(&old, &environment()).unwrap_err();
    assert!(report.has_errors());
    assert!(report.render(false).contains("cert-validations"));
    let missing = import(&directory.path().join("missing.xml"), &environment()).unwrap_err();
    assert!(missing.has_errors());
}

#[test]
fn the_policy_of_older_switches_becomes_an_attribute() {
    for (switches, policy) in [
        (r#"<strict-host-key-checking enable="yes"/>"#, "strict"),
        (r#"<accept-unknown-host-keys enable="yes"/>"#, "tofu"),
        (r#"<host-key-always-ask enable="yes"/>"#, "ask"),
    ] {
        let made = Made::of(&format!(
            "<secsh-broker><general>{switches}</general></secsh-broker>"
        ));
        let expected = format!(r#"<auth-server-publickey policy="{policy}"/>"#);
        assert!(
            made.imported.text.contains(&expected),
            "{}",
            made.imported.text
        );
        assert!(!made.imported.text.contains("enable="));
    }
}

/// What `ssh -G` prints for a host about which no file says anything, as far as it matters here.
const USUAL: &str = "user anna\nport 22\nproxyusefdpass no\nhostname host.invalid\nidentityfile ~/.ssh/id_rsa\n\
    stricthostkeychecking ask\nuserknownhostsfile /home/anna/.ssh/known_hosts\nciphers aes256-ctr,aes128-cbc\n";

fn host(alias: &str, gateway: Option<&str>, options: &str) -> OpenSshHost {
    OpenSshHost {
        id: alias.to_owned(),
        alias: alias.to_owned(),
        gateway: gateway.map(str::to_owned),
        options: OpenSshOptions::new(options, USUAL),
        host_keys: Vec::new(),
        has_tunnels: true,
    }
}

#[test]
fn the_options_of_openssh_become_a_profile() {
    let jump = "hostname jump.example.com\nproxycommand nc -X connect %h %p # %n %u %%\n";
    let jump = host("jump", None, jump);
    let options = "host work\nhostname files.internal\nuser bob\nport 2222\nidentityfile ~/.ssh/%h_%r\n\
        stricthostkeychecking true\nserveraliveinterval 20\nconnecttimeout 7\naddressfamily inet6\ncompression yes\n\
        preferredauthentications password,gssapi-with-mic,publickey\nciphers aes256-ctr,3des-cbc\nhostkeyalias other\n\
        localforward 2121 [ftp.internal]:21\n\
        localforward [*]:8080 [web.internal]:80\nlocalforward /run/x [web]:80\ndynamicforward [127.0.0.2]:1080\n\
        localforward 2121 [again]:21\nbindaddress 192.0.2.1\nforwardagent yes\n";
    let work = OpenSshHost {
        host_keys: vec![format!("ssh-ed25519 {KEY}")],
        ..host("work", Some("jump"), options)
    };
    let imported = import_openssh(&[jump, work], &environment()).unwrap();
    Assert::new().action_env(DEFAULT_ACTION_ENV).eq(
        Data::text(imported.text.clone()).raw(),
        Data::read_from(&corpus("openssh.imported"), Some(DataFormat::Text)).raw(),
    );
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("new.xml");
    write(&file, &imported.text);
    let report = load(&file);
    let config = report.config.unwrap();
    assert_eq!(
        config.profile("work").unwrap().gateway.as_deref(),
        Some("jump")
    );
    assert_eq!(imported.open.len(), report.diagnostics.len());
}

const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ0gWzHKQ4mTCIWLLzCN1EFiAYaIFg5Pz8LMBKGTWOO5";

#[test]
fn a_command_with_an_unknown_expansion_is_left_out() {
    for (command, expected) in [
        ("ssh -W %h:%p jump", true),
        ("ssh -W %h:%p %C", false),
        ("nc 100%", false),
    ] {
        let host = host("h", None, &format!("hostname h\nproxycommand {command}\n"));
        let imported = import_openssh(&[host], &environment()).unwrap();
        assert_eq!(imported.text.contains("ruleset"), expected, "{command}");
        let noted = imported
            .left_out
            .iter()
            .any(|it| it.contains("proxycommand"));
        assert_eq!(noted, !expected, "{command}");
    }
}
