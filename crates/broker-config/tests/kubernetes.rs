//! What `config/kubernetes/relays.yaml` contains: the broker's configuration, and the ports that its parts agree on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use broker_config::{Environment, Exposed, Severity, TunnelKind, check};

const RELAYS: &str = include_str!("../../../config/kubernetes/relays.yaml");

/// The relays of the file, and how many passive ports each has.
const COUNT: u16 = 2;
const PORTS: u16 = 16;

/// The text of the block that follows this line, which ends with the first line that is indented less.
fn block(head: &str) -> String {
    let (_, rest) = RELAYS.split_once(&format!("{head}\n")).unwrap();
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let depth = indentation(rest);
    let lines = rest.lines().take_while(|line| indentation(line) >= depth);
    lines
        .map(|line| line.trim_start().to_owned() + "\n")
        .collect()
}

/// What the start of a pod makes of its name.
fn passive_ports(pod: &str) -> String {
    let start = block("args:\n            - |");
    let ports: Vec<&str> = start.lines().take(2).collect();
    let script = format!("{}\nprintf %s \"$PASSIVE_PORTS\"", ports.join("\n"));
    let mut shell = Command::new("sh");
    let output = shell.args(["-ec", &script]).env("HOSTNAME", pod).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn each_pod_has_the_ports_that_the_balancer_and_the_service_send_to_it() {
    for relay in 0..COUNT {
        let low = 50_000 + PORTS * relay;
        let range = format!("{low}-{}", low + PORTS - 1);
        assert_eq!(passive_ports(&format!("relay-{relay}")), range);
        let frontend = format!("frontend data-{relay}\n        bind :{range}\n");
        assert!(RELAYS.contains(&frontend), "{frontend}");
        for port in low..low + PORTS {
            let line = format!("- {{name: data-{port}, port: {port}}}\n");
            assert!(RELAYS.contains(&line), "{line}");
        }
    }
    assert_eq!(
        RELAYS.matches("name: data-").count(),
        usize::from(COUNT * PORTS)
    );
}

#[test]
fn its_configuration_warns_only_of_clear_text() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ssh-broker-config.xml");
    std::fs::write(&file, block("ssh-broker-config.xml: |")).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let variables = [
        ("PASSIVE_PORTS", "50016-50031"),
        ("POD_NETWORK", "10.0.0.0/8"),
    ];
    let environment = Environment {
        variables: variables
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..Environment::default()
    };
    let report = check(&file, &environment, Exposed::Refused);
    let said: Vec<_> = report.diagnostics.iter().collect();
    let clear_text = said
        .iter()
        .all(|it| it.severity == Severity::Warning && it.message.contains("in clear text"));
    assert!(clear_text && said.len() == 1, "{}", report.render(false));
    let config = report.config.unwrap();
    let tunnel = config.profiles.first().unwrap().tunnels.first().unwrap();
    assert!(tunnel.accept_proxy && tunnel.allow_from.len() == 1);
    let TunnelKind::Ftp(ftp) = &tunnel.kind else {
        unreachable!("the tunnel is for FTP");
    };
    assert_eq!(ftp.passive_ports, Some(50_016..=50_031));
}
