//! The meaning of lines, by hand and according to `ssh-keygen -F`

use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

/// The roles that a text has for a server.
fn roles(text: &str, host: &str, port: u16) -> Vec<Role> {
    let keys = keys_for(text, &HostName::new(host, port), Path::new("known_hosts"));
    keys.into_iter().map(|known| known.role).collect()
}

fn found(hosts: &str, host: &str, port: u16) -> bool {
    !roles(&format!("{hosts} {KEY} comment"), host, port).is_empty()
}

#[test]
fn names_ports_wildcards_and_negation() {
    let cases = [
        ("example.org", "example.org", 22, true),
        ("EXAMPLE.org", "Example.ORG", 22, true),
        ("example.org", "example.org", 2222, false),
        ("[example.org]:2222", "example.org", 2222, true),
        ("[example.org]:2222", "example.org", 22, false),
        ("[*.org]:2222", "example.org", 2222, true),
        ("other,example.org", "example.org", 22, true),
        ("*.org", "example.org", 22, true),
        ("*.org", "example.com", 22, false),
        ("ex?mple.org", "example.org", 22, true),
        ("*a*b*", "xaxxbx", 22, true),
        ("*a*b", "xaxxbx", 22, false),
        ("*.org,!example.org", "example.org", 22, false),
        ("!example.org,*.org", "other.org", 22, true),
        ("!example.org", "other.org", 22, false),
        ("::1", "::1", 22, true),
        ("[::1]:2222", "::1", 2222, true),
    ];
    for (hosts, host, port, expected) in cases {
        assert_eq!(
            found(hosts, host, port),
            expected,
            "{hosts} against {host} {port}"
        );
    }
}

#[test]
fn a_hashed_name_matches_its_host_and_port_only() {
    let hosts = hashed("[example.org]:2222").unwrap();
    assert!(found(&hosts, "example.org", 2222));
    assert!(!found(&hosts, "example.org", 22));
    assert_ne!(hosts, hashed("[example.org]:2222").unwrap(), "the salt");
}

#[test]
fn a_line_hashed_by_openssh_is_understood() {
    // A line from `ssh-keygen -H`.
    let hosts = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=";
    assert!(found(hosts, "192.168.1.61", 22));
}

#[test]
fn authorities_and_revocations_hold_for_every_port() {
    for (marker, role) in [
        ("@cert-authority", Role::Authority),
        ("@revoked", Role::Revoked),
    ] {
        let line = |hosts: &str| format!("{marker} {hosts} {KEY}");
        assert_eq!(roles(&line("*.org"), "example.org", 2222), [role]);
        assert_eq!(roles(&line("[*.org]:2222"), "example.org", 2222), [role]);
        assert_eq!(roles(&line("[*.org]:2222"), "example.org", 22), []);
        let but_one = line("*.org,![example.org]:2222");
        assert_eq!(roles(&but_one, "example.org", 2222), []);
        assert_eq!(roles(&but_one, "example.org", 22), [role]);
    }
}

#[test]
fn comments_tabs_and_broken_lines_do_no_harm() {
    let text = format!("# note\n\nbroken\n@odd * {KEY}\n* no key\n  example.org\t{KEY}\n");
    let keys = keys_for(&text, &HostName::new("example.org", 22), Path::new("f"));
    assert_eq!(
        keys.iter().map(KnownKey::place).collect::<Vec<_>>(),
        ["f line 6"]
    );
}

/// Host lists of all kinds, from so few letters that many match.
fn hosts() -> impl Strategy<Value = String> {
    let plain = "!?[abAB.*?]{1,5}";
    let with_port = "!?\\[[abAB.*?]{1,4}\\]:(22|2222)";
    let pattern = prop_oneof![plain, with_port];
    let list = prop::collection::vec(pattern, 1..4).prop_map(|patterns| patterns.join(","));
    let hash = name().prop_map(|name| hashed(name.exact()).unwrap());
    prop_oneof![3 => list, 1 => hash]
}

fn name() -> impl Strategy<Value = HostName> {
    ("[ab.]{1,3}", prop_oneof![Just(22), Just(2222)])
        .prop_map(|(host, port)| HostName::new(&host, port))
}

/// The lines that `ssh-keygen -F` finds; `None` if it is not installed.
fn found_by_keygen(name: &HostName, file: &Path) -> Option<Vec<usize>> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-F", name.exact(), "-f"]).arg(file);
    let output = command.stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    let numbers = said.lines().filter_map(|line| {
        let (_, number) = line.strip_prefix("# Host ")?.split_once("found: line ")?;
        Some(number.split(' ').next()?.parse().unwrap())
    });
    Some(numbers.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_same_lines_are_found_as_by_ssh_keygen(
        lines in prop::collection::vec(("(@revoked |@cert-authority )?", hosts()), 1..12),
        name in name(),
    ) {
        // Marked lines also apply to other ports, which ssh-keygen does not support.
        let is_plain = |marker: &str| marker.is_empty() || name.host() == name.exact();
        let lines = lines.iter().filter(|(marker, _)| is_plain(marker));
        let text: String = lines.map(|(marker, hosts)| format!("{marker}{hosts} {KEY}\n")).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        if let Some(expected) = found_by_keygen(&name, file.path()) {
            let found: Vec<usize> =
                keys_for(&text, &name, file.path()).iter().map(|known| known.line).collect();
            prop_assert_eq!(found, expected, "{}", text);
        }
    }
}
