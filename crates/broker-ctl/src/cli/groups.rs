//! The list of the commands in the help, in groups by what people want to do.

use clap::Command;

/// The groups with their commands.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "See what happens",
        &[
            "status",
            "top",
            "list-profiles",
            "list-tunnel-listeners",
            "list-sessions",
            "list-transfers",
            "list-connections",
            "connection-status",
            "list-channels",
            "list-clients",
            "events",
            "metrics",
        ],
    ),
    (
        "Find faults",
        &["doctor", "health", "check-config", "config-value", "debug"],
    ),
    (
        "Change something",
        &[
            "start",
            "stop",
            "reload",
            "tunnel",
            "open-tunnel-listener",
            "close-tunnel-listener",
            "close-connection",
            "close-channel",
            "disconnect-client",
        ],
    ),
    ("Log in", &["auth-handler", "probe-key", "trust-host"]),
    (
        "Files and shell",
        &["import-config", "import-ssh-config", "completions"],
    ),
];

/// The same command line. Its help lists the commands in groups.
pub(super) fn in_help(command: Command) -> Command {
    let heading = command.get_styles().get_header();
    let (bold, plain) = (heading.render(), heading.render_reset());
    let groups = GROUPS.map(|(title, names)| {
        let list = list(&command, names);
        format!("{bold}{title}:{plain}\n{}\n\n", list.trim_end())
    });
    let groups = groups.concat();
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{bold}Options:{plain}\n{{options}}{{after-help}}"
    ))
}

/// These commands with what they do, as clap lists them.
fn list(command: &Command, names: &[&str]) -> String {
    let group = Command::new("group")
        .max_term_width(100)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .help_template("{subcommands}");
    let found = names
        .iter()
        .filter_map(|name| command.find_subcommand(name));
    let in_order = found
        .enumerate()
        .map(|(place, it)| it.clone().display_order(place));
    let mut group = group.subcommands(in_order);
    group.render_help().ansi().to_string()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    #[test]
    fn each_command_is_in_one_group() {
        let grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).collect();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let count = grouped.iter().filter(|it| **it == &name).count();
            assert_eq!(count, 1, "{name}");
        }
    }
}
