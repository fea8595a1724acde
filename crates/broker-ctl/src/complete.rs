//! Completions: the scripts for the shells, and the answer when such a script asks.
//!
//! The script of a shell runs this program for each completion, so new commands and the daemon's names need no new script.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use crate::candidates;
use crate::cli::{Cli, in_full};

/// The variable in which the script names its shell.
const VARIABLE: &str = "COMPLETE";
const PROGRAM: &str = "broker-ctl";

/// The script for a shell. It runs `program` for each completion.
///
/// # Errors
/// If the shell is unknown to the engine of completions.
pub fn completion_script(shell: Shell, program: &str) -> io::Result<Vec<u8>> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let known = shells.completer(&name).ok_or(io::ErrorKind::Unsupported)?;
    let mut script = Vec::new();
    known.write_registration(VARIABLE, PROGRAM, PROGRAM, program, &mut script)?;
    if shell == Shell::Zsh {
        script.extend_from_slice(ZSH_AUTOLOAD.as_bytes());
    }
    Ok(script)
}

/// A file in zsh's `fpath` is the body of a function that zsh first runs for a completion, not before.
const ZSH_AUTOLOAD: &str = r#"
if [[ "${funcstack[1]}" = _broker-ctl ]]; then
    _clap_dynamic_completer_broker_ctl "$@"
fi
"#;

/// The script, for the program as this user calls it.
pub(crate) fn own_script(shell: Shell) -> io::Result<String> {
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.filter(|path| path.components().count() > 1);
    let program = match called {
        Some(path) => std::path::absolute(path)?.display().to_string(),
        None => PROGRAM.to_owned(),
    };
    let script = completion_script(shell, &program)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Answers a shell that asks for completions, if one does. True if so: the program has nothing else to do then.
pub fn answer_shell() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if let Some(line) = typed(&words) {
        candidates::ask_at(socket(line.clone()));
        if let Ok(full) = in_full(&Cli::command(), line.clone()) {
            words.truncate(words.len() - line.len());
            words.extend(full);
        }
    }
    let directory = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(Cli::command).var(VARIABLE);
    // A shell that is not known has no completions, and neither has an invalid line.
    answered
        .try_complete(words, directory.as_deref())
        .unwrap_or(true)
}

/// The command line so far, as the shell passes it.
fn typed(words: &[OsString]) -> Option<Vec<OsString>> {
    let begin = words.iter().position(|word| word == "--")?;
    words.get(begin + 1..).map(<[_]>::to_vec)
}

/// The socket that the command line so far, or the environment, names.
fn socket(line: Vec<OsString>) -> Option<PathBuf> {
    let general = Command::new(PROGRAM)
        .args(Cli::command().get_arguments().cloned())
        .allow_external_subcommands(true)
        .ignore_errors(true);
    let read = general.try_get_matches_from(line).ok()?;
    read.get_one::<PathBuf>("socket").cloned()
}
