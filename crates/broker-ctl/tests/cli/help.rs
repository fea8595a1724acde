//! What the program says of itself.

use snapbox::{file, str};

use crate::broker_ctl;

#[test]
fn help_lists_every_command() {
    broker_ctl()
        .arg("--help")
        .assert()
        .success()
        .stdout_eq(file!["snapshots/help.txt"]);
}

#[test]
fn help_of_open_tunnel_listener_shows_both_spellings() {
    let help = file!["snapshots/open-tunnel-listener.txt"];
    broker_ctl()
        .args(["open-tunnel-listener", "--help"])
        .assert()
        .success()
        .stdout_eq(help);
}

#[test]
fn the_version_is_that_of_the_build() {
    let version = concat!("broker-ctl ", env!("CARGO_PKG_VERSION"), "\n");
    broker_ctl().arg("-V").assert().success().stdout_eq(version);
}

#[test]
fn an_ambiguous_abbreviation_is_refused() {
    broker_ctl()
        .arg("list-c")
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: `list-c` is ambiguous: it can be list-connections, list-channels, list-clients

Usage: broker-ctl [OPTIONS] <COMMAND>

For more information, try '--help'.

"#]]);
}

/// Help is wrapped for the terminal. A line that ends in the middle of a sentence would be wrapped again, to a few words.
#[test]
fn paragraphs_of_help_are_wrapped_for_the_terminal_alone() {
    for name in [
        "doctor",
        "open-tunnel-listener",
        "stop",
        "trust-host",
        "tunnel",
    ] {
        let help = broker_ctl().args([name, "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines.windows(2) {
            let next = pair[1].split(' ').next().unwrap_or_default();
            let fits = !next.is_empty() && pair[0].len() + 1 + next.len() <= 100;
            assert!(
                pair[0].is_empty() || pair[0].ends_with(':') || !fits,
                "{name}: {pair:?}"
            );
        }
    }
}
