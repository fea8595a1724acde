//! What other programs offer and this one does not: a sentence for each that names what to use instead.

use clap::builder::UnknownArgumentValueParser;
use clap::{Arg, ArgAction};

/// Commands of the commercial broker, of similar programs, and of the shell.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["ls", "ps"],
        "name what to list: list-profiles, list-connections, list-channels, list-sessions, list-transfers, \
         list-tunnel-listeners or list-clients",
    ),
    (
        &["version"],
        "use broker-ctl --version; status shows the daemon's version",
    ),
    (
        &["log", "logs"],
        "use events to see what happens; the log goes to brokerd's standard error, to the systemd journal \
         (journalctl -u brokerd), or to the <log-target> of the configuration",
    ),
    (&["exit", "quit", "kill"], "use stop"),
    (
        &["restart"],
        "use reload to apply a changed configuration, otherwise stop and start",
    ),
    (&["reconfig", "reconfigure"], "use reload"),
    (
        &["forward"],
        "use tunnel, or open-tunnel-listener to leave it open",
    ),
    (&["test", "ping", "diagnose"], "use doctor"),
    (&["watch"], "use top, events, or --watch with a list"),
    (
        &["connector"],
        "the broker captures no connections of other programs: open an FTP or SOCKS tunnel with open-tunnel-listener",
    ),
    (
        &["list-keys", "key-stores", "list-key-stores"],
        "ssh-add -l lists the keys of the SSH agent, and doctor shows which keys a login tries",
    ),
    (
        &["view-key"],
        "use ssh-keygen -lf FILE; for the host keys of a server use probe-key",
    ),
    (
        &["key-passphrase"],
        "use ssh-keygen -p -f FILE to change the passphrase of a private key",
    ),
    (&["key-upload"], "use ssh-copy-id, which OpenSSH has"),
    (
        &["add-key", "add-certificate", "remove-key"],
        "use ssh-add, or name the key with <identity> in the profile",
    ),
    (
        &[
            "validate-certificate",
            "view-certificate",
            "add-crl",
            "view-crl",
            "list-crls",
        ],
        "the broker uses OpenSSH certificates: ssh-keygen -Lf FILE shows one",
    ),
    (
        &["keylog", "start-keylog", "stop-keylog"],
        "the broker writes no session keys to files; brokerd --log debug shows the steps of the protocol",
    ),
    (
        &[
            "add-provider",
            "remove-provider",
            "list-providers",
            "enable-provider",
            "disable-provider",
        ],
        "the broker takes keys from files and from the SSH agent; for a smart card use ssh-add -s LIBRARY",
    ),
];

/// What to use instead of a command of this name.
pub(super) fn of_command(word: &str) -> Option<&'static str> {
    let found = COMMANDS.iter().find(|(names, _)| names.contains(&word));
    found.map(|(_, sentence)| *sentence)
}

/// An option whose use is an error with this sentence.
fn option(long: &'static str, sentence: &'static str) -> Arg {
    let tip = UnknownArgumentValueParser::suggest(sentence);
    Arg::new(long).long(long).hide(true).value_parser(tip)
}

/// General options.
pub(super) fn general() -> [Arg; 4] {
    const TUNNEL: &str =
        "name the command first: broker-ctl tunnel -L ftp/1234:localhost:21 user@host";
    [
        option("debug", "for more detail start brokerd with --log debug").short('D').value_name("LEVEL"),
        option("local", TUNNEL).short('L').value_name("SPEC"),
        option("remote", TUNNEL).short('R').value_name("SPEC"),
        option("config", "start, doctor and check-config take a configuration file; a running daemon has its own")
            .short('f')
            .value_name("FILE"),
    ]
}

/// Options of `list-connections`.
pub(super) fn of_list_connections() -> [Arg; 2] {
    [
        option(
            "disconnected",
            "the daemon keeps no closed connections: list-profiles shows why a profile is not connected, and \
             events --after 0 what has happened",
        )
        .action(ArgAction::SetTrue),
        option(
            "client-pid",
            "clients share connections: list-sessions shows the clients, and list-channels the connection of each channel",
        )
        .value_name("PID"),
    ]
}

/// Options of `connection-status`.
pub(super) fn of_connection_status() -> [Arg; 1] {
    [option(
        "write-hostkey",
        "to store the server's host key as known use trust-host; to write it to a file run: ssh-keyscan -p PORT HOST",
    )
    .value_name("FILE")]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    #[test]
    fn nothing_that_is_offered_is_called_missing() {
        let command = Cli::command();
        for name in COMMANDS.iter().flat_map(|(names, _)| *names) {
            let mut commands = command.get_subcommands().map(clap::Command::get_name);
            assert!(
                !commands.any(|it| it.starts_with(name)),
                "{name} is an abbreviation"
            );
        }
    }

    /// The sentences name commands; one that is renamed must not stay in them.
    #[test]
    fn the_commands_named_instead_exist() {
        let command = Cli::command();
        for (_, sentence) in COMMANDS {
            let words = sentence.split(|c: char| !c.is_ascii_alphabetic() && c != '-');
            for word in words.filter(|it| it.starts_with("list-") || it.starts_with("close-")) {
                assert!(command.find_subcommand(word).is_some(), "{word}");
            }
        }
    }
}
