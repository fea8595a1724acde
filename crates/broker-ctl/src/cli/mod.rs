//! The command line and its help.

mod command;
mod doctor;
mod events;
mod format;
mod front;
mod groups;
mod hostkeys;
mod ids;
mod import;
mod instead;
mod stop;
mod top;
mod tunnels;
mod watching;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{CommandFactory, FromArgMatches, Parser};

pub(crate) use command::Command;
pub(crate) use doctor::DoctorArgs;
pub(crate) use events::EventsArgs;
pub(crate) use format::Format;
pub(crate) use front::in_full;
pub(crate) use hostkeys::TrustHostArgs;
pub(crate) use import::{ImportSshConfigArgs, NewFile};
pub(crate) use stop::StopArgs;
pub(crate) use top::TopArgs;
pub(crate) use tunnels::{OpenTunnelArgs, TunnelArgs, TunnelChoice};
pub(crate) use watching::Watching;

/// The heading of the options that every command has.
const GENERAL: &str = "General options";

const EXIT_STATUS: &str = "\
COMMAND --help shows more about a command. Commands can be abbreviated by their beginning or by the initials of their words, such as ctl for close-tunnel-listener.

Exit status: 0 success; 1 the request failed, a step of doctor failed, or the checked file has errors; 2 the command line is \
invalid; 3 no daemon could be reached; 4 the request failed, and trying again later can help; 5 a person must look at a host \
key or a login.";

/// Controls the Connection Broker, the daemon that carries FTP through SSH
#[derive(Debug, Parser)]
#[command(name = "broker-ctl", version, infer_subcommands = true, max_term_width = 100, after_help = EXIT_STATUS)]
#[command(args = instead::general())]
pub struct Cli {
    /// The daemon's socket [default: the one that SSH_SECSH_BROKER names; otherwise that of your own daemon; without one,
    /// that of the daemon for the whole host if you may use it]
    #[arg(
        short = 'a',
        long,
        visible_alias = "broker-address",
        value_name = "PATH",
        env = "SSH_BROKER_SOCKET"
    )]
    #[arg(global = true, hide_env_values = true, help_heading = GENERAL)]
    pub(crate) socket: Option<PathBuf>,

    /// Seconds to wait for the daemon's answer [default: 5; 900 if the command needs a server or a person]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, help_heading = GENERAL)]
    pub(crate) timeout: Option<Duration>,

    /// Do not start a daemon where none runs. Otherwise open-tunnel-listener, tunnel, auth-handler, probe-key and trust-host
    /// start one, which ends a few seconds after it was last used
    #[arg(
        long,
        global = true,
        env = "SSH_BROKER_NO_START",
        hide_env_values = true
    )]
    #[arg(value_parser = FalseyValueParser::new(), help_heading = GENERAL)]
    pub(crate) no_start: bool,

    /// Print no answer, only errors; the exit status shows the result
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GENERAL)]
    pub(crate) quiet: bool,

    /// Show which daemon answers
    #[arg(short, long, global = true, help_heading = GENERAL)]
    pub(crate) verbose: bool,

    #[command(flatten, next_help_heading = GENERAL)]
    pub(crate) format: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the words of a command line, of which the first is the program.
    ///
    /// # Errors
    /// What is wrong with them, or the help or version that they ask for.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = groups::in_help(Self::command());
        let words = front::in_full(&command, words.into_iter().collect())?;
        let matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// From one second to one day: a longer time is a mistake.
fn seconds(text: &str) -> Result<Duration, String> {
    const A_DAY: u64 = 24 * 60 * 60;
    match text.parse() {
        Ok(seconds @ 1..=A_DAY) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(format!("expected a number of seconds from 1 to {A_DAY}")),
    }
}
