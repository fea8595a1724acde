//! Limits that the daemon sets for its own process before it does anything else.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps passwords and keys out of core files, and prevents other processes of the user from reading this one's memory.
///
/// # Errors
/// The kernel's reason.
pub(crate) fn forbid_core_files() -> rustix::io::Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    // The limit does not apply if the kernel pipes core files to a program.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Allows as many descriptors as the daemon may have: each client takes several, and shells usually allow 1024.
///
/// # Errors
/// The kernel's reason.
pub(crate) fn allow_all_descriptors() -> rustix::io::Result<()> {
    let allowed = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: allowed.maximum,
            ..allowed
        },
    )
}

/// Leaves the session of the terminal in which a command started the daemon, so that neither Ctrl-C nor the end of the
/// terminal reaches it.
pub(crate) fn leave_terminal() {
    // The leader of a process group cannot, and has its own place already.
    let _ = rustix::process::setsid();
}

/// Closes standard output: its reader learns that the daemon is ready.
///
/// # Errors
/// The system's reason.
pub(crate) fn leave_output() -> std::io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_core_files() {
        forbid_core_files().unwrap();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior(),
            Ok(rustix::process::DumpableBehavior::NotDumpable)
        );
    }

    #[test]
    fn the_soft_limit_of_descriptors_becomes_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        let low = Rlimit {
            current: Some(256),
            maximum: hard,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        allow_all_descriptors().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
