//! What programs take from the environment of the host that tests run on.

use std::process::Command;

/// Variables that change what the programs print or whom they ask. A test sets those that it is about.
const VARIABLES: &[&str] = &[
    // Colour and width: CI makes a terminal look capable whatever TERM says.
    "CI",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "TZ",
    // Which daemon is asked, and how it logs.
    "SSH_BROKER_SOCKET",
    "SSH_SECSH_BROKER",
    "COMPLETE",
    "RUST_LOG",
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    // What the user has.
    "SSH_AUTH_SOCK",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    // Proxies of clients.
    "ftp_proxy",
    "FTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// Gives a command the same surroundings on every host: a usual terminal, UTF-8, and none of the host's variables that
/// change what programs do. What the command had set before is lost if it is one of these.
pub fn neutral(command: &mut Command) -> &mut Command {
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8")
}
