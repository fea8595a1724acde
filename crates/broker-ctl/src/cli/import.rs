//! What the commands take that make a configuration file from another one.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ImportSshConfigArgs {
    /// Hosts as on the command line of ssh [default: each host that the file names without a pattern]
    pub(crate) host: Vec<String>,
    /// OpenSSH's configuration file [default: ~/.ssh/config and that of the system]
    #[arg(short = 'F', long = "config", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: NewFile,
}

/// Where a new file goes.
#[derive(Debug, Args)]
pub(crate) struct NewFile {
    /// The new file [default: standard output, unless it contains passwords]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}
