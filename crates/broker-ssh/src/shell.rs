//! Commands of the configuration: how they are started, named and ended.

use tokio::process::{Child, Command};

/// This text for the shell, not started yet. It is killed when its process is dropped.
pub fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).kill_on_drop(true);
    // Its own group, which ends as a whole. Signals from the daemon's terminal do not reach it.
    #[cfg(unix)]
    shell.process_group(0);
    shell
}

/// The command's name for people: its first word, since the others can be secrets.
pub fn command_name(command: &str) -> String {
    let program = command.split_whitespace().next().unwrap_or_default();
    format!("command {}", plain_text::printable_start(program, 64))
}

/// Ends the processes that the command has started, unless it has ended itself. The runtime ends and reaps the command.
pub fn end_group(child: &Child) {
    #[cfg(unix)]
    if let Some(group) = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
    {
        // A failure means that they have ended.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_without_its_arguments() {
        assert_eq!(
            command_name("/usr/bin/nc -P secret %h"),
            "command /usr/bin/nc"
        );
    }
}
