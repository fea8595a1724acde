//! Manual pages and completions of both programs, from the definitions of their command lines

use std::path::Path;

use anyhow::Result;
use clap::{CommandFactory, ValueEnum};
use clap_complete::{Generator, Shell};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The file alone: with the crate, xtask would have to be built with the whole daemon.
#[allow(dead_code, reason = "the help texts are all that is used here")]
#[path = "../../../crates/brokerd/src/args.rs"]
mod brokerd;

const FILES: [(&str, &str); 4] = [
    (
        "/etc/ssh2/ssh-broker-config.xml",
        "the configuration for the whole host",
    ),
    (
        "~/.ssh2/ssh-broker-config.xml",
        "the configuration of the user",
    ),
    (
        "~/.ssh2/known_hosts",
        "host keys that the broker has stored for the user",
    ),
    (
        "/run/ssh-broker/broker.sock",
        "the local socket of the daemon for the whole host",
    ),
];

/// Writes a page for the daemon, one for the client, and one for each of its commands.
pub(super) fn pages(directory: &Path) -> Result<()> {
    let mut files = Roff::new();
    files.control("SH", ["FILES"]);
    for (file, meaning) in FILES {
        files.control("TP", []).text([bold(file)]);
        files.text([roman(meaning)]);
    }
    clap_mangen::generate_to(broker_ctl::Cli::command(), directory)?;
    let daemon = Man::new(brokerd::Args::command()).section("8");
    write(directory, daemon, files, &["broker-ctl(1)"])?;
    let mut client = broker_ctl::Cli::command().disable_help_subcommand(true);
    client.build();
    write(directory, Man::new(client), Roff::new(), &["brokerd(8)"])
}

/// Writes a page with `more` and the names of other pages at its end.
fn write(directory: &Path, page: Man, more: Roff, others: &[&str]) -> Result<()> {
    let mut text = Vec::new();
    page.render(&mut text)?;
    let others = [others, &["ssh-broker-config(5)"]].concat().join(", ");
    let mut end = more;
    end.control("SH", ["SEE ALSO"]).text([roman(others)]);
    text.extend(end.to_roff().into_bytes());
    std::fs::write(directory.join(page.get_filename()), text)?;
    Ok(())
}

/// The daemon's options are fixed. The client's scripts ask the client, which knows names and ids as well.
pub(super) fn completions(directory: &Path) -> Result<()> {
    let client = broker_ctl::Cli::command();
    let mut daemon = brokerd::Args::command();
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut daemon, "brokerd", directory)?;
        let script = broker_ctl::completion_script(*shell, client.get_name())?;
        std::fs::write(directory.join(shell.file_name(client.get_name())), script)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        pages(directory.path()).unwrap();
        let client = broker_ctl::Cli::command();
        let commands = client
            .get_subcommands()
            .map(|it| format!("broker-ctl-{}.1", it.get_name()));
        for page in commands.chain(["brokerd.8", "broker-ctl.1"].map(String::from)) {
            let text = std::fs::read_to_string(directory.path().join(&page)).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
    }

    #[test]
    fn bash_can_read_the_completions() {
        let directory = tempfile::tempdir().unwrap();
        completions(directory.path()).unwrap();
        for program in ["brokerd", "broker-ctl"] {
            let script = format!("{program}.bash");
            let bash = std::process::Command::new("bash")
                .arg("-n")
                .arg(directory.path().join(script))
                .output();
            let bash = bash.unwrap();
            assert!(bash.status.success(), "{bash:?}");
        }
    }
}
