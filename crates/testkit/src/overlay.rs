//! A file of this host that one program alone sees with other content.
//!
//! The program runs in a mount namespace in which another file lies over it: nothing is left when it ends.

use std::path::Path;
use std::process::Command;

use crate::programs::UNSHARE;

/// The command, to be run where `file` lies over the file `over`.
///
/// # Errors
/// When unshare is missing.
pub(crate) fn laid_over(file: &Path, over: &str, command: &Command) -> anyhow::Result<Command> {
    let script = format!(r#"mount --bind "$0" {over} && exec "$@""#);
    let mut wrapped = Command::new(UNSHARE.find()?);
    wrapped.args(["--mount", "sh", "-c", &script]).arg(file);
    wrapped.arg(command.get_program()).args(command.get_args());
    Ok(wrapped)
}
