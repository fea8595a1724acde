//! What `doctor` takes.

use std::path::PathBuf;

use broker_ipc::checks::FtpServer;
use clap::Args;

use crate::candidates::profiles;
use crate::tunnel_spec;

const DOCTOR_HELP: &str = "\
TARGET is a profile's name or id, or [user@]host[#port].

The steps: the daemon, the configuration, the server's name, each of its addresses, the SSH greeting, the \
host key, the login, the round trip, a channel to each destination of the tunnels, the FTP greeting, and \
active mode. With --ftp-user also a listing in passive and in active mode.

The doctor connects by itself, as the user who runs it and with that user's keys, whether or not a daemon \
runs. It stores nothing, except a host key if the policy is to accept new ones. It asks nothing except the \
FTP password: a login that needs a person fails, and the doctor says so.

Examples:
  broker-ctl doctor
  broker-ctl doctor work --ftp-user alice --get /pub/big.iso
  broker-ctl doctor user@sshserver#2222 --ftp ftp.example.com:21";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArgs {
    /// What to examine [default: every profile]
    #[arg(add = profiles())]
    pub(crate) target: Option<String>,
    /// The configuration file [default: that of the running daemon; without one, the usual ones]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Accept a configuration file that other users can change
    #[arg(long)]
    pub(crate) allow_unsafe_config: bool,
    /// The FTP server, as the SSH server can reach it [default: those of the profile's tunnels; for another target,
    /// localhost:21]
    #[arg(long, value_name = "HOST:PORT", value_parser = tunnel_spec::ftp_server)]
    pub(crate) ftp: Option<FtpServer>,
    /// Log in to the FTP server as this user, and try a listing in each mode. Asks for the password in a terminal,
    /// otherwise reads it from standard input
    #[arg(long, value_name = "USER", value_parser = one_line)]
    pub(crate) ftp_user: Option<String>,
    /// Fetch this file for at most 15 seconds, to measure the throughput; keeps nothing of it
    #[arg(long, value_name = "FILE", requires = "ftp_user", value_parser = one_line)]
    pub(crate) get: Option<String>,
    /// Mark the steps with words, for a terminal without UTF-8
    #[arg(long)]
    pub(crate) ascii: bool,
}

/// A text that is a part of an FTP command.
fn one_line(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("expected a text without control characters".into());
    }
    Ok(text.to_owned())
}
