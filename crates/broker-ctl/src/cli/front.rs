//! The words before clap reads them: puts the whole name of the command for its abbreviation.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, Error};

use super::instead;

/// The same words with the command's whole name. They are unchanged if clap must report them.
///
/// # Errors
/// If no command has this name or abbreviation, or if several have the abbreviation.
pub(crate) fn in_full(command: &Command, mut words: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    let Some((at, word)) = front(command, &words)? else {
        return Ok(words);
    };
    let name = named(command, &word)?;
    words.splice(at..=at, [name.into()]);
    Ok(words)
}

/// The place of the command, and its word. `None` if there is none, or if clap must report something else. The general
/// options can have values, so only clap can tell which word is the command.
///
/// # Errors
/// If an option is unknown.
fn front(command: &Command, words: &[OsString]) -> Result<Option<(usize, String)>, Error> {
    let general = Command::new("broker-ctl")
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments().cloned())
        .allow_external_subcommands(true)
        .disable_help_subcommand(true);
    match general.try_get_matches_from(words) {
        Ok(read) => Ok(command_of(&read, words.len())),
        Err(error) if error.kind() == ErrorKind::UnknownArgument => Err(error),
        Err(_) => Ok(None),
    }
}

fn command_of(read: &ArgMatches, words: usize) -> Option<(usize, String)> {
    let (name, rest) = read.subcommand()?;
    let rest = rest.get_many::<OsString>("").map_or(0, Iterator::count);
    Some((words.checked_sub(rest + 1)?, name.to_owned()))
}

/// The whole name of a command: itself, what begins like it, or what has these initials.
fn named<'a>(command: &'a Command, word: &'a str) -> Result<&'a str, Error> {
    let mut all = command.get_subcommands();
    if word == "help"
        || all.any(|it| it.get_name() == word || it.get_all_aliases().any(|it| it == word))
    {
        return Ok(word);
    }
    if let Some(sentence) = instead::of_command(word) {
        return Err(wrong(
            command,
            format!("there is no command `{word}`: {sentence}"),
        ));
    }
    let names = || command.get_subcommands().map(Command::get_name);
    let mut meant: Vec<&str> = names().filter(|name| name.starts_with(word)).collect();
    if meant.is_empty() {
        meant = names().filter(|name| initials(name) == word).collect();
    }
    match *meant.as_slice() {
        [one] => Ok(one),
        [] => Err(wrong(command, unknown(word, names()))),
        _ => {
            let candidates = meant.join(", ");
            Err(wrong(
                command,
                format!("`{word}` is ambiguous: it can be {candidates}"),
            ))
        }
    }
}

fn initials(name: &str) -> String {
    name.split('-')
        .filter_map(|word| word.chars().next())
        .collect()
}

fn unknown<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let advice = match plain_text::closest(word, names) {
        Some(name) => format!("did you mean {name}?"),
        None => "broker-ctl --help lists the commands".to_owned(),
    };
    format!(
        "there is no command `{}`: {advice}",
        plain_text::printable(word)
    )
}

fn wrong(command: &Command, text: String) -> Error {
    Error::raw(ErrorKind::InvalidSubcommand, text).format(&mut command.clone())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    fn read(line: &str) -> Result<String, String> {
        let words = ["broker-ctl"].into_iter().chain(line.split_whitespace());
        let full = in_full(&Cli::command(), words.map(OsString::from).collect());
        let full = full.map_err(|error| error.to_string())?;
        let full: Vec<_> = full.iter().skip(1).map(|it| it.to_str().unwrap()).collect();
        Ok(full.join(" "))
    }

    #[test]
    fn initials_and_beginnings_are_names() {
        for (line, full) in [
            ("ctl 7", "close-tunnel-listener 7"),
            ("otl 1234 work", "open-tunnel-listener 1234 work"),
            ("ltl", "list-tunnel-listeners"),
            ("lp", "list-profiles"),
            ("cs 3 --json", "connection-status 3 --json"),
            ("list-con", "list-connections"),
            ("list-t", "list-t"),
            ("stat", "status"),
            ("help stop", "help stop"),
        ] {
            assert_eq!(read(line).as_deref(), Ok(full));
        }
    }

    #[test]
    fn the_command_comes_after_the_values_of_general_options() {
        let socket = "-a ctl --timeout 5 ctl 7";
        let full = "-a ctl --timeout 5 close-tunnel-listener 7";
        assert_eq!(read(socket).as_deref(), Ok(full));
    }

    #[test]
    fn an_ambiguous_word_names_the_candidates() {
        for (word, candidates) in [
            ("st", "status, start, stop"),
            ("cc", "close-connection, close-channel, check-config"),
            ("list-c", "list-connections, list-channels"),
        ] {
            let said = read(word).unwrap_err();
            let expected = format!("`{word}` is ambiguous: it can be {candidates}");
            assert!(said.contains(&expected), "{said}");
        }
    }

    #[test]
    fn words_without_a_command_are_left_to_clap() {
        for line in ["", "--help", "-a"] {
            assert_eq!(read(line).as_deref(), Ok(line));
        }
    }

    #[test]
    fn a_misspelt_command_is_recognised_and_another_word_is_not() {
        assert!(read("stauts").unwrap_err().contains("did you mean status?"));
        let other = read("frobnicate").unwrap_err();
        assert!(other.contains("broker-ctl --help lists"), "{other}");
    }
}
